//! Who is let in: how many requests to accept a message may wait for their commit, and for how long. What would wait too long
//! is turned away at once, before anything is done for it, so that what is let in is answered in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::OrgId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::context::Context;
use crate::org::accept::AcceptError;
use crate::settings::Limits;

/// The way in, for all organisations.
pub(crate) struct Entrance {
    permits: Arc<Semaphore>,
    capacity: usize,
    /// How long requests waited lately, in microseconds: a moving mean over about eight of them.
    wait: AtomicU64,
}

/// The right to wait for one commit; given back by its drop.
pub struct Admission {
    ctx: Arc<Context>,
    since: Duration,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Entrance {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(capacity)), capacity, wait: AtomicU64::new(0) }
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.capacity.saturating_sub(self.permits.available_permits())
    }

    /// How long a request that comes now will wait, going by those before it.
    fn expected_wait(&self) -> Duration {
        Duration::from_micros(self.wait.load(Ordering::Relaxed))
    }

    fn waited(&self, time: Duration) {
        let sample = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mean = self.wait.load(Ordering::Relaxed);
        self.wait.store(mean.saturating_sub(mean / 8).saturating_add(sample / 8), Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn take(ctx: &Arc<Context>, org: &OrgId) -> Result<Self, AcceptError> {
        let of_org = ctx.directory.permits(org).ok_or(AcceptError::NoSuchOrg)?;
        if ctx.trouble().is_some() {
            return Err(AcceptError::Unavailable);
        }
        let entrance = &ctx.entrance;
        let settings = ctx.settings();
        let limits = &settings.limits;
        // A few are always let in: they find out when it goes fast again. And a few of each organisation: perhaps only the
        // others' actors are slow.
        let is_slow = entrance.expected_wait() > limits.max_wait;
        let own = limits.max_accepting.saturating_sub(of_org.available_permits());
        if is_slow && entrance.waiting() >= Limits::ALWAYS_ACCEPTING && own >= Limits::ALWAYS_ACCEPTING_OF_EACH {
            return Err(AcceptError::Overloaded);
        }
        let permits = [of_org, Arc::clone(&entrance.permits)].map(|permits| permits.try_acquire_owned().ok());
        let [Some(of_org), Some(of_all)] = permits else { return Err(AcceptError::Overloaded) };
        Ok(Self { ctx: Arc::clone(ctx), since: ctx.clock.uptime(), _permits: [of_org, of_all] })
    }

    /// Its commit was answered.
    pub(crate) fn end(self) {
        self.ctx.entrance.waited(self.ctx.clock.uptime().saturating_sub(self.since));
    }
}
