//! Accepting a message: who may send from where, has this request come before, is there room.

use std::sync::Arc;

use domain::audit::{By, Hash};
use domain::consent::Refusal;
use domain::intake::NewMessage;
use domain::state::Status;
use domain::{FieldError, Message, MessageId, State as MessageState, Timestamp};
use ractor::ActorProcessingErr;
use store::Unavailable;
use tokio::sync::oneshot;

use super::commit_slot::reserve;
use super::{After, State};
use crate::admission::Admission;

/// A request to accept a message.
pub(crate) struct Accept {
    pub(crate) request: NewMessage,
    pub(crate) by: By,
    pub(crate) reply: Reply,
    /// Bounds how many requests wait in the mailbox; given back when the request is answered.
    pub(crate) admission: Admission,
}

type Reply = oneshot::Sender<Result<Accepted, AcceptError>>;

/// An accepted message, durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The message.
    pub message: Arc<Message>,
    /// Its state.
    pub state: Arc<MessageState>,
    /// Whether an earlier request with the same idempotency key had created it.
    pub replayed: bool,
}

/// Why a message was not accepted. Nothing was kept of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// There is no such organisation.
    #[error("no such organisation")]
    NoSuchOrg,
    /// The request does not fit the organisation.
    #[error("the request is invalid")]
    Invalid(Vec<FieldError>),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The recipient's consent does not let the message go.
    #[error("{0}")]
    Blocked(Refusal),
    /// Too many messages are queued.
    #[error("too many messages are queued")]
    QueueFull,
    /// Too many requests wait for the store.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The organisation's actor crashed.
    #[error("{0}")]
    Down(Arc<str>),
    /// The service is stopping, or its store is unwell.
    #[error("the service takes no messages now")]
    Unavailable,
}

impl From<Unavailable> for AcceptError {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Busy => Self::Overloaded,
            Unavailable::Closed => Self::Unavailable,
        }
    }
}

/// A request on its way to be durable, and those who sent the same one meanwhile.
pub(super) struct Pending {
    id: MessageId,
    fingerprint: Hash,
    repeats: Vec<(Reply, Admission)>,
}

impl State {
    pub(super) fn accept(&mut self, accept: Accept) -> Result<(), ActorProcessingErr> {
        let Accept { request, by, reply, admission } = accept;
        match self.admit(&request)? {
            Plan::New => self.create(request, by, reply, admission)?,
            Plan::Pending(key) => {
                if let Some(pending) = self.pending.get_mut(&key) {
                    pending.repeats.push((reply, admission));
                }
            }
            Plan::Known(id) => {
                let known = self.writer.latest(id)?;
                let answer = known.map(|(message, state)| Accepted { message, state, replayed: true });
                let _ = reply.send(answer.ok_or(AcceptError::Unavailable));
            }
            Plan::Refused(error) => {
                let _ = reply.send(Err(error));
            }
        }
        Ok(())
    }

    fn admit(&self, request: &NewMessage) -> Result<Plan, ActorProcessingErr> {
        if self.ctx.is_draining() {
            return Ok(Plan::Refused(AcceptError::Unavailable));
        }
        let Some(key) = request.idempotency_key() else { return Ok(self.room()) };
        if let Some(pending) = self.pending.get(key) {
            return Ok(match pending.fingerprint == request.fingerprint {
                true => Plan::Pending(key.to_owned()),
                false => Plan::Refused(AcceptError::KeyReused),
            });
        }
        Ok(match self.ctx.store.idempotency(self.record.no, key)? {
            Some((id, fingerprint)) if request.made(&fingerprint) => Plan::Known(id),
            Some(_) => Plan::Refused(AcceptError::KeyReused),
            None => self.room(),
        })
    }

    fn room(&self) -> Plan {
        if self.has_room() { Plan::New } else { Plan::Refused(AcceptError::QueueFull) }
    }

    pub(super) fn has_room(&self) -> bool {
        let most = self.ctx.settings().limits.max_queued;
        let most = self.record.quotas.max_queued.map_or(most, |own| most.min(own.into()));
        self.writer.head.count(Status::Queued) < most
    }

    fn create(
        &mut self,
        request: NewMessage,
        by: By,
        reply: Reply,
        admission: Admission,
    ) -> Result<(), ActorProcessingErr> {
        let from = |message| FieldError { field: "from".into(), message };
        let late = request.late(self.ctx.clock.now());
        let sender = match late.map_or_else(|| self.choose_sender(&request).map_err(from), Err) {
            Ok(sender) => sender,
            Err(error) => {
                let _ = reply.send(Err(AcceptError::Invalid(vec![error])));
                return Ok(());
            }
        };
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        let category = self.weighed(&sender.0, request.category(), || request.template())?;
        if let Some(refused) = self.refusal(request.to(), category)? {
            let refusal = refused.0;
            return self.refuse(slot, by, refused, request.dossier(), move |result| {
                let _ = reply.send(Err(result.map_or(AcceptError::Unavailable, |()| AcceptError::Blocked(refusal))));
                admission.end();
            });
        }
        let now = self.ctx.clock.now();
        let id = self.ctx.clock.new_message_id(now);
        let (key, fingerprint) = (request.idempotency_key().map(str::to_owned), request.fingerprint);
        let message = Arc::new(request.into_message(id, sender.0, sender.1, now));
        let state = self.first_state(&message, now);

        let mut transaction = self.writer.begin(now, by);
        let state = self.writer.accept(&mut transaction, &message, state, &fingerprint)?;
        self.writer.close(&mut transaction)?;
        if let Some(key) = key.clone() {
            self.pending.insert(key, Pending { id, fingerprint, repeats: Vec::new() });
        }
        let after = After::Accepted { key, message: Arc::clone(&message), state: Arc::clone(&state) };
        self.submit(slot, transaction, after, move |result| {
            let answer = result.map(|()| Accepted { message, state, replayed: false });
            let _ = reply.send(answer.map_err(|_| AcceptError::Unavailable));
            admission.end();
        });
        Ok(())
    }

    /// The state of a message that is accepted now: due not before its `send_at`, and no later than it expires, to end
    /// then.
    pub(super) fn first_state(&self, message: &Message, now: Timestamp) -> MessageState {
        let retry = &self.ctx.settings().policy.retry;
        let soonest = now.after(retry.delay(0, self.ctx.clock.roll()));
        let due = message.send_at.map_or(soonest, |at| at.max(soonest));
        let due = message.expires_at.map_or(due, |at| at.min(due));
        MessageState::accepted(due, retry.max_attempts(), now)
    }

    fn choose_sender(&self, request: &NewMessage) -> Result<(domain::PhoneNumberId, domain::SenderNo), String> {
        let sender = match (&request.from, self.record.senders.as_slice()) {
            (Some(from), _) => {
                let found = self.record.sender(from);
                found.ok_or_else(|| format!("{from} is not a sender of this organisation"))?
            }
            (None, [only]) => only,
            (None, []) => return Err("the organisation has no sender yet; add one first".into()),
            (None, _) => return Err("is required: the organisation has more than one sender".into()),
        };
        Ok((sender.phone_number_id.clone(), sender.no))
    }

    /// A new message is durable: whoever sent the same request meanwhile is answered, too, and it may go.
    pub(super) async fn accepted(
        &mut self,
        key: Option<String>,
        message: Arc<Message>,
        state: Arc<MessageState>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(pending) = key.and_then(|key| self.pending.remove(&key)) {
            debug_assert_eq!(pending.id, message.id);
            for (reply, _admission) in pending.repeats {
                let (message, state) = (Arc::clone(&message), Arc::clone(&state));
                let _ = reply.send(Ok(Accepted { message, state, replayed: true }));
            }
        }
        self.welcome(message, state).await
    }
}

/// What is to be done with a request.
enum Plan {
    New,
    /// The same request is on its way, under this key.
    Pending(String),
    /// The same request created this message.
    Known(MessageId),
    Refused(AcceptError),
}
