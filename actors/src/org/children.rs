//! Its children: the actors of its senders, its messages and its audit trail. What crashes, or does not start, is started
//! again within its budget.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::By;
use domain::lifecycle::{Decision, Event, decide};
use domain::{Message, MessageId, SenderNo, Seq, State as MessageState, Timestamp};
use ractor::{Actor, ActorCell, ActorProcessingErr};

use super::active_set::Resident;
use super::{After, OrgMsg, State};
use crate::address::Address;
use crate::audit::{self, AuditActor, AuditMsg};
use crate::message::{self, MessageActor, MessageMsg};
use crate::provider::{self, ProviderActor, ProviderMsg};
use crate::restart::{Budget, Crashes, Verdict};
use crate::vitals::{Kind, Vitals};

/// A message that crashes more often than this ends as FAILED.
const MESSAGE_BUDGET: Budget = Budget { max: 3, period: Duration::from_secs(3600), delay: Duration::from_millis(200) };
/// A ProviderActor or an AuditActor that crashes more often takes its organisation's actor down with it.
const CHILD_BUDGET: Budget = Budget { max: 5, period: Duration::from_secs(60), delay: Duration::from_millis(100) };

/// A child that is started again when it crashes.
pub(super) struct Child<M> {
    /// `None` while it is down.
    pub(super) address: Option<Address<M>>,
    vitals: Arc<Vitals>,
    crashes: Crashes,
}

impl<M: ractor::Message> Child<M> {
    pub(super) fn new(vitals: Arc<Vitals>) -> Self {
        Self { address: None, vitals, crashes: Crashes::default() }
    }

    fn is(&self, actor: &ActorCell) -> bool {
        self.address.as_ref().is_some_and(|address| address.actor().get_id() == actor.get_id())
    }

    /// It is not needed any more.
    pub(super) fn dismiss(&self, parent: &Vitals) {
        if let Some(address) = &self.address {
            address.actor().stop(None);
        }
        parent.disown(&self.vitals);
    }

    /// How long to wait before starting it again; an error once its budget is used up.
    fn crashed(&mut self, cause: &str, now: Timestamp, roll: f64) -> Result<Duration, ActorProcessingErr> {
        self.address = None;
        let verdict = self.crashes.note(&CHILD_BUDGET, now, roll);
        self.vitals.crashed(cause, verdict);
        match verdict {
            Verdict::Restart(after) => Ok(after),
            Verdict::Quarantine(_) | Verdict::GiveUp => {
                Err(format!("its {} actor crashes again and again", self.vitals.kind.as_str()).into())
            }
        }
    }
}

impl State {
    pub(super) async fn spawn_message(
        &mut self,
        message: Arc<Message>,
        state: Arc<MessageState>,
    ) -> Result<(), ActorProcessingErr> {
        let provider = self.provider(message.sender).await?;
        let id = message.id;
        let vitals = self.vitals.child(Kind::Message, &id.to_string(), self.ctx.clock.now());
        let incarnation = self.writer.active.next_incarnation();
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
        match MessageActor::spawn_linked(None, MessageActor, args, self.me.actor().get_cell()).await {
            Ok((actor, _)) => {
                self.vitals.adopt(&vitals);
                let resident = Resident::new(Address::new(actor, vitals), incarnation, &self.ctx);
                self.writer.active.moved_in(message, state, resident);
                Ok(())
            }
            // A failed start does not come as an event.
            Err(error) => self.message_crashed(id, &vitals, &error.to_string()),
        }
    }

    pub(super) fn running_provider(&self, no: SenderNo) -> Option<&Address<ProviderMsg>> {
        self.providers.get(&no)?.address.as_ref()
    }

    /// Whether a sender's actor crashed and is not started again yet.
    pub(super) fn is_down(&self, no: SenderNo) -> bool {
        self.providers.get(&no).is_some_and(|child| child.address.is_none())
    }

    /// The actor of a sender, started if need be; `None` for one that is down, or that the organisation no longer has.
    pub(super) async fn provider(&mut self, no: SenderNo) -> Result<Option<Address<ProviderMsg>>, ActorProcessingErr> {
        if let Some(child) = self.providers.get(&no) {
            return Ok(child.address.clone());
        }
        let Some(sender) = self.record.senders.iter().find(|sender| sender.no == no) else { return Ok(None) };
        let vitals = self.vitals.child(Kind::Provider, sender.phone_number_id.as_str(), self.ctx.clock.now());
        self.providers.insert(no, Child::new(vitals));
        self.start_provider(no).await?;
        Ok(self.running_provider(no).cloned())
    }

    async fn start_provider(&mut self, no: SenderNo) -> Result<(), ActorProcessingErr> {
        let sender = self.record.senders.iter().find(|sender| sender.no == no);
        let (Some(sender), Some(child)) = (sender, self.providers.get_mut(&no)) else { return Ok(()) };
        let args = provider::Args {
            ctx: Arc::clone(&self.ctx),
            org: self.me.actor().get_derived(),
            org_id: self.record.id.clone(),
            org_no: self.record.no,
            sender: self.record.effective(sender),
            vitals: Arc::clone(&child.vitals),
        };
        self.vitals.adopt(&child.vitals);
        match ProviderActor::spawn_linked(None, ProviderActor, args, self.me.actor().get_cell()).await {
            Ok((actor, _)) => {
                child.address = Some(Address::new(actor, Arc::clone(&child.vitals)));
                Ok(())
            }
            Err(error) => self.provider_crashed(no, &error.to_string()),
        }
    }

    /// Starts a ProviderActor again and lets all who may have waited at the old one ask again.
    pub(super) async fn restart_provider(&mut self, no: SenderNo) -> Result<(), ActorProcessingErr> {
        if !self.is_down(no) {
            return Ok(());
        }
        self.start_provider(no).await?;
        if let Some(address) = self.running_provider(no).cloned() {
            for (message, resident) in self.writer.active.addresses() {
                if message.sender == no {
                    resident.send(MessageMsg::Provider(Some(address.clone())));
                }
            }
        }
        self.fill().await
    }

    fn provider_crashed(&mut self, no: SenderNo, cause: &str) -> Result<(), ActorProcessingErr> {
        let (now, roll) = (self.ctx.clock.now(), self.ctx.clock.roll());
        let Some(child) = self.providers.get_mut(&no) else { return Ok(()) };
        let after = child.crashed(cause, now, roll)?;
        self.later(after, OrgMsg::StartProvider(no));
        Ok(())
    }

    /// Starts the AuditActor, which then follows the trail.
    pub(super) async fn start_audit(&mut self) -> Result<(), ActorProcessingErr> {
        let args = audit::Args {
            ctx: Arc::clone(&self.ctx),
            org: self.record.no,
            epoch: self.writer.head.epoch,
            last_seq: self.ctx.store.head(self.record.no)?.last_seq,
            vitals: Arc::clone(&self.audit.vitals),
        };
        self.vitals.adopt(&self.audit.vitals);
        match AuditActor::spawn_linked(None, AuditActor, args, self.me.actor().get_cell()).await {
            Ok((actor, _)) => {
                self.audit.address = Some(Address::new(actor, Arc::clone(&self.audit.vitals)));
                Ok(())
            }
            Err(error) => self.audit_crashed(&error.to_string()),
        }
    }

    fn audit_crashed(&mut self, cause: &str) -> Result<(), ActorProcessingErr> {
        let after = self.audit.crashed(cause, self.ctx.clock.now(), self.ctx.clock.roll())?;
        self.later(after, OrgMsg::StartAudit);
        Ok(())
    }

    /// Tells the AuditActor how far the trail is durable.
    pub(super) fn tell_audit(&self, seq: Seq) {
        if let Some(audit) = &self.audit.address {
            audit.send(AuditMsg::Appended(seq));
        }
    }

    /// A child has ended; `cause` tells why, if it crashed.
    pub(super) async fn child_ended(
        &mut self,
        actor: &ActorCell,
        cause: Option<String>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((id, vitals)) = self.moved_out(actor) {
            if let Some(cause) = cause {
                self.message_crashed(id, &vitals, &cause)?;
            }
            return self.refill().await;
        }
        let cause = cause.unwrap_or_else(|| "ended without being told to".into());
        if self.audit.is(actor) {
            return self.audit_crashed(&cause);
        }
        let provider = self.providers.iter().find(|(_, child)| child.is(actor)).map(|(no, _)| *no);
        provider.map_or(Ok(()), |no| self.provider_crashed(no, &cause))
    }

    fn message_crashed(&mut self, id: MessageId, vitals: &Vitals, cause: &str) -> Result<(), ActorProcessingErr> {
        let (now, roll) = (self.ctx.clock.now(), self.ctx.clock.roll());
        let verdict = self.message_crashes.entry(id).or_default().note(&MESSAGE_BUDGET, now, roll);
        vitals.crashed(cause, verdict);
        match verdict {
            Verdict::Restart(after) => self.later(after, OrgMsg::Revive(id)),
            Verdict::Quarantine(_) | Verdict::GiveUp => {
                self.message_crashes.remove(&id);
                self.give_up(id, cause)?;
            }
        }
        Ok(())
    }

    /// Forgets messages whose crashes count no more, or that ended without an actor.
    pub(super) fn forgive_old_crashes(&mut self) {
        let now = self.ctx.clock.now();
        self.message_crashes.retain(|_, crashes| !crashes.are_forgiven(&MESSAGE_BUDGET, now));
    }

    fn give_up(&mut self, id: MessageId, cause: &str) -> Result<(), ActorProcessingErr> {
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else {
            self.later(MESSAGE_BUDGET.delay, OrgMsg::Revive(id));
            return Ok(());
        };
        let Some((message, before)) = self.writer.latest(id)? else { return Ok(()) };
        let now = self.ctx.clock.now();
        let event = Event::Crash { cause: cause.to_owned() };
        if let Decision::Move(step) = decide(&message, &before, &event, &self.ctx.settings().policy, now, 0.0) {
            let mut transaction = self.writer.begin(now, By::System);
            self.writer.apply(&mut transaction, &message, &before, *step, None)?;
            self.writer.close(&mut transaction)?;
            self.submit(slot, transaction, After::Changed, |_| ());
        }
        Ok(())
    }

    /// A crashed MessageActor's pause is over.
    pub(super) async fn revive(&mut self, id: MessageId) -> Result<(), ActorProcessingErr> {
        if self.writer.active.resident(id).is_none()
            && let Some((message, state)) = self.writer.latest(id)?
        {
            self.welcome(message, state).await?;
        }
        Ok(())
    }

    pub(super) fn later(&self, after: Duration, msg: OrgMsg) {
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            me.send(msg);
        });
    }
}
