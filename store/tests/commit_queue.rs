//! The commit queue at its limit.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use domain::{Epoch, OrgNo};
use store::backend::{Backend, Order, Visit, Write};
use store::group_commit::QUEUE_MAX;
use store::{Commit, Committer, Head, MemoryBackend, Store, StoreError, Unavailable};

/// A disk that says when a batch comes and then waits to be let go.
struct Held {
    inner: MemoryBackend,
    came: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Backend for Held {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.came.lock().unwrap().send(()).unwrap();
        // An end of the channel lets all go.
        let _ = self.go.lock().unwrap().recv();
        self.inner.apply(writes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

fn commit() -> Commit {
    let mut commit = Commit::new(OrgNo(1), Epoch::default());
    commit.head(&Head::default()).unwrap();
    commit
}

#[test]
fn a_full_commit_queue_takes_no_more_until_the_disk_answers_and_then_all_are_durable() {
    let ((came, comes), (go, goes)) = (channel(), channel());
    let held = Held { inner: MemoryBackend::new(), came: Mutex::new(came), go: Mutex::new(goes) };
    let store = Store::new(Arc::new(held));
    let committer = Committer::start(&store).unwrap();
    let (done, answers) = channel();
    let submit = || {
        let done = done.clone();
        let slot = committer.reserve()?;
        slot.submit(commit(), move |result| done.send(result.is_ok()).unwrap());
        Ok::<_, Unavailable>(())
    };
    submit().unwrap();
    comes.recv().unwrap();
    assert!(committer.writing_for().is_some());
    for _ in 0..QUEUE_MAX {
        submit().unwrap();
    }
    assert_eq!(committer.waiting(), QUEUE_MAX);
    assert_eq!(submit(), Err(Unavailable::Busy));
    drop(go);
    assert!(answers.iter().take(QUEUE_MAX + 1).all(|is_durable| is_durable));
    submit().unwrap();
    assert!(answers.recv().unwrap());
    committer.stop();
    assert_eq!(submit(), Err(Unavailable::Closed));
}
