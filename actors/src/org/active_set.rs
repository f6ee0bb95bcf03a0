//! The active set: the latest state of every message that an actor works on or whose change is not yet durable. The store has
//! the latest state of every other message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::{AttemptStatus, Message, MessageId, Phase, SenderNo, State, Timestamp};
use ractor::{ActorCell, ActorId};

use crate::address::Address;
use crate::context::Context;
use crate::message::MessageMsg;

/// One message in the active set.
pub(super) struct ActiveMessage {
    pub(super) message: Arc<Message>,
    /// The latest state decided, durable or on its way to be.
    pub(super) state: Arc<State>,
    /// Commits of it that are on their way.
    unwritten: u32,
    resident: Option<Resident>,
}

/// The MessageActor of a message. While it is here, it counts among those of all organisations.
pub(super) struct Resident {
    pub(super) address: Address<MessageMsg>,
    /// Tells this actor from those that it replaced.
    pub(super) incarnation: u64,
    ctx: Arc<Context>,
}

impl Resident {
    pub(super) fn new(address: Address<MessageMsg>, incarnation: u64, ctx: &Arc<Context>) -> Self {
        ctx.residents.fetch_add(1, Ordering::Relaxed);
        Self { address, incarnation, ctx: Arc::clone(ctx) }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.ctx.residents.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The active messages, and which actor works on which.
#[derive(Default)]
pub(super) struct ActiveSet {
    messages: BTreeMap<MessageId, ActiveMessage>,
    by_actor: HashMap<ActorId, MessageId>,
    /// How many actors each sender has.
    by_sender: HashMap<SenderNo, usize>,
    incarnations: u64,
}

impl ActiveSet {
    pub(super) fn get(&self, id: MessageId) -> Option<&ActiveMessage> {
        self.messages.get(&id)
    }

    /// Whether all that was decided of a message is durable.
    pub(super) fn is_written(&self, id: MessageId) -> bool {
        self.messages.get(&id).is_none_or(|active| active.unwritten == 0)
    }

    pub(super) fn resident(&self, id: MessageId) -> Option<&Resident> {
        self.messages.get(&id)?.resident.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn residents(&self) -> usize {
        self.by_actor.len()
    }

    pub(super) fn residents_of(&self, sender: SenderNo) -> usize {
        self.by_sender.get(&sender).copied().unwrap_or_default()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (&Message, &Address<MessageMsg>)> {
        self.messages.values().filter_map(|active| Some((&*active.message, &active.resident.as_ref()?.address)))
    }

    /// Messages that are held since a restore.
    pub(super) fn held(&self) -> impl Iterator<Item = MessageId> {
        self.messages.values().filter(|active| active.state.is_held_by_restore()).map(|active| active.message.id)
    }

    /// Actors that only wait for their message's time, and when that is.
    pub(super) fn waiting(&self, now: Timestamp) -> Vec<(ActorCell, Timestamp)> {
        let waits = |active: &ActiveMessage| {
            let due = due_if_idle(&active.state).filter(|due| active.unwritten == 0 && *due > now)?;
            Some((active.resident.as_ref()?.address.actor().get_cell(), due))
        };
        self.messages.values().filter_map(waits).collect()
    }

    /// A change was decided and handed to the store.
    pub(super) fn changed(&mut self, message: &Arc<Message>, state: Arc<State>) {
        let active = self.messages.entry(message.id).or_insert_with(|| ActiveMessage {
            message: Arc::clone(message),
            state: Arc::clone(&state),
            unwritten: 0,
            resident: None,
        });
        active.message = Arc::clone(message);
        active.state = state;
        active.unwritten += 1;
    }

    /// A change is durable.
    pub(super) fn committed(&mut self, id: MessageId) {
        if let Some(active) = self.messages.get_mut(&id) {
            active.unwritten = active.unwritten.saturating_sub(1);
            self.clear(id);
        }
    }

    /// The number for the next actor.
    pub(super) const fn next_incarnation(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations
    }

    /// A message has an actor now.
    pub(super) fn moved_in(&mut self, message: Arc<Message>, state: Arc<State>, resident: Resident) {
        self.by_actor.insert(resident.address.actor().get_id(), message.id);
        *self.by_sender.entry(message.sender).or_default() += 1;
        let active = self.messages.entry(message.id).or_insert_with(|| ActiveMessage {
            message,
            state,
            unwritten: 0,
            resident: None,
        });
        active.resident = Some(resident);
    }

    /// An actor has ended, or is told to.
    pub(super) fn moved_out(&mut self, actor: ActorId) -> Option<(MessageId, Resident)> {
        let id = self.by_actor.remove(&actor)?;
        let active = self.messages.get_mut(&id)?;
        let resident = active.resident.take()?;
        if let Some(count) = self.by_sender.get_mut(&active.message.sender) {
            *count = count.saturating_sub(1);
        }
        self.clear(id);
        Some((id, resident))
    }

    fn clear(&mut self, id: MessageId) {
        if self.messages.get(&id).is_some_and(|active| active.unwritten == 0 && active.resident.is_none()) {
            self.messages.remove(&id);
        }
    }
}

/// When a message is due that has no call under way.
fn due_if_idle(state: &State) -> Option<Timestamp> {
    match state.phase {
        Phase::Queued { due } => Some(due),
        Phase::Sending { due } => {
            let is_back = state.attempts.last().is_some_and(|attempt| attempt.status == AttemptStatus::Unknown);
            Some(due).filter(|_| is_back)
        }
        Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => None,
    }
}
