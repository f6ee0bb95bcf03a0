//! What is held since the store was restored from a backup: it stays so until a person decides, and what a late receipt would
//! queue again for an attempt of the original joins it.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::audit::{By, Fact, Subject};
use domain::lifecycle::{Decision, Event, decide};
use domain::{Attempt, AttemptNo, Message, State as MessageState};
use ractor::ActorProcessingErr;
use store::{StoreError, Unavailable};
use tokio::sync::oneshot;

use super::commit_slot::reserve;
use super::writer::Transaction;
use super::{After, State};

/// Messages that one request releases.
const BATCH: usize = 500;

/// What a person wishes for held messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldWish {
    /// Send them: those that the original has sent, too, come twice.
    Send,
    /// Cancel them: those that the original has not sent never come.
    Cancel,
}

/// What one request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Messages that are held no more.
    pub messages: u64,
    /// Whether nothing is held any more.
    pub is_all: bool,
}

pub(crate) struct ReleaseRequest {
    pub(crate) wish: HeldWish,
    pub(crate) by: By,
    pub(crate) reply: oneshot::Sender<Result<Released, Unavailable>>,
}

impl State {
    pub(super) fn release_held(&mut self, request: ReleaseRequest) -> Result<(), ActorProcessingErr> {
        let ReleaseRequest { wish, by, reply } = request;
        if self.writer.restored.is_none() {
            let _ = reply.send(Ok(Released { messages: 0, is_all: true }));
            return Ok(());
        }
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        let mut found: BTreeSet<_> =
            self.ctx.store.held(self.record.no, self.record.next_sender, BATCH)?.into_iter().collect();
        // Those whose hold is on its way to the disk.
        found.extend(self.writer.active.held());
        let is_all = found.len() < BATCH;
        let event = match wish {
            HeldWish::Send => Event::DueNow,
            HeldWish::Cancel => Event::Cancel,
        };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), by);
        let mut messages = 0;
        for id in found {
            let Some((message, before)) = self.writer.latest(id)? else { continue };
            // A decision on its way to the disk may have moved it on.
            if !before.is_held_by_restore() {
                continue;
            }
            let decision = decide(&message, &before, &event, &self.ctx.settings().policy, transaction.at, 0.0);
            if let Decision::Move(step) = decision {
                self.writer.apply(&mut transaction, &message, &before, *step, None)?;
                messages += 1;
            }
        }
        self.writer.fact(&mut transaction, Subject::Organisation, Fact::Released { messages })?;
        if is_all {
            transaction.commit.forget_restored();
            self.writer.restored = None;
        }
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, move |result| {
            let _ = reply.send(result.map(|()| Released { messages, is_all }).map_err(|_| Unavailable::Closed));
        });
        Ok(())
    }

    /// Holds a message that a receipt has queued again, if the receipt is about an attempt of the original: that may have been
    /// told the same, and have sent it again.
    pub(super) fn hold_if_restored(
        &mut self,
        transaction: &mut Transaction,
        message: &Arc<Message>,
        before: &MessageState,
        state: &MessageState,
        attempt: AttemptNo,
    ) -> Result<(), StoreError> {
        let Some(mark) = &self.writer.restored else { return Ok(()) };
        // What the original made after the backup is known from its receipts, and charges nothing.
        let is_the_originals = |attempt: &Attempt| attempt.started_at < mark.at || !attempt.charged;
        if !before.attempt(attempt).is_some_and(is_the_originals) {
            return Ok(());
        }
        if !matches!(state.phase, domain::Phase::Queued { .. }) {
            return Ok(());
        }
        let policy = &self.ctx.settings().policy;
        if let Decision::Move(step) = decide(message, state, &Event::Restored, policy, transaction.at, 0.0) {
            self.writer.apply(transaction, message, state, *step, None)?;
        }
        Ok(())
    }
}
