//! Commits handed in, and what follows once they are durable: until then, nothing does.

use std::sync::Arc;

use domain::audit::By;
use domain::erasure::Erasure;
use domain::{Message, MessageId, ProviderId, Seq, State as MessageState};
use ractor::ActorProcessingErr;
use store::group_commit::Slot;
use store::{CommitError, Unavailable};

use super::ledger::{Draft, Snapshot};
use super::{OrgMsg, State, erasure};
use crate::message::MessageMsg;

/// The end of a commit.
pub(crate) struct Landed {
    result: Result<(), CommitError>,
    changed: Vec<MessageId>,
    named: Vec<ProviderId>,
    seq: Seq,
    after: After,
}

/// What a commit was for.
pub(super) enum After {
    /// A message was accepted.
    Accepted { key: Option<String>, message: Arc<Message>, state: Arc<MessageState> },
    /// A MessageActor's step; the commit thread tells it.
    Proposed,
    /// Messages changed from outside; those with actors are to follow.
    Changed,
    /// The organisation changed.
    Record,
    /// What was kept long enough is gone.
    Tended,
    /// A person's data is to be erased.
    ErasureBegun(Box<(Erasure, erasure::Reply)>),
}

impl State {
    /// Makes the new epoch durable before anything else, so that an older owner is fenced off. If there is no place in the
    /// queue, the first commit that finds one does it.
    pub(super) fn claim(&mut self) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let slot = match committer.reserve() {
            Ok(slot) => slot,
            Err(Unavailable::Busy) => return Ok(()),
            Err(error @ Unavailable::Closed) => return Err(error.into()),
        };
        let mut draft = self.ledger.draft(self.ctx.clock.now(), By::System);
        self.ledger.close(&mut draft)?;
        self.submit(slot, draft, After::Changed, |_| ());
        Ok(())
    }

    /// Hands in a draft. `then` is called from the commit thread once `Landed` is in the mailbox: what comes of it, comes after
    /// that.
    pub(super) fn submit(
        &mut self,
        slot: Slot<'_>,
        draft: Draft,
        after: After,
        then: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let Draft { commit, changed, named, .. } = draft;
        let (me, seq) = (self.me.clone(), self.ledger.head.last_seq);
        self.unlanded += 1;
        slot.submit(commit, move |result| {
            me.send(OrgMsg::Landed(Box::new(Landed { result: result.clone(), changed, named, seq, after })));
            then(result);
        });
    }

    pub(super) async fn landed(&mut self, landed: Landed) -> Result<(), ActorProcessingErr> {
        let Landed { result, changed, named, seq, after } = landed;
        self.unlanded = self.unlanded.saturating_sub(1);
        self.meter.landed();
        match result {
            Ok(()) => {}
            // Another owner has taken over: this one must end.
            Err(CommitError::Fenced) => return Err(CommitError::Fenced.into()),
            // The store is unwell; the runtime will be ended and started anew. What was not written did not happen, and whoever
            // waits for it learns so by the end of its channel.
            Err(CommitError::Store(_)) => {
                self.pending.clear();
                return Ok(());
            }
        }
        let due = if matches!(after, After::Changed | After::Tended) { self.follow(&changed) } else { Vec::new() };
        self.ledger.landed(&changed, &named);
        self.arrivals.landed(seq);
        self.fresh.landed(seq);
        self.people.landed(seq);
        self.billing.landed(seq);
        self.tell_audit(seq);
        match after {
            After::Accepted { key, message, state } => self.accepted(key, message, state).await?,
            After::Proposed | After::Changed => {}
            After::Record => {
                self.recorded().await?;
                self.tend_when_due()?;
            }
            After::Tended => self.tended(),
            After::ErasureBegun(begun) => self.erasure_begun(begun.0, begun.1),
        }
        for (message, state) in due {
            self.welcome(message, state).await?;
        }
        Ok(())
    }

    /// Tells the actors of messages of a change that they did not propose; what is due and has none is returned.
    fn follow(&self, changed: &[MessageId]) -> Vec<Snapshot> {
        let mut due = Vec::new();
        for card in changed.iter().filter_map(|id| self.ledger.desk.card(*id)) {
            match self.ledger.desk.resident(card.message.id) {
                Some(resident) => resident.address.send(MessageMsg::Changed(Arc::clone(&card.state))),
                None if card.state.due().is_some() => due.push((Arc::clone(&card.message), Arc::clone(&card.state))),
                None => {}
            }
        }
        due
    }
}
