//! Send permits: who gets the next one, and what it must wait for.

use std::time::Duration;

use domain::circuit::Permission;
use domain::{Message, Priority};

use super::{ProviderMsg, State};
use crate::message::MessageMsg;
use crate::send_permit::SendPermit;

/// After so many permits for those before them in a row, the first of a later lane gets one: nobody starves.
const LOW_EVERY: u64 = 20;
/// How often pairs that have rested are forgotten.
const FORGET_EVERY: u64 = 1024;
/// How long until it is looked again whether sends may begin, while they may not.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

impl State {
    /// Gives send permits while there are messages, free sends and tokens.
    pub(super) fn grant(&mut self) {
        while self.out < self.ctx.settings().max_concurrent && !self.queue.is_empty() {
            let changes = self.ctx.ways.changes();
            match self.permission() {
                Ok(is_probe) => self.grant_first(is_probe),
                Err(after) => return self.look_again(after, changes),
            }
        }
    }

    /// Whether one more call may be made, and whether as a probe; or how long to wait.
    fn permission(&mut self) -> Result<bool, Duration> {
        if !self.ctx.may_send() {
            return Err(TROUBLE_PAUSE);
        }
        let (now, uptime) = (self.ctx.clock.now(), self.ctx.clock.uptime());
        let stopped = self.stopped_until.saturating_sub(uptime);
        if !stopped.is_zero() {
            return Err(stopped);
        }
        if let Some(until) = self.limit.as_ref().and_then(|limit| limit.circuit.until(now)) {
            return Err(until.since(now));
        }
        self.bucket.set_rate(self.pace.at(uptime), uptime);
        if let Some(wait) = self.bucket.wait(uptime) {
            return Err(wait);
        }
        // Asked last: a probe that is granted is made.
        let by_way = match self.ctx.ways.ask(&self.sender.phone_number_id, now) {
            Permission::Wait(until) => return Err(until.since(now)),
            Permission::Probe => true,
            Permission::Free => false,
        };
        let by_limit = self.limit.as_mut().is_some_and(|limit| limit.circuit.ask(now) == Permission::Probe);
        // There is one: it was looked for.
        let _ = self.bucket.take(uptime);
        Ok(by_way || by_limit)
    }

    /// Sends `Refilled` so much later, or when the way to WhatsApp has changed since.
    fn look_again(&mut self, after: Duration, changes: u64) {
        let at = self.ctx.clock.uptime().saturating_add(after);
        if self.refill.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        if let Some((_, later)) = self.refill.take() {
            later.abort();
        }
        let (me, ctx) = (self.me.clone(), std::sync::Arc::clone(&self.ctx));
        let sleeper = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = tokio::time::sleep(after) => {}
                () = ctx.ways.changed(changes) => {}
            }
            me.send(ProviderMsg::Refilled);
        });
        self.refill = Some((at, sleeper.abort_handle()));
    }

    /// Gives a permit to the first of the first lane, and now and then to the first of the last.
    pub(super) fn grant_first(&mut self, is_probe: bool) {
        self.granted += 1;
        let last_lane = self.queue.keys().next_back().map(|(lane, _): &(Priority, u64)| (*lane, 0));
        let first = match last_lane {
            Some(lane) if self.granted.is_multiple_of(LOW_EVERY) => self.queue.range(lane..).next(),
            Some(_) | None => self.queue.iter().next(),
        };
        let Some(position) = first.map(|(position, _)| *position) else { return };
        if let Some((message, reply)) = self.queue.remove(&position) {
            self.positions.remove(&message.id);
            self.out += 1;
            reply.send(MessageMsg::Permit(
                SendPermit::new(self.me.clone(), message, is_probe),
                self.ctx.in_flight.begin(),
            ));
        }
        if self.granted.is_multiple_of(FORGET_EVERY) {
            self.pairs.forget_rested(self.ctx.clock.now());
        }
    }

    /// A permit comes back. One that was not used can be used by another.
    pub(super) fn back(&mut self, message: &Message, is_used: bool, is_probe: bool) {
        self.out = self.out.saturating_sub(1);
        if is_used {
            return;
        }
        self.bucket.give_back();
        let (recipient, now) = (self.recipient(message), self.ctx.clock.now());
        self.pairs.given_up(&recipient, now);
        if is_probe {
            self.ctx.ways.unused(&self.sender.phone_number_id, now);
            if let Some(limit) = &mut self.limit {
                limit.circuit.unused(now);
            }
        }
    }
}
