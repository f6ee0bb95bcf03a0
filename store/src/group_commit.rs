//! Group commit: all that arrives while one batch is written is the next batch, and everybody waits for one fdatasync together.
//!
//! A batch that fails, or panics, poisons the committer: nothing of it is acknowledged, and nothing more is written until the store
//! was opened again, because the store no longer knows what is on the disk.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::{Epoch, OrgNo};
use tokio::sync::{mpsc, watch};

use crate::backend::{StoreError, Write};
use crate::commit::Commit;
use crate::folder::FolderIdentity;
use crate::store::Store;

/// Commits that may wait for the next batch.
pub const QUEUE_MAX: usize = 16_384;
/// Keys in one batch: beyond it the rest waits for the next, so that no batch grows without end.
const BATCH_KEYS_MAX: usize = 65_536;

/// Called once it is known whether a commit is durable.
type Then = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Sees what each batch has written, in order, once it is durable. Called from the writer's thread: it must be quick.
pub(crate) type Tap = Box<dyn FnMut(Vec<Write>) + Send>;

struct Job {
    commit: Commit,
    then: Then,
}

enum Work {
    Commit(Job),
    Stop,
}

/// Why no commit can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too many wait for the next batch: try again in a moment.
    #[error("too many commits are waiting")]
    Busy,
    /// The store is unwell or closing.
    #[error("the store takes no more commits")]
    Closed,
}

/// Why a commit is not durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A newer owner has taken over the organisation.
    #[error("a newer owner has taken over")]
    Fenced,
    /// The batch failed, or one before it had.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes commits, from any thread.
#[derive(Clone)]
pub struct Committer {
    inner: Arc<Inner>,
}

struct Inner {
    road: Road,
    health: watch::Sender<Option<StoreError>>,
    stats: Arc<Stats>,
    tap: Arc<Mutex<Option<Tap>>>,
    identity: Option<FolderIdentity>,
}

enum Road {
    Thread { queue: mpsc::Sender<Work>, thread: Mutex<Option<JoinHandle<()>>> },
    Inline { writer: Mutex<Writer>, stopped: AtomicBool },
}

/// What the committer has done, for the actor tree.
#[derive(Debug, Default)]
pub struct Stats {
    /// Batches written.
    pub batches: AtomicU64,
    /// Commits in them.
    pub commits: AtomicU64,
    /// How long the last batch took, in microseconds.
    pub last_batch_micros: AtomicU64,
    /// When the batch that is being written was begun.
    began: Mutex<Option<Instant>>,
}

/// A reserved place in the queue. Taken before a decision is made, so that a decision made can always be written.
pub struct Slot<'a> {
    inner: &'a Inner,
    permit: Option<mpsc::Permit<'a, Work>>,
}

impl Committer {
    /// Starts the writer thread.
    pub fn start(store: &Store) -> std::io::Result<Self> {
        Self::start_in(store, None)
    }

    /// The same for a store in a folder: nothing is acknowledged once that is not there any more.
    pub fn start_in(store: &Store, identity: Option<FolderIdentity>) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let mut writer = Writer::new(store, identity.clone());
        let (health, stats, tap) = (writer.health.clone(), Arc::clone(&writer.stats), Arc::clone(&writer.tap));
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || writer.run(jobs))?;
        let road = Road::Thread { queue, thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(Inner { road, health, stats, tap, identity }) })
    }

    /// Writes each commit at once, on the caller's thread: for tests under a paused clock, which a thread would not hold.
    pub fn inline(store: &Store) -> Self {
        let writer = Writer::new(store, None);
        let (health, stats, tap) = (writer.health.clone(), Arc::clone(&writer.stats), Arc::clone(&writer.tap));
        let road = Road::Inline { writer: Mutex::new(writer), stopped: AtomicBool::new(false) };
        Self { inner: Arc::new(Inner { road, health, stats, tap, identity: None }) }
    }

    /// Looks whether the store's folder is still there; without it the store is unwell, also while nothing is written. Blocks.
    pub fn look(&self) {
        if let Some(Err(error)) = self.inner.identity.as_ref().map(FolderIdentity::check)
            && self.inner.health.borrow().is_none()
        {
            poison(&self.inner.health, &error);
        }
    }

    /// Reserves a place in the queue.
    pub fn reserve(&self) -> Result<Slot<'_>, Unavailable> {
        let inner = &*self.inner;
        if inner.health.borrow().is_some() {
            return Err(Unavailable::Closed);
        }
        match &inner.road {
            Road::Thread { queue, .. } => match queue.try_reserve() {
                Ok(permit) => Ok(Slot { inner, permit: Some(permit) }),
                Err(mpsc::error::TrySendError::Full(())) => Err(Unavailable::Busy),
                Err(mpsc::error::TrySendError::Closed(())) => Err(Unavailable::Closed),
            },
            Road::Inline { stopped, .. } if stopped.load(Ordering::SeqCst) => Err(Unavailable::Closed),
            Road::Inline { .. } => Ok(Slot { inner, permit: None }),
        }
    }

    /// Turns to the error that poisoned the store, if that happens.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.inner.health.subscribe()
    }

    /// Commits that wait for the next batch.
    pub fn waiting(&self) -> usize {
        match &self.inner.road {
            Road::Thread { queue, .. } => QUEUE_MAX.saturating_sub(queue.capacity()),
            Road::Inline { .. } => 0,
        }
    }

    /// For how long the disk has not answered, if it is being written to.
    pub fn writing_for(&self) -> Option<Duration> {
        self.inner.stats.began.lock().unwrap_or_else(PoisonError::into_inner).map(|began| began.elapsed())
    }

    /// Sets the tap, or removes it. Waits for the batch that is being written: the tap sees all batches after this call and
    /// none before it.
    pub(crate) fn set_tap(&self, tap: Option<Tap>) {
        *self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner) = tap;
    }

    /// What it has done.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Writes what is queued, then takes no more. Blocks until that is done.
    pub fn stop(&self) {
        match &self.inner.road {
            Road::Thread { queue, thread } => {
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread {
                    // A full queue is being emptied by the thread that we then wait for.
                    let mut stop = Work::Stop;
                    while let Err(mpsc::error::TrySendError::Full(back)) = queue.try_send(stop) {
                        stop = back;
                        std::thread::yield_now();
                    }
                    if thread.join().is_err() {
                        tracing::error!("the commit thread panicked");
                    }
                }
            }
            Road::Inline { stopped, .. } => stopped.store(true, Ordering::SeqCst),
        }
    }
}

impl Slot<'_> {
    /// Hands in a commit. `then` is called once, from the writer's thread: it must be quick and must not block.
    pub fn submit(self, commit: Commit, then: impl FnOnce(Result<(), CommitError>) + Send + 'static) {
        let job = Job { commit, then: Box::new(then) };
        match (self.permit, &self.inner.road) {
            (Some(permit), _) => permit.send(Work::Commit(job)),
            (None, Road::Inline { writer, .. }) => {
                let answers = writer.lock().unwrap_or_else(PoisonError::into_inner).write(vec![job]);
                for (then, result) in answers {
                    then(result);
                }
            }
            (None, Road::Thread { .. }) => {}
        }
    }
}

/// Writes batches and remembers each organisation's epoch.
struct Writer {
    store: Store,
    epochs: HashMap<OrgNo, Epoch>,
    health: watch::Sender<Option<StoreError>>,
    stats: Arc<Stats>,
    /// Locked for as long as a batch is written.
    tap: Arc<Mutex<Option<Tap>>>,
    /// The folder and files that must still be there when a batch is acknowledged.
    identity: Option<FolderIdentity>,
}

impl Writer {
    fn new(store: &Store, identity: Option<FolderIdentity>) -> Self {
        let (health, _) = watch::channel(None);
        let (stats, tap) = (Arc::default(), Arc::default());
        Self { store: store.clone(), epochs: HashMap::new(), health, stats, tap, identity }
    }

    fn run(&mut self, mut queue: mpsc::Receiver<Work>) {
        let mut open = true;
        while open {
            let Some(first) = queue.blocking_recv() else { return };
            let (mut jobs, mut keys) = (Vec::new(), 0);
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Commit(job) => {
                        keys += job.commit.len();
                        jobs.push(job);
                    }
                    Work::Stop => open = false,
                }
                next = if open && keys < BATCH_KEYS_MAX { queue.try_recv().ok() } else { None };
            }
            for (then, result) in self.write(jobs) {
                then(result);
            }
        }
        // Whoever still holds a reserved place is answered, too.
        queue.close();
        while let Some(work) = queue.blocking_recv() {
            if let Work::Commit(job) = work {
                for (then, result) in self.write(vec![job]) {
                    then(result);
                }
            }
        }
    }

    /// Writes all commits of `jobs` that are not fenced off as one batch; says of each how it went.
    fn write(&mut self, jobs: Vec<Job>) -> Vec<(Then, Result<(), CommitError>)> {
        let poisoned = self.health.borrow().clone();
        if let Some(error) = poisoned {
            return jobs.into_iter().map(|job| (job.then, Err(error.clone().into()))).collect();
        }
        let (commits, thens): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.commit, job.then)).unzip();
        let began = Instant::now();
        // sled panics on some kinds of damage, also when it is read; a thread that ended by it would leave everybody waiting.
        let panicked = |_| Err(StoreError::Backend { doing: "write a batch", cause: "it panicked".into() });
        let written = panic::catch_unwind(AssertUnwindSafe(|| self.batch(commits))).unwrap_or_else(panicked);
        self.busy(None);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.last_batch_micros.store(micros, Ordering::Relaxed);
        match written {
            Ok(verdicts) => thens.into_iter().zip(verdicts).collect(),
            Err(error) => {
                poison(&self.health, &error);
                thens.into_iter().map(|then| (then, Err(error.clone().into()))).collect()
            }
        }
    }

    /// Writes as one batch those of `commits` that are not fenced off; a verdict of each.
    fn batch(&mut self, commits: Vec<Commit>) -> Result<Vec<Result<(), CommitError>>, StoreError> {
        self.stats.batches.fetch_add(1, Ordering::Relaxed);
        self.stats.commits.fetch_add(u64::try_from(commits.len()).unwrap_or(0), Ordering::Relaxed);
        let mut writes = Vec::with_capacity(commits.iter().map(Commit::len).sum());
        let mut verdicts = Vec::with_capacity(commits.len());
        for commit in commits {
            let verdict = self.admit(&commit);
            if verdict.is_ok() {
                writes.extend(commit.writes);
            }
            verdicts.push(verdict);
        }
        let tap = Arc::clone(&self.tap);
        let mut tap = tap.lock().unwrap_or_else(PoisonError::into_inner);
        let tapped = tap.as_ref().map(|_| writes.clone());
        self.busy(Some(Instant::now()));
        if !writes.is_empty() {
            self.store.backend.apply(writes)?;
            self.identity.as_ref().map_or(Ok(()), FolderIdentity::check)?;
        }
        if let (Some(tap), Some(writes)) = (tap.as_mut(), tapped) {
            tap(writes);
        }
        Ok(verdicts)
    }

    /// A batch is being written since then, or none is.
    fn busy(&self, since: Option<Instant>) {
        *self.stats.began.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Refuses an owner that another has replaced.
    fn admit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let current = match self.epochs.get(&commit.org) {
            Some(epoch) => *epoch,
            None => self.store.head(commit.org)?.epoch,
        };
        if commit.epoch < current {
            return Err(CommitError::Fenced);
        }
        self.epochs.insert(commit.org, commit.epoch);
        Ok(())
    }
}

fn poison(health: &watch::Sender<Option<StoreError>>, error: &StoreError) {
    tracing::error!(%error, "the store takes no more commits until it is reopened");
    health.send_replace(Some(error.clone()));
}
