//! Who has an actor: messages move in when they are due and there is room, and out when there is nothing to do.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::org::Sender;
use domain::{Message, MessageId, SenderNo, State as MessageState, Timestamp};
use ractor::{ActorCell, ActorProcessingErr};
use store::{DueEntry, Lane};

use super::{After, OrgMsg, State};
use crate::message::{MessageMsg, Proposal};
use crate::settings::Limits;
use crate::vitals::Vitals;

impl State {
    /// A message was accepted. While nobody waits for room it moves in at once; else it stays in the due index.
    pub(super) async fn welcome(
        &mut self,
        message: Arc<Message>,
        state: Arc<MessageState>,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        let Some(due) = state.due() else { return Ok(()) };
        if let Some(at) = message.expires_at {
            self.wake_at(at);
        }
        if due > now {
            self.wake_at(due);
        } else if self.is_paused(message.sender) || self.is_down(message.sender) {
            // It stays in the due index until the sender goes on.
        } else if !self.ctx.settings().enabled
            || self.crowded.contains(&message.sender)
            || (self.free_for(message.sender) == 0 && !self.make_room())
        {
            self.crowded.insert(message.sender);
        } else if self.writer.active.resident(message.id).is_none() {
            self.spawn_message(message, state).await?;
        }
        Ok(())
    }

    /// A sender's part of the room: a slow number with a long backlog must not keep out the messages of others.
    fn share(&self) -> usize {
        (self.ctx.settings().limits.max_resident / self.record.senders.len().max(1)).max(1)
    }

    /// How many more messages of a sender may move in.
    fn free_for(&self, sender: SenderNo) -> usize {
        let (limits, residents) = (&self.ctx.settings().limits, self.writer.active.residents());
        let in_all = limits.max_resident_in_all.saturating_sub(self.ctx.residents.load(Ordering::Relaxed));
        let in_all = in_all.max(Limits::MIN_RESIDENT.saturating_sub(residents));
        let free = limits.max_resident.saturating_sub(residents).min(in_all);
        free.min(self.share().saturating_sub(self.writer.active.residents_of(sender)))
    }

    /// Lets those go who only wait for their time, because others are due; says whether there were any.
    fn make_room(&mut self) -> bool {
        let waiting = self.writer.active.waiting(self.ctx.clock.now());
        for (actor, due) in &waiting {
            actor.stop(None);
            self.moved_out(actor);
            self.wake_at(*due);
        }
        !waiting.is_empty()
    }

    /// Moves in what is due, as far as there is room, and sets the alarm for what is due next.
    pub(super) async fn fill(&mut self) -> Result<(), ActorProcessingErr> {
        self.expire()?;
        if !self.ctx.settings().enabled || self.ctx.is_draining() {
            return Ok(());
        }
        self.fill_room().await?;
        if !self.crowded.is_empty() && self.make_room() {
            self.fill_room().await?;
        }
        Ok(())
    }

    async fn fill_room(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        self.crowded.clear();
        let settle = (1..self.record.next_sender).map(|no| (SenderNo(no), Lane::Settle));
        let is_active = |sender: &&Sender| self.record.pause_of(sender).is_none() && !self.is_down(sender.no);
        let mut active: Vec<_> = self.record.senders.iter().filter(is_active).map(|sender| sender.no).collect();
        // Who has the fewest comes first: where there is little room, none is kept out by those before it.
        active.sort_by_key(|no| self.writer.active.residents_of(*no));
        let send = active.into_iter().flat_map(|no| [Lane::High, Lane::Normal, Lane::Low].map(|lane| (no, lane)));
        for (sender, lane) in settle.chain(send).collect::<Vec<_>>() {
            let (due, next) = self.due(sender, lane, now)?;
            if let Some(at) = next {
                self.wake_at(at);
            }
            for id in due {
                if let Some((message, state)) = self.writer.latest(id)? {
                    self.spawn_message(message, state).await?;
                }
            }
        }
        Ok(())
    }

    /// What is due in a lane and has no actor, as far as there is room; and when the next after it is due.
    fn due(
        &mut self,
        sender: SenderNo,
        lane: Lane,
        now: Timestamp,
    ) -> Result<(Vec<MessageId>, Option<Timestamp>), ActorProcessingErr> {
        let room = self.free_for(sender);
        let (mut found, mut next, mut is_crowded) = (Vec::new(), None, false);
        self.ctx.store.due(self.record.no, sender, lane, &mut |DueEntry { at, id }| {
            // An active message may have moved on from what the index says, or an actor works on it.
            if self.writer.active.get(id).is_some() {
                return ControlFlow::Continue(());
            }
            if at > now {
                next = Some(at);
                return ControlFlow::Break(());
            }
            if found.len() >= room {
                is_crowded = true;
                return ControlFlow::Break(());
            }
            found.push(id);
            ControlFlow::Continue(())
        })?;
        if is_crowded {
            self.crowded.insert(sender);
        }
        Ok((found, next))
    }

    /// Sets the alarm, if it is not set for sooner.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
        let (me, wait) = (self.me.clone(), at.since(self.ctx.clock.now()));
        let sleeper = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            me.send(OrgMsg::Wake);
        });
        self.alarm = Some((at, sleeper.abort_handle()));
    }

    /// A MessageActor has decided a step.
    pub(super) fn propose(&mut self, proposal: Proposal) -> Result<(), ActorProcessingErr> {
        let Proposal { id, incarnation, base, step, by, response } = proposal;
        let Some(resident) = self.writer.active.resident(id).filter(|resident| resident.incarnation == incarnation)
        else {
            return Ok(());
        };
        let address = resident.address.clone();
        let Some((message, before)) = self.writer.latest(id)? else { return Ok(()) };
        if before.version != base {
            address.send(MessageMsg::Refused(before));
            return Ok(());
        }
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else {
            address.send(MessageMsg::Busy);
            return Ok(());
        };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), by);
        let mut after = self.take_step(&mut transaction, &message, &before, step, response)?;
        self.join_parked(&mut transaction)?;
        if let Some(active) = self.writer.active.get(id) {
            // Parked receipts may have moved it on.
            after = Arc::clone(&active.state);
        }
        self.writer.close(&mut transaction)?;
        // A sender's send permit is unused until the message acts: that must not wait for this actor's other messages.
        self.submit(slot, transaction, After::Proposed, move |result| {
            if result.is_ok() {
                address.send(MessageMsg::Durable(after));
            }
        });
        Ok(())
    }

    /// A MessageActor has nothing to do. It goes, unless something has just come up for it, or soon will and nobody needs
    /// the room.
    pub(super) async fn idle(
        &mut self,
        id: MessageId,
        incarnation: u64,
        version: u32,
    ) -> Result<(), ActorProcessingErr> {
        let Some(active) = self.writer.active.get(id) else { return Ok(()) };
        let (latest, sender) = (Arc::clone(&active.state), active.message.sender);
        let Some(resident) = self.writer.active.resident(id).filter(|resident| resident.incarnation == incarnation)
        else {
            return Ok(());
        };
        if latest.version != version {
            return Ok(());
        }
        let wait = latest.due().map(|due| due.since(self.ctx.clock.now()));
        let is_short = wait.is_some_and(|wait| !wait.is_zero() && wait <= self.ctx.settings().passivate_after);
        if is_short && !self.crowded.contains(&sender) && self.free_for(sender) > 0 {
            return Ok(());
        }
        let actor = resident.address.actor().clone();
        actor.stop(None);
        self.moved_out(&actor.get_cell());
        match latest.due() {
            Some(due) => self.wake_at(due),
            None => {
                self.message_crashes.remove(&id);
            }
        }
        self.refill().await
    }

    /// Moves the next in once a good part of a sender's room is free, or all that it had are gone: each look at the due index
    /// passes those who are in.
    pub(super) async fn refill(&mut self) -> Result<(), ActorProcessingErr> {
        let good_part = (self.share() / 4).max(1);
        let has_room = |sender: &SenderNo| {
            let free = self.free_for(*sender);
            free >= good_part || (free > 0 && self.writer.active.residents_of(*sender) == 0)
        };
        if self.crowded.iter().any(has_room) { self.fill().await } else { Ok(()) }
    }

    /// An actor has ended, or is told to: whose it was.
    pub(super) fn moved_out(&mut self, actor: &ActorCell) -> Option<(MessageId, Arc<Vitals>)> {
        let (id, resident) = self.writer.active.moved_out(actor.get_id())?;
        let vitals = Arc::clone(resident.address.vitals());
        self.vitals.disown(&vitals);
        Some((id, vitals))
    }
}
