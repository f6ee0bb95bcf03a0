//! Who has an actor: messages move in when they are due and there is room, and out when there is nothing to do. Children
//! that crash are started again within their budget.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::By;
use domain::lifecycle::{Decision, Event, decide};
use domain::{Message, MessageId, SenderNo, State as MessageState, Timestamp};
use ractor::{Actor, ActorCell, ActorProcessingErr};
use store::{DueEntry, Lane};

use super::desk::Resident;
use super::{After, Child, OrgMsg, State};
use crate::audit::{self, AuditActor, AuditMsg};
use crate::message::{self, MessageActor, MessageMsg, Proposal};
use crate::provider::{self, ProviderActor, ProviderMsg};
use crate::restart::{Budget, Crashes, Verdict};
use crate::vitals::{Address, Kind, Vitals};

/// A message that crashes more often than this ends as FAILED.
const MESSAGE_BUDGET: Budget = Budget { max: 3, period: Duration::from_secs(3600), delay: Duration::from_millis(200) };
/// A ProviderActor or an AuditActor that crashes more often takes its organisation's actor down with it.
const CHILD_BUDGET: Budget = Budget { max: 5, period: Duration::from_secs(60), delay: Duration::from_millis(100) };

impl State {
    /// A message was accepted. While nobody waits for room it moves in at once; else the due index keeps its place.
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
        } else if self.is_paused(message.sender) {
            // The due index keeps its place until the sender goes on.
        } else if !self.ctx.settings.enabled
            || self.crowded.contains(&message.sender)
            || (self.free_for(message.sender) == 0 && !self.make_room())
        {
            self.crowded.insert(message.sender);
        } else if self.ledger.desk.resident(message.id).is_none() {
            self.spawn_message(message, state).await?;
        }
        Ok(())
    }

    /// A sender's part of the room: a slow number with a long backlog must not keep out the messages of others.
    fn share(&self) -> usize {
        (self.ctx.settings.limits.max_resident / self.record.senders.len().max(1)).max(1)
    }

    /// How many more messages of a sender may move in.
    fn free_for(&self, sender: SenderNo) -> usize {
        let free = self.ctx.settings.limits.max_resident.saturating_sub(self.ledger.desk.residents());
        free.min(self.share().saturating_sub(self.ledger.desk.residents_of(sender)))
    }

    /// Lets those go who only wait for their time, because others are due; says whether there were any.
    fn make_room(&mut self) -> bool {
        let waiting = self.ledger.desk.waiting(self.ctx.clock.now());
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
        if !self.ctx.settings.enabled || self.ctx.is_draining() {
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
        let lanes = [Lane::High, Lane::Normal, Lane::Low];
        let active = || self.record.senders.iter().filter(|sender| self.record.pause_of(sender).is_none());
        let send = lanes.into_iter().flat_map(|lane| active().map(move |sender| (sender.no, lane)));
        for (sender, lane) in settle.chain(send).collect::<Vec<_>>() {
            let (due, next) = self.due(sender, lane, now)?;
            if let Some(at) = next {
                self.wake_at(at);
            }
            for id in due {
                if let Some((message, state)) = self.ledger.latest(id)? {
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
            // What is on the desk may have moved on from what the index says, or is being worked on.
            if self.ledger.desk.card(id).is_some() {
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

    pub(super) async fn spawn_message(
        &mut self,
        message: Arc<Message>,
        state: Arc<MessageState>,
    ) -> Result<(), ActorProcessingErr> {
        let provider = self.provider(message.sender).await?;
        let vitals = Vitals::new(Kind::Message, message.id.to_string(), self.ctx.clock.now());
        let incarnation = self.ledger.desk.next_incarnation();
        let args = message::Args {
            ctx: Arc::clone(&self.ctx),
            org: self.me.actor().get_derived(),
            org_no: self.record.no,
            provider,
            message: Arc::clone(&message),
            state: Arc::clone(&state),
            incarnation,
            vitals: Arc::clone(&vitals),
        };
        let (actor, _) = MessageActor::spawn_linked(None, MessageActor, args, self.me.actor().get_cell()).await?;
        self.vitals.adopt(&vitals);
        let address = Address::new(actor, vitals);
        self.ledger.desk.moved_in(message, state, Resident { address, incarnation });
        Ok(())
    }

    /// The actor of a sender, started if need be; `None` for a number that the organisation no longer has.
    pub(super) async fn provider(&mut self, no: SenderNo) -> Result<Option<Address<ProviderMsg>>, ActorProcessingErr> {
        if let Some(child) = self.providers.get(&no) {
            return Ok(Some(child.address.clone()));
        }
        let Some(sender) = self.record.senders.iter().find(|sender| sender.no == no) else { return Ok(None) };
        let crashes = self.crashes.remove(&no).unwrap_or_default();
        let vitals = match &crashes {
            (_, Some(vitals)) => Arc::clone(vitals),
            (_, None) => Vitals::new(Kind::Provider, sender.phone_number_id.as_str(), self.ctx.clock.now()),
        };
        let args = provider::Args {
            ctx: Arc::clone(&self.ctx),
            org: self.me.actor().get_derived(),
            sender: self.record.effective(sender),
            vitals: Arc::clone(&vitals),
        };
        let (actor, _) = ProviderActor::spawn_linked(None, ProviderActor, args, self.me.actor().get_cell()).await?;
        self.vitals.adopt(&vitals);
        let address = Address::new(actor, vitals);
        self.providers.insert(no, Child { address: address.clone(), crashes: crashes.0 });
        Ok(Some(address))
    }

    /// Starts the AuditActor, which then follows the trail.
    pub(super) async fn start_audit(&mut self) -> Result<(), ActorProcessingErr> {
        let (crashes, vitals) = match self.audit.take() {
            Some(Child { address, crashes }) => (crashes, Arc::clone(address.vitals())),
            None => (Crashes::default(), Vitals::new(Kind::Audit, self.record.id.as_str(), self.ctx.clock.now())),
        };
        let args = audit::Args {
            ctx: Arc::clone(&self.ctx),
            org: self.record.no,
            epoch: self.ledger.head.epoch,
            last_seq: self.ctx.store.head(self.record.no)?.last_seq,
            vitals: Arc::clone(&vitals),
        };
        let (actor, _) = AuditActor::spawn_linked(None, AuditActor, args, self.me.actor().get_cell()).await?;
        self.vitals.adopt(&vitals);
        self.audit = Some(Child { address: Address::new(actor, vitals), crashes });
        Ok(())
    }

    /// A MessageActor has decided a step.
    pub(super) fn propose(&mut self, proposal: Proposal) -> Result<(), ActorProcessingErr> {
        let Proposal { id, incarnation, base, step, by, response } = proposal;
        let Some(resident) = self.ledger.desk.resident(id).filter(|resident| resident.incarnation == incarnation)
        else {
            return Ok(());
        };
        let address = resident.address.clone();
        let Some((message, before)) = self.ledger.latest(id)? else { return Ok(()) };
        if before.version != base {
            address.send(MessageMsg::Refused(before));
            return Ok(());
        }
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else {
            address.send(MessageMsg::Busy);
            return Ok(());
        };
        let mut draft = self.ledger.draft(self.ctx.clock.now(), by);
        let mut after = self.ledger.apply(&mut draft, &message, &before, step, response)?;
        self.join_parked(&mut draft)?;
        if let Some(card) = self.ledger.desk.card(id) {
            // Parked receipts may have moved it on.
            after = Arc::clone(&card.state);
        }
        self.ledger.close(&mut draft)?;
        self.submit(slot, draft, After::Proposed { to: address, state: after }, |_| ());
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
        let Some(card) = self.ledger.desk.card(id) else { return Ok(()) };
        let (latest, sender) = (Arc::clone(&card.state), card.message.sender);
        let Some(resident) = self.ledger.desk.resident(id).filter(|resident| resident.incarnation == incarnation)
        else {
            return Ok(());
        };
        if latest.version != version {
            return Ok(());
        }
        let wait = latest.due().map(|due| due.since(self.ctx.clock.now()));
        let is_short = wait.is_some_and(|wait| !wait.is_zero() && wait <= self.ctx.settings.passivate_after);
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

    /// Moves the next in once a good part of the room is free: each look at the due index passes those who are in.
    async fn refill(&mut self) -> Result<(), ActorProcessingErr> {
        let (desk, share) = (&self.ledger.desk, self.share());
        let has_room = desk.residents() + share / 4 <= self.ctx.settings.limits.max_resident;
        if has_room && self.crowded.iter().any(|sender| desk.residents_of(*sender) + share / 4 <= share) {
            return self.fill().await;
        }
        Ok(())
    }

    fn moved_out(&mut self, actor: &ActorCell) -> Option<MessageId> {
        let (id, resident) = self.ledger.desk.moved_out(actor.get_id())?;
        self.vitals.disown(resident.address.vitals());
        Some(id)
    }

    /// A child has ended; `cause` tells why, if it crashed.
    pub(super) async fn child_ended(
        &mut self,
        actor: &ActorCell,
        cause: Option<String>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(id) = self.moved_out(actor) {
            if let Some(cause) = cause {
                self.message_crashed(id, cause)?;
            }
            return self.refill().await;
        }
        if self.audit.as_ref().is_some_and(|child| child.address.actor().get_id() == actor.get_id()) {
            if let Some(child) = &mut self.audit {
                let restart = child.crashed(&CHILD_BUDGET, self.ctx.clock.now(), cause)?;
                self.later(restart, OrgMsg::StartAudit);
            }
            return Ok(());
        }
        let crashed = self.providers.iter().find(|(_, child)| child.address.actor().get_id() == actor.get_id());
        if let Some(no) = crashed.map(|(no, _)| *no)
            && let Some(mut child) = self.providers.remove(&no)
        {
            let restart = child.crashed(&CHILD_BUDGET, self.ctx.clock.now(), cause)?;
            let vitals = Arc::clone(child.address.vitals());
            self.crashes.insert(no, (child.crashes, Some(vitals)));
            self.later(restart, OrgMsg::StartProvider(no));
        }
        Ok(())
    }

    /// Starts a ProviderActor again and lets all who may have waited at the old one ask again.
    pub(super) async fn restart_provider(&mut self, no: SenderNo) -> Result<(), ActorProcessingErr> {
        if let Some(address) = self.provider(no).await? {
            for (message, resident) in self.ledger.desk.addresses() {
                if message.sender == no {
                    resident.send(MessageMsg::Provider(Some(address.clone())));
                }
            }
        }
        Ok(())
    }

    fn message_crashed(&mut self, id: MessageId, cause: String) -> Result<(), ActorProcessingErr> {
        tracing::error!(path = %format!("/root/org:{}/message:{id}", self.record.id), %cause, "an actor crashed");
        let now = self.ctx.clock.now();
        match self.message_crashes.entry(id).or_default().note(&MESSAGE_BUDGET, now) {
            Verdict::Restart(after) => self.later(after, OrgMsg::Revive(id)),
            Verdict::GiveUp => {
                self.message_crashes.remove(&id);
                self.give_up(id, cause)?;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, id: MessageId, cause: String) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else {
            self.later(MESSAGE_BUDGET.delay, OrgMsg::Revive(id));
            return Ok(());
        };
        let Some((message, before)) = self.ledger.latest(id)? else { return Ok(()) };
        let now = self.ctx.clock.now();
        let event = Event::Crash { cause };
        if let Decision::Move(step) = decide(&message, &before, &event, &self.ctx.settings.policy, now, 0.0) {
            let mut draft = self.ledger.draft(now, By::System);
            self.ledger.apply(&mut draft, &message, &before, *step, None)?;
            self.ledger.close(&mut draft)?;
            self.submit(slot, draft, After::Changed, |_| ());
        }
        Ok(())
    }

    /// A crashed MessageActor's pause is over.
    pub(super) async fn revive(&mut self, id: MessageId) -> Result<(), ActorProcessingErr> {
        if self.ledger.desk.resident(id).is_none()
            && let Some((message, state)) = self.ledger.latest(id)?
        {
            self.welcome(message, state).await?;
        }
        Ok(())
    }

    fn later(&self, after: Duration, mail: OrgMsg) {
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            me.send(mail);
        });
    }

    /// Tells the AuditActor how far the trail is durable.
    pub(super) fn tell_audit(&self, seq: domain::Seq) {
        if let Some(child) = &self.audit {
            child.address.send(AuditMsg::Appended(seq));
        }
    }
}
