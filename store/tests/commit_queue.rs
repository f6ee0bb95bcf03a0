//! The commit queue at its limit, and when the store panics under it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use domain::{Epoch, OrgNo};
use store::backend::{Backend, Order, Visit, Write};
use store::group_commit::QUEUE_MAX;
use store::{Commit, CommitError, Committer, Head, MemoryBackend, SledBackend, Store, StoreError, Unavailable};

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

/// A real store that panics when it is read, once it is told to, as sled does on some kinds of damage.
struct Panics {
    inner: SledBackend,
    now: Arc<AtomicBool>,
}

impl Backend for Panics {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.inner.apply(writes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        assert!(!self.now.load(SeqCst), "told to panic");
        self.inner.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.size_on_disk()
    }
}

fn commit() -> Commit {
    commit_of(1, Epoch::default())
}

fn commit_of(org: u32, epoch: Epoch) -> Commit {
    let mut commit = Commit::new(OrgNo(org), epoch);
    let mut head = Head::default();
    head.epoch = epoch;
    commit.head(&head).unwrap();
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

#[test]
fn a_panic_in_a_read_of_the_commit_thread_makes_the_store_unwell_and_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let panics = Arc::new(AtomicBool::new(false));
    let inner = SledBackend::open_at(folder.path(), 1 << 20).unwrap();
    let store = Store::new(Arc::new(Panics { inner, now: Arc::clone(&panics) }));
    let committer = Committer::start(&store).unwrap();
    let (done, answers) = channel();
    let submit = |org, epoch| {
        let done = done.clone();
        committer.reserve()?.submit(commit_of(org, Epoch(epoch)), move |result| done.send((org, result)).unwrap());
        Ok::<_, Unavailable>(())
    };
    submit(1, 7).unwrap();
    assert!(answers.recv().unwrap().1.is_ok());
    assert!(committer.health().borrow().is_none());
    panics.store(true, SeqCst);
    // Each of an organisation that the thread has not met: it reads its head.
    let places: Vec<_> = (2..200).map(|org| (org, committer.reserve().unwrap())).collect();
    for (org, place) in places {
        let done = done.clone();
        place.submit(commit_of(org, Epoch(7)), move |result| done.send((org, result)).unwrap());
    }
    for (org, result) in answers.iter().take(198) {
        assert!(matches!(result, Err(CommitError::Store(StoreError::Backend { .. }))), "{org}: {result:?}");
    }
    assert!(committer.health().borrow().is_some(), "/readyz is to say so");
    assert!(committer.writing_for().is_none());
    assert_eq!(submit(1, 7), Err(Unavailable::Closed));
    committer.stop();
    drop((committer, store));
    // Opened anew it has what was acknowledged, and nothing else.
    let store = Store::new(Arc::new(SledBackend::open_at(folder.path(), 1 << 20).unwrap()));
    assert_eq!(store.head(OrgNo(1)).unwrap().epoch, Epoch(7));
    for org in 2..200 {
        assert_eq!(store.head(OrgNo(org)).unwrap().epoch, Epoch::default(), "{org}");
    }
}
