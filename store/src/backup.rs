//! A copy of a whole store in one file, taken while the store is written to.
//!
//! A tap at the group commit sees what every batch changes; meanwhile all keys are read, a page at a time, each after what the
//! tap has seen until then was written to the file. Every change sets or removes a key whatever it was, so all of the file
//! in its order gives the store as it is at the file's end.
//!
//! The file: [`MAGIC`], then frames of a length, a CRC-32 and a payload (LZ4 over bincode). The first says what it is, the last
//! how many there were and the SHA-256 of all before it.

mod format;
mod tap;

use std::fs::File;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use domain::Timestamp;

use crate::backend::{Order, StoreError, Write};
use crate::group_commit::Committer;
use crate::keys;
use crate::store::Store;
use format::{Change, End, Frame, Header, Writer};
use tap::Tap;

pub use format::{BackupError, Summary, id_of, read};

/// Bytes of keys and values that are read at once.
const PAGE: usize = 256 << 10;
/// So many bytes are synced at a time: a file synced at its end would hold up every batch of the store until it is on the disk.
const SYNC_EVERY: u64 = 8 << 20;
/// The longest that it gives way between two pages.
const REST_MAX: Duration = Duration::from_millis(50);

/// How far a backup has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub records: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// What is to be backed up.
pub struct Source<'a> {
    /// The store.
    pub store: &'a Store,
    /// Its committer, where it is written to meanwhile.
    pub committer: Option<&'a Committer>,
    /// For the backup's id: letters, digits and `-`.
    pub id: &'a str,
    /// Tells the time.
    pub now: &'a dyn Fn() -> Timestamp,
}

/// Writes a backup to `file`, which is empty, and syncs it. Blocks. Told how far it has come now and then, `progress` may end it
/// with a reason.
pub fn take(
    source: &Source<'_>,
    file: &File,
    progress: &mut dyn FnMut(Progress) -> Result<(), String>,
) -> Result<Summary, BackupError> {
    let Source { store, committer, id, now } = *source;
    let tap = committer.map(Tap::open);
    let master_keys: Vec<_> = store.keys_in_use()?.iter().map(ToString::to_string).collect();
    let header = Header { id: id.to_owned(), begun_at: now(), master_keys };
    let mut out = Writer::begin(file, &header)?;
    let (mut next, mut synced) = (vec![1], 0);
    loop {
        let began = Instant::now();
        let page = page(store, &next)?;
        let Some((last, _)) = page.last() else { break };
        next = keys::behind(last);
        out.records += u64::try_from(page.len()).unwrap_or(0);
        out.frame(&Frame::Writes(page.into_iter().map(|(key, value)| Change { key, value: Some(value) }).collect()))?;
        if let Some(tap) = &tap {
            out.changes(tap.drain()?)?;
        }
        if out.bytes - synced >= SYNC_EVERY {
            synced = out.bytes;
            file.sync_data()?;
        }
        progress(Progress { records: out.records, bytes: out.bytes }).map_err(BackupError::Ended)?;
        if tap.is_some() {
            // Half of one core at most: those who are being served come first.
            std::thread::sleep(began.elapsed().min(REST_MAX));
        }
    }
    let taken_at = now();
    if let Some(tap) = tap {
        out.changes(tap.close()?)?;
    }
    if let Some(error) = committer.and_then(|committer| committer.health().borrow().clone()) {
        return Err(error.into());
    }
    let summary = out.end(&header, taken_at)?;
    file.sync_all()?;
    Ok(summary)
}

/// A key and its value.
type Record = (Vec<u8>, Vec<u8>);

/// The next records from a key on.
fn page(store: &Store, from: &[u8]) -> Result<Vec<Record>, StoreError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    store.backend.scan(from..&[u8::MAX][..], Order::Ascending, &mut |key, value| {
        bytes += key.len() + value.len();
        found.push((key.to_vec(), value.to_vec()));
        if bytes < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

impl Writer<'_> {
    /// Writes what the tap has seen, in frames of bounded size.
    fn changes(&mut self, writes: Vec<Write>) -> Result<(), BackupError> {
        let (mut frame, mut bytes) = (Vec::new(), 0);
        for write in writes {
            bytes += write.size();
            frame.push(Change::from(write));
            self.changes += 1;
            if bytes >= PAGE {
                bytes = 0;
                self.frame(&Frame::Writes(std::mem::take(&mut frame)))?;
            }
        }
        if frame.is_empty() { Ok(()) } else { self.frame(&Frame::Writes(frame)) }
    }

    fn end(mut self, header: &Header, taken_at: Timestamp) -> Result<Summary, BackupError> {
        let (records, changes, sha256) = (self.records, self.changes, self.hash());
        self.frame(&Frame::End(End { taken_at, records, changes, sha256 }))?;
        Ok(Summary::new(header.clone(), taken_at, records, self.bytes, self.hash()))
    }
}
