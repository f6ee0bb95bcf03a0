//! What a person does to a message: cancel it, or queue it again.

use std::sync::Arc;

use domain::MessageId;
use domain::audit::By;
use domain::consent::Refusal;
use domain::lifecycle::{Decision, Event, Ignored, decide};
use ractor::ActorProcessingErr;
use store::Unavailable;
use tokio::sync::oneshot;

use super::commit_slot::reserve;
use super::writer::Snapshot;
use super::{After, State};

/// A person's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manual {
    /// Cancel it.
    Cancel,
    /// Queue it again.
    Retry,
}

/// Why it cannot be done. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManualError {
    /// There is no such message here.
    #[error("no such message")]
    NotFound,
    /// The recipient's consent does not let the message go.
    #[error("{0}")]
    Blocked(Refusal),
    /// The message is not in a state for it.
    #[error("the message is not in a state for it")]
    WrongState,
    /// The organisation's actor crashed.
    #[error("{0}")]
    Down(Arc<str>),
    /// The service is stopping, overloaded, or its store is unwell.
    #[error("the service takes no changes now")]
    Unavailable,
}

impl From<Unavailable> for ManualError {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

pub(crate) struct ManualRequest {
    pub(crate) id: MessageId,
    pub(crate) wish: Manual,
    pub(crate) by: By,
    pub(crate) reply: oneshot::Sender<Result<Snapshot, ManualError>>,
}

impl State {
    pub(super) fn manual(&mut self, request: ManualRequest) -> Result<(), ActorProcessingErr> {
        let ManualRequest { id, wish, by, reply } = request;
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        let Some((message, before)) = self.writer.latest(id)? else {
            let _ = reply.send(Err(ManualError::NotFound));
            return Ok(());
        };
        let event = match wish {
            Manual::Cancel => Event::Cancel,
            Manual::Retry => Event::Requeue,
        };
        let now = self.ctx.clock.now();
        if wish == Manual::Retry && message.is_payload_erased() {
            let _ = reply.send(Err(ManualError::WrongState));
            return Ok(());
        }
        match decide(&message, &before, &event, &self.ctx.settings().policy, now, self.ctx.clock.roll()) {
            Decision::Move(step) => {
                let category = self.weighed(&message.from, message.category, || message.template())?;
                if wish == Manual::Retry
                    && let Some(refused) = self.refusal(&message.to, category)?
                {
                    let refusal = refused.0;
                    return self.refuse(slot, by, refused, message.dossier.as_ref(), move |result| {
                        let error = result.map_or(ManualError::Unavailable, |()| ManualError::Blocked(refusal));
                        let _ = reply.send(Err(error));
                    });
                }
                let mut transaction = self.writer.begin(now, by);
                let after = self.writer.apply(&mut transaction, &message, &before, *step, None)?;
                self.writer.close(&mut transaction)?;
                self.submit(slot, transaction, After::Changed, move |result| {
                    let answer = result.map(|()| (message, after));
                    let _ = reply.send(answer.map_err(|_| ManualError::Unavailable));
                });
            }
            Decision::Ignore(
                Ignored::NotCancellable
                | Ignored::NotRetryable
                | Ignored::TooEarly
                | Ignored::Overtaken
                | Ignored::Repeated
                | Ignored::UnknownAttempt,
            ) => {
                let _ = reply.send(Err(ManualError::WrongState));
            }
        }
        Ok(())
    }
}
