//! What can be seen of an actor from outside, without asking it: the actor writes its vitals, anyone may read them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Timestamp;
use ractor::{ActorRef, Message};
use serde_json::Value;

/// A kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Root,
    Org,
    Message,
    Provider,
    Audit,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
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
    pub(crate) id: String,
    pub(crate) started_at: Timestamp,
    sent: AtomicU64,
    handled: AtomicU64,
    restarts: AtomicU32,
    seen: Mutex<Seen>,
    children: Mutex<BTreeMap<(Order, String), Arc<Vitals>>>,
}

/// Children are listed by kind: few and steady ones before the many messages.
type Order = u8;

/// What changes together and is read together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What it is doing, and since when; `None` while it waits for mail.
    pub(crate) doing: Option<(&'static str, Timestamp)>,
    /// Why it ended the last time.
    pub(crate) last_exit: Option<String>,
    /// Its own figures.
    pub(crate) counters: Vec<(&'static str, Value)>,
    /// Overrides the plain "it runs".
    pub(crate) status: Option<&'static str>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vitals {
    pub(crate) fn new(kind: Kind, id: impl Into<String>, started_at: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            kind,
            id: id.into(),
            started_at,
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU32::new(0),
            seen: Mutex::default(),
            children: Mutex::default(),
        })
    }

    pub(crate) fn adopt(&self, child: &Arc<Self>) {
        locked(&self.children).insert(child.place(), Arc::clone(child));
    }

    pub(crate) fn disown(&self, child: &Self) {
        locked(&self.children).remove(&child.place());
    }

    /// Its children ended with it.
    pub(crate) fn disown_all(&self) {
        locked(&self.children).clear();
    }

    fn place(&self) -> (Order, String) {
        (u8::from(self.kind == Kind::Message), format!("{}:{}", self.kind.as_str(), self.id))
    }

    /// Up to `limit` children, and how many more there are.
    pub(crate) fn children(&self, limit: usize) -> (Vec<Arc<Self>>, usize) {
        let children = locked(&self.children);
        (children.values().take(limit).cloned().collect(), children.len().saturating_sub(limit))
    }

    /// The actor begins to handle a mail.
    pub(crate) fn begin(&self, doing: &'static str, now: Timestamp) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        locked(&self.seen).doing = Some((doing, now));
    }

    /// The actor has handled it.
    pub(crate) fn end(&self) {
        locked(&self.seen).doing = None;
    }

    /// The actor crashed.
    pub(crate) fn crashed(&self, cause: String) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        // Mail that it had not handled died with it.
        self.handled.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut seen = locked(&self.seen);
        seen.doing = None;
        seen.last_exit = Some(cause);
    }

    pub(crate) fn show(&self, counters: Vec<(&'static str, Value)>) {
        locked(&self.seen).counters = counters;
    }

    pub(crate) fn set_status(&self, status: Option<&'static str>) {
        locked(&self.seen).status = status;
    }

    pub(crate) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    pub(crate) fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Mail not yet handled.
    pub(crate) fn mailbox(&self) -> u64 {
        let handled = self.handled.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(handled)
    }
}

/// Where to send mail to an actor; counts what it sends.
#[derive(Debug)]
pub(crate) struct Address<M> {
    actor: ActorRef<M>,
    vitals: Arc<Vitals>,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), vitals: Arc::clone(&self.vitals) }
    }
}

impl<M: Message> Address<M> {
    pub(crate) const fn new(actor: ActorRef<M>, vitals: Arc<Vitals>) -> Self {
        Self { actor, vitals }
    }

    /// Sends mail. To an actor that has ended it is lost, as to one that ends before it handles it: whoever needs an
    /// answer holds a reply channel that closes, or a timer.
    pub(crate) fn send(&self, mail: M) {
        self.vitals.sent.fetch_add(1, Ordering::Relaxed);
        if self.actor.cast(mail).is_err() {
            self.vitals.handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) const fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    pub(crate) const fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }
}
