//! What can be seen of an actor from outside, without asking it: the actor writes its vitals, anyone may read them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;

use crate::context::Context;
use crate::figures::Figures;
use crate::panics::{self, Panic};
use crate::restart::Verdict;

/// A kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// RootSupervisor.
    Root,
    /// OrgActor.
    Org,
    /// AuditActor.
    Audit,
    /// ProviderActor.
    Provider,
    /// MessageActor. The last: among an organisation's children the few and steady are listed before the many.
    Message,
}

impl Kind {
    /// Its name in the tree.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Org => "org",
            Self::Message => "message",
            Self::Provider => "provider",
            Self::Audit => "audit",
        }
    }
}

/// The vitals of one actor. They outlive its restarts.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) kind: Kind,
    /// Such as `/root/org:org-123/provider:1065`.
    path: Box<str>,
    /// Where in the path its own id begins.
    id_at: usize,
    pub(crate) started_at: Timestamp,
    sent: AtomicU64,
    handled: AtomicU64,
    restarts: AtomicU32,
    seen: Mutex<Seen>,
    children: Mutex<BTreeSet<Child>>,
}

/// A child in its place: by kind, then by id.
#[derive(Debug)]
struct Child(Arc<Vitals>);

impl Child {
    fn place(&self) -> (Kind, &str) {
        (self.0.kind, self.0.id())
    }
}

impl PartialEq for Child {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Child {}

impl PartialOrd for Child {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Child {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// What changes together and is read together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What it is doing, and since when; `None` while it waits for messages.
    pub(crate) doing: Option<(&'static str, Timestamp)>,
    /// Whether it was found to have been at that for too long.
    pub(crate) is_stuck: bool,
    /// Why it ended the last time.
    pub(crate) last_exit: Option<String>,
    /// Where it panicked, until that is logged.
    panic: Option<Panic>,
    /// Its own figures.
    pub(crate) figures: Figures,
    /// What is the matter, where it does not just run.
    pub(crate) status: Option<Status>,
}

/// What is the matter with an actor.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// Such as `PAUSED`.
    pub(crate) word: &'static str,
    /// What there is to say of it.
    pub(crate) details: Vec<(&'static str, String)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vitals {
    pub(crate) fn root(started_at: Timestamp) -> Arc<Self> {
        Arc::new(Self::new(Kind::Root, "/root".into(), 1, started_at))
    }

    /// The vitals of a child to be; it is listed once it is adopted.
    pub(crate) fn child(&self, kind: Kind, id: &str, started_at: Timestamp) -> Arc<Self> {
        let path = format!("{}/{}:{id}", self.path, kind.as_str());
        let id_at = path.len() - id.len();
        Arc::new(Self::new(kind, path, id_at, started_at))
    }

    fn new(kind: Kind, path: String, id_at: usize, started_at: Timestamp) -> Self {
        Self {
            kind,
            path: path.into(),
            id_at,
            started_at,
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU32::new(0),
            seen: Mutex::default(),
            children: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.path.get(self.id_at..).unwrap_or_default()
    }

    pub(crate) const fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn adopt(&self, child: &Arc<Self>) {
        locked(&self.children).replace(Child(Arc::clone(child)));
    }

    pub(crate) fn disown(&self, child: &Arc<Self>) {
        locked(&self.children).remove(&Child(Arc::clone(child)));
    }

    /// Its children ended with it.
    pub(crate) fn disown_all(&self) {
        locked(&self.children).clear();
    }

    /// Up to `limit` children that are `wanted`, and how many more of them there are.
    pub(crate) fn children(&self, limit: usize, wanted: impl Fn(&Self) -> bool) -> (Vec<Arc<Self>>, usize) {
        let children = locked(&self.children);
        let mut wanted = children.iter().filter(|child| wanted(&child.0));
        let shown: Vec<_> = wanted.by_ref().take(limit).map(|child| Arc::clone(&child.0)).collect();
        (shown, wanted.count())
    }

    /// Handles one message.
    pub(crate) async fn attend<T>(
        self: &Arc<Self>,
        ctx: &Context,
        what: &'static str,
        work: impl Future<Output = T>,
    ) -> T {
        self.taken();
        self.at_work(ctx, what, work).await
    }

    /// Is at work: the tree shows what it is doing and since when, and a panic is known to be this actor's.
    pub(crate) async fn at_work<T>(
        self: &Arc<Self>,
        ctx: &Context,
        what: &'static str,
        work: impl Future<Output = T>,
    ) -> T {
        locked(&self.seen).doing = Some((what, ctx.clock.now()));
        #[cfg(feature = "faults")]
        let work = async {
            ctx.faults.strike(self.path(), self.kind, what).await;
            work.await
        };
        let done = panics::as_actor(Arc::clone(self), work).await;
        let mut seen = locked(&self.seen);
        seen.doing = None;
        seen.is_stuck = false;
        done
    }

    /// A message was put into its mailbox.
    pub(crate) fn posted(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// … and was taken from it.
    pub(crate) fn taken(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self, panic: Panic) {
        locked(&self.seen).panic = Some(panic);
    }

    /// The actor crashed, and its supervisor has decided what comes of it. Logged here, once.
    pub(crate) fn crashed(&self, cause: &str, verdict: Verdict) {
        // Messages that it had not handled died with it.
        self.handled.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        let panic = {
            let mut seen = locked(&self.seen);
            seen.doing = None;
            seen.is_stuck = false;
            seen.last_exit = Some(cause.to_owned());
            seen.panic.take()
        };
        let (place, backtrace) = panic.map(|panic| (panic.place, panic.backtrace)).unzip();
        match verdict {
            Verdict::Restart(after) => {
                self.restarts.fetch_add(1, Ordering::Relaxed);
                tracing::error!(path = self.path(), %cause, place, backtrace, ?after, "an actor crashed; it is started again");
            }
            Verdict::Quarantine(after) => {
                self.restarts.fetch_add(1, Ordering::Relaxed);
                tracing::error!(path = self.path(), %cause, place, backtrace, ?after, "an actor crashes again and again; it is quarantined");
            }
            Verdict::GiveUp => {
                tracing::error!(path = self.path(), %cause, place, backtrace, "an actor crashed, more often than its budget allows");
            }
        }
    }

    pub(crate) fn show(&self, figures: Figures) {
        locked(&self.seen).figures = figures;
    }

    pub(crate) fn set_status(&self, status: Option<Status>) {
        locked(&self.seen).status = status;
    }

    pub(crate) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Messages not yet taken.
    pub(crate) fn mailbox(&self) -> u64 {
        let handled = self.handled.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(handled)
    }

    /// Finds those in the tree below (itself included) that have handled one message for longer than `limit`: each is
    /// reported once for each such message.
    pub(crate) fn find_stuck(&self, limit: Duration, now: Timestamp, report: &mut dyn FnMut(&Self, &'static str)) {
        let found = {
            let mut seen = locked(&self.seen);
            let late = seen.doing.filter(|(_, since)| !seen.is_stuck && now.since(*since) > limit);
            seen.is_stuck |= late.is_some();
            late
        };
        if let Some((what, _)) = found {
            report(self, what);
        }
        for child in locked(&self.children).iter() {
            child.0.find_stuck(limit, now, report);
        }
    }
}
