//! Passivation: an organisation's actor that has nothing to do leaves memory, and is started again for the next message or when
//! something is due.
//!
//! The actor asks the root first, which from then on keeps what comes for it; the actor sends back there what was already on its
//! way. So nothing is lost between the two.

use std::ops::ControlFlow;

use domain::org::{Org, PausedBy};
use domain::{SenderNo, Timestamp};
use ractor::ActorProcessingErr;
use store::{Lane, StoreError};

use super::{OrgMsg, State};
use crate::context::Context;
use crate::supervisor::RootMsg;

/// When an organisation has something to do, as far as the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Now,
    Later(Timestamp),
    None,
}

impl Work {
    fn at(at: Timestamp, now: Timestamp) -> Self {
        if at <= now { Self::Now } else { Self::Later(at) }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::Later(a), Self::Later(b)) => Self::Later(a.min(b)),
            (Self::Later(at), Self::None) | (Self::None, Self::Later(at)) => Self::Later(at),
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// What an organisation whose actor is not running has to do.
pub(crate) fn work(ctx: &Context, org: &Org) -> Result<Work, StoreError> {
    let (store, now) = (&ctx.store, ctx.clock.now());
    let settings = ctx.settings();
    let sealed = store.last_block(org.no)?.map_or(0, |block| block.last);
    if sealed < store.head(org.no)?.last_seq {
        return Ok(Work::Now);
    }
    if !store.erasures(org.no)?.is_empty() {
        return Ok(Work::Now);
    }
    let mut work = Work::None;
    store.expiring(org.no, &mut |at, _| {
        work = work.or(Work::at(at, now));
        ControlFlow::Break(())
    })?;
    let mut look = |sender: SenderNo, lane: Lane| {
        store.due(org.no, sender, lane, &mut |entry| {
            work = work.or(Work::at(entry.at, now));
            ControlFlow::Break(())
        })
    };
    for no in 1..org.next_sender {
        look(SenderNo(no), Lane::Settle)?;
    }
    for sender in org.senders.iter().filter(|_| settings.enabled) {
        // What Meta refuses is probed; what a person paused waits for a person.
        if org.pause_of(sender).is_none_or(|pause| pause.by == PausedBy::Meta) {
            for lane in [Lane::High, Lane::Normal, Lane::Low] {
                look(sender.no, lane)?;
            }
        }
    }
    if let Some(at) = super::retention_sweep::due(store, org)? {
        work = work.or(Work::at(at, now));
    }
    let oldest = store.parked(org.no)?.iter().map(|parked| parked.at).min();
    Ok(oldest.map_or(work, |at| work.or(Work::at(at.after(settings.limits.parked_for), now))))
}

impl State {
    pub(super) fn check_idle_later(&self) {
        self.later(self.ctx.settings().limits.passivate_org_after, OrgMsg::CheckIdle);
    }

    /// Nothing was asked of it for a while: it may be passivated, if it has nothing to do either.
    pub(super) fn check_idle(&mut self) -> Result<(), ActorProcessingErr> {
        self.check_idle_later();
        self.forgive_old_crashes();
        // An actor that is never passivated may have got data since the alarm was last set.
        self.sweep_when_due()?;
        let was_busy = std::mem::take(&mut self.is_busy);
        let next = match self.work()? {
            Work::Now => return Ok(()),
            Work::Later(at) => Some(at),
            Work::None => None,
        };
        if !was_busy {
            self.root.send(RootMsg::MayPassivate { id: self.record.id.clone(), next });
        }
        Ok(())
    }

    pub(super) fn passivate(&mut self) -> Result<(), ActorProcessingErr> {
        if self.is_busy || self.work()? == Work::Now {
            self.root.send(RootMsg::Stays { id: self.record.id.clone(), address: self.me.clone() });
        } else {
            self.is_passivating = true;
            // Takes no more; what has come until now is still handled, by sending it back.
            self.me.actor().drain()?;
        }
        Ok(())
    }

    /// As for one that is not running; what this actor is at counts as work, too.
    fn work(&self) -> Result<Work, StoreError> {
        let is_free = self.is_kept
            && self.pending_commits == 0
            && self.pending.is_empty()
            && self.writer.active.is_empty()
            && self.message_crashes.is_empty()
            && self.providers.values().all(|child| child.address.is_some())
            && self.audit.address.is_some();
        if is_free { work(&self.ctx, &self.record) } else { Ok(Work::Now) }
    }

    /// What comes while it is being passivated: requests go to the root, which starts the next actor for them; its own affairs
    /// are over.
    pub(super) fn send_back(&self, msg: OrgMsg) {
        let is_request = match &msg {
            OrgMsg::Accept(_)
            | OrgMsg::Webhook(_)
            | OrgMsg::Manual(_)
            | OrgMsg::Change(_)
            | OrgMsg::ReleaseHeld(_)
            | OrgMsg::Denied { .. }
            | OrgMsg::Consent(_)
            | OrgMsg::Erase(_)
            | OrgMsg::Template(_)
            | OrgMsg::Explain { .. } => true,
            OrgMsg::Message(_)
            | OrgMsg::Provider(_)
            | OrgMsg::Committed(_)
            | OrgMsg::Wake
            | OrgMsg::Revive(_)
            | OrgMsg::StartProvider(_)
            | OrgMsg::StartAudit
            | OrgMsg::ClearParked
            | OrgMsg::EraseNext
            | OrgMsg::Sweep
            | OrgMsg::CheckIdle
            | OrgMsg::Passivate
            | OrgMsg::Reconfigured => false,
        };
        if is_request {
            self.root.send(RootMsg::Deliver { id: self.record.id.clone(), msg: Box::new(msg) });
        }
    }
}
