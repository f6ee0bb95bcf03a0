//! Commits handed in, and what follows once they are durable: until then, nothing does.

use std::sync::Arc;

use domain::audit::By;
use domain::erasure::Erasure;
use domain::{Message, MessageId, ProviderId, Seq, State as MessageState};
use ractor::ActorProcessingErr;
use store::group_commit::Slot;
use store::{CommitError, Unavailable};

use super::writer::{Snapshot, Transaction};
use super::{OrgMsg, State, erasure};
use crate::message::MessageMsg;

/// The end of a commit.
pub(crate) struct Committed {
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
    Swept,
    /// A person's data is to be erased.
    ErasureBegun(Box<(Erasure, erasure::Reply)>),
}

impl State {
    /// Makes the new epoch durable before anything else, so that an older owner is fenced off. If no slot in the commit queue is
    /// free, the first commit that finds one does it.
    pub(super) fn claim(&mut self) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let slot = match committer.reserve() {
            Ok(slot) => slot,
            Err(Unavailable::Busy) => return Ok(()),
            Err(error @ Unavailable::Closed) => return Err(error.into()),
        };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), By::System);
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, |_| ());
        Ok(())
    }

    /// Hands in a transaction. The commit thread calls `then` once `Committed` is in the mailbox: whatever `then` sets off, comes
    /// after that.
    pub(super) fn submit(
        &mut self,
        slot: Slot<'_>,
        transaction: Transaction,
        after: After,
        then: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) {
        let Transaction { commit, changed, named, .. } = transaction;
        let (me, seq) = (self.me.clone(), self.writer.head.last_seq);
        self.pending_commits += 1;
        slot.submit(commit, move |result| {
            me.send(OrgMsg::Committed(Box::new(Committed { result: result.clone(), changed, named, seq, after })));
            then(result);
        });
    }

    pub(super) async fn committed(&mut self, committed: Committed) -> Result<(), ActorProcessingErr> {
        let Committed { result, changed, named, seq, after } = committed;
        self.pending_commits = self.pending_commits.saturating_sub(1);
        self.meter.committed();
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
        let due = if matches!(after, After::Changed | After::Swept) { self.follow(&changed) } else { Vec::new() };
        self.writer.committed(&changed, &named);
        self.arrivals.committed(seq);
        self.uncommitted_consents.committed(seq);
        self.people.committed(seq);
        self.billing.committed(seq);
        self.tell_audit(seq);
        match after {
            After::Accepted { key, message, state } => self.accepted(key, message, state).await?,
            After::Proposed | After::Changed => {}
            After::Record => {
                self.recorded().await?;
                self.sweep_when_due()?;
            }
            After::Swept => self.swept(),
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
        for active in changed.iter().filter_map(|id| self.writer.active.get(*id)) {
            match self.writer.active.resident(active.message.id) {
                Some(resident) => resident.address.send(MessageMsg::Changed(Arc::clone(&active.state))),
                None if active.state.due().is_some() => {
                    due.push((Arc::clone(&active.message), Arc::clone(&active.state)))
                }
                None => {}
            }
        }
        due
    }
}
