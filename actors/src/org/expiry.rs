//! Messages whose `expiresAt` comes while they wait without an actor: held by a pause, crowded out, or switched off.

use std::ops::ControlFlow;

use domain::MessageId;
use domain::audit::By;
use domain::lifecycle::{Decision, Event, decide};
use ractor::ActorProcessingErr;

use super::{After, State};

/// Messages that one commit ends; the rest follows at once.
const BATCH_MAX: usize = 500;

impl State {
    /// Ends what has expired, and sets the alarm for what expires next.
    pub(super) fn expire(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        let (mut expired, mut next): (Vec<MessageId>, _) = (Vec::new(), None);
        self.ctx.store.expiring(self.record.no, &mut |at, id| {
            if at > now || expired.len() >= BATCH_MAX {
                next = Some(at);
                return ControlFlow::Break(());
            }
            // One with an actor sees to it itself.
            if self.writer.active.get(id).is_none() {
                expired.push(id);
            }
            ControlFlow::Continue(())
        })?;
        if let Some(at) = next {
            self.wake_at(at);
        }
        // One that is being sent is past expiring.
        self.decide_each(expired, &Event::Expiry, By::System)
    }

    /// Decides the same event for many messages, in one commit.
    pub(super) fn decide_each(&mut self, ids: Vec<MessageId>, event: &Event, by: By) -> Result<(), ActorProcessingErr> {
        if ids.is_empty() {
            return Ok(());
        }
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else { return Ok(()) };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), by);
        for id in ids {
            let Some((message, before)) = self.writer.latest(id)? else { continue };
            let decision = decide(&message, &before, event, &self.ctx.settings().policy, transaction.at, 0.0);
            if let Decision::Move(step) = decision {
                self.writer.apply(&mut transaction, &message, &before, *step, None)?;
            }
        }
        if !transaction.changed.is_empty() {
            self.writer.close(&mut transaction)?;
            self.submit(slot, transaction, After::Changed, |_| ());
        }
        Ok(())
    }
}
