//! The desk: the latest state of every message that an actor works on or whose change is not yet durable. What is not on
//! the desk is as the store has it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::{AttemptStatus, Message, MessageId, Phase, SenderNo, State, Timestamp};
use ractor::{ActorCell, ActorId};

use crate::address::Address;
use crate::context::Context;
use crate::message::MessageMsg;

/// One message on the desk.
pub(super) struct Card {
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

/// The messages on the desk, and whose actor is whose.
#[derive(Default)]
pub(super) struct Desk {
    cards: BTreeMap<MessageId, Card>,
    by_actor: HashMap<ActorId, MessageId>,
    /// How many actors each sender has.
    by_sender: HashMap<SenderNo, usize>,
    incarnations: u64,
}

impl Desk {
    pub(super) fn card(&self, id: MessageId) -> Option<&Card> {
        self.cards.get(&id)
    }

    /// Whether all that was decided of a message is durable.
    pub(super) fn is_written(&self, id: MessageId) -> bool {
        self.cards.get(&id).is_none_or(|card| card.unwritten == 0)
    }

    pub(super) fn resident(&self, id: MessageId) -> Option<&Resident> {
        self.cards.get(&id)?.resident.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    pub(super) fn residents(&self) -> usize {
        self.by_actor.len()
    }

    pub(super) fn residents_of(&self, sender: SenderNo) -> usize {
        self.by_sender.get(&sender).copied().unwrap_or_default()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (&Message, &Address<MessageMsg>)> {
        self.cards.values().filter_map(|card| Some((&*card.message, &card.resident.as_ref()?.address)))
    }

    /// Messages that are held since a restore.
    pub(super) fn held(&self) -> impl Iterator<Item = MessageId> {
        self.cards.values().filter(|card| card.state.is_held_by_restore()).map(|card| card.message.id)
    }

    /// Actors that only wait for their message's time, and when that is.
    pub(super) fn waiting(&self, now: Timestamp) -> Vec<(ActorCell, Timestamp)> {
        let waits = |card: &Card| {
            let due = due_after_rest(&card.state).filter(|due| card.unwritten == 0 && *due > now)?;
            Some((card.resident.as_ref()?.address.actor().get_cell(), due))
        };
        self.cards.values().filter_map(waits).collect()
    }

    /// A change was decided and handed to the store.
    pub(super) fn changed(&mut self, message: &Arc<Message>, state: Arc<State>) {
        let card = self.cards.entry(message.id).or_insert_with(|| Card {
            message: Arc::clone(message),
            state: Arc::clone(&state),
            unwritten: 0,
            resident: None,
        });
        card.message = Arc::clone(message);
        card.state = state;
        card.unwritten += 1;
    }

    /// A change is durable.
    pub(super) fn landed(&mut self, id: MessageId) {
        if let Some(card) = self.cards.get_mut(&id) {
            card.unwritten = card.unwritten.saturating_sub(1);
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
        let card =
            self.cards.entry(message.id).or_insert_with(|| Card { message, state, unwritten: 0, resident: None });
        card.resident = Some(resident);
    }

    /// An actor has ended, or is told to.
    pub(super) fn moved_out(&mut self, actor: ActorId) -> Option<(MessageId, Resident)> {
        let id = self.by_actor.remove(&actor)?;
        let card = self.cards.get_mut(&id)?;
        let resident = card.resident.take()?;
        if let Some(count) = self.by_sender.get_mut(&card.message.sender) {
            *count = count.saturating_sub(1);
        }
        self.clear(id);
        Some((id, resident))
    }

    fn clear(&mut self, id: MessageId) {
        if self.cards.get(&id).is_some_and(|card| card.unwritten == 0 && card.resident.is_none()) {
            self.cards.remove(&id);
        }
    }
}

/// When a message is due that has no call under way.
fn due_after_rest(state: &State) -> Option<Timestamp> {
    match state.phase {
        Phase::Queued { due } => Some(due),
        Phase::Sending { due } => {
            let is_back = state.attempts.last().is_some_and(|attempt| attempt.status == AttemptStatus::Unknown);
            Some(due).filter(|_| is_back)
        }
        Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => None,
    }
}
