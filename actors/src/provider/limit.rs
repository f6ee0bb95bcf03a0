//! Meta throttles the number: a slower pace while it refuses now and then, and a rest with single probes, ever more rarely,
//! while it refuses all.

use std::time::Duration;

use domain::circuit::Circuit;
use domain::outcome::{ProviderError, Scope};
use domain::{Timestamp, pace::Pace};
use whatsapp::horizon::horizon;

use super::State;
use super::scopes::FromProvider;
use crate::ways::Throttle;

/// Numbers that share a limit try it so much later than the one that met it: its probe serves them all.
const SIBLINGS_LATER: Duration = Duration::from_secs(2);
/// A rest that is shorter is no news for the audit trail and the log.
const TOLD_FROM: Duration = Duration::from_secs(5);

/// What Meta throttles the number for.
pub(super) struct Limit {
    pub(super) circuit: Circuit,
    code: i64,
    /// How far it reaches; `None` where a number that shares it told of it.
    scope: Option<Scope>,
    /// Whether the trail says so.
    is_told: bool,
}

impl Limit {
    fn new(code: i64, scope: Option<Scope>) -> Self {
        Self { circuit: Circuit::new(horizon(code).backoff()), code, scope, is_told: false }
    }

    /// What there is to say of it.
    pub(super) fn throttle(&self, now: Timestamp) -> Option<Throttle> {
        let since = self.circuit.open_since()?;
        Some(Throttle { code: self.code, since, until: self.circuit.until(now).unwrap_or(now) })
    }
}

impl State {
    /// The limit that a code stands for: the one that is met already, unless this lasts longer.
    fn limit_of(&mut self, code: i64, scope: Option<Scope>) -> &mut Limit {
        let lasts_longer = |limit: &Limit| horizon(code).most > horizon(limit.code).most;
        let known = self.limit.take().filter(|limit| !lasts_longer(limit));
        self.limit.insert(known.unwrap_or_else(|| Limit::new(code, scope)))
    }

    /// Meta refused a message for its number, account or app, and wants a rest of at least so long, if it says so.
    pub(super) fn throttled(&mut self, error: &ProviderError, rest: Option<Duration>) {
        let (now, uptime) = (self.ctx.clock.now(), self.ctx.clock.uptime());
        let scope = error.verdict.scope;
        let limit = self.limit_of(error.code, Some(scope));
        let before = limit.circuit.until(now);
        limit.circuit.failed(now, rest.unwrap_or_default());
        let (code, until) = (limit.code, limit.circuit.until(now).unwrap_or(now));
        let is_longer = before != Some(until);
        let is_news = !limit.is_told && until.since(now) >= TOLD_FROM;
        limit.is_told |= is_news;
        self.pace.throttled(uptime, until.since(now));
        if is_news {
            self.tell_org(FromProvider::Throttled { sender: self.sender.no, code, until });
        }
        if is_longer && matches!(scope, Scope::Account | Scope::App) {
            self.tell_org(FromProvider::Slow { sender: self.sender.no, scope, code, until });
        }
    }

    /// A number that shares a limit met it.
    pub(super) fn slow(&mut self, code: i64, until: Timestamp) {
        let (now, uptime) = (self.ctx.clock.now(), self.ctx.clock.uptime());
        let rest = until.since(now) + SIBLINGS_LATER;
        self.limit_of(code, None).circuit.failed(now, rest);
        self.pace.throttled(uptime, rest);
    }

    /// Meta answered otherwise than by a throttle: if that was a probe, the limit is over.
    pub(super) fn answered(&mut self) {
        let now = self.ctx.clock.now();
        let is_over = self.limit.as_mut().is_some_and(|limit| limit.circuit.recovered(now).is_some());
        let Some(limit) = self.limit.take_if(|_| is_over) else { return };
        let sender = self.sender.no;
        if limit.is_told {
            self.tell_org(FromProvider::Unthrottled { sender, code: limit.code });
        }
        if let Some(scope @ (Scope::Account | Scope::App)) = limit.scope {
            self.tell_org(FromProvider::Eased { sender, scope });
        }
    }

    /// The number that met a shared limit is over it.
    pub(super) fn ease(&mut self) {
        if self.limit.as_ref().is_some_and(|limit| limit.scope.is_none()) {
            self.limit = None;
        }
    }

    /// A person says to try again now what does not work, as if nothing had been refused.
    pub(super) fn try_now(&mut self) {
        let now = self.ctx.clock.now();
        if let Some(limit) = self.limit.take().filter(|limit| limit.is_told) {
            self.tell_org(FromProvider::Unthrottled { sender: self.sender.no, code: limit.code });
        }
        self.pace = Pace::new(self.pace.full());
        self.pairs.forgive();
        self.templates.open_all();
        self.stopped_until = Duration::ZERO;
        self.ctx.ways.try_now(&self.sender.phone_number_id, now);
    }
}
