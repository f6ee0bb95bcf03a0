//! Sees what is committed while a backup is taken, and keeps it until the backup writes it down. What is kept is bounded: a
//! backup whose disk cannot follow ends, and nobody who is served ever waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use super::format::BackupError;
use crate::backend::Write;
use crate::group_commit::Committer;

/// Bytes of changes that may wait to be written down.
const WAITING_MAX: usize = 64 << 20;

#[derive(Default)]
struct Waiting {
    writes: Vec<Write>,
    bytes: usize,
    is_too_much: bool,
}

/// A tap at a committer; its drop removes it.
pub(super) struct Tap<'a> {
    committer: &'a Committer,
    waiting: Arc<Mutex<Waiting>>,
}

impl<'a> Tap<'a> {
    /// Sees every batch from now on.
    pub(super) fn open(committer: &'a Committer) -> Self {
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let filled = Arc::clone(&waiting);
        committer.set_tap(Some(Box::new(move |writes| {
            filled.lock().unwrap_or_else(PoisonError::into_inner).take_in(writes);
        })));
        Self { committer, waiting }
    }

    /// What was seen since the last time.
    pub(super) fn drain(&self) -> Result<Vec<Write>, BackupError> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_too_much { Err(BackupError::TooSlow) } else { Ok(waiting.writes) }
    }

    /// Sees no more; what was seen since the last time.
    pub(super) fn close(self) -> Result<Vec<Write>, BackupError> {
        self.committer.set_tap(None);
        self.drain()
    }
}

impl Drop for Tap<'_> {
    fn drop(&mut self) {
        self.committer.set_tap(None);
    }
}

impl Waiting {
    fn take_in(&mut self, writes: Vec<Write>) {
        self.bytes += writes.iter().map(Write::size).sum::<usize>();
        if self.bytes > WAITING_MAX {
            self.is_too_much = true;
            self.writes = Vec::new();
        } else {
            self.writes.extend(writes);
        }
    }
}
