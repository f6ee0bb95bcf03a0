//! What holds for more than one message: pauses of senders, siblings that share a limit, probes.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::audit::{By, Fact, Subject};
use domain::org::{Pause, PausedBy, Sender};
use domain::outcome::{Class, ProviderError, Scope};
use domain::{Message, OrgId, PhoneNumberId, SenderNo, State as MessageState, Wait};
use ractor::ActorProcessingErr;
use store::Lane;
use tokio::sync::oneshot;
use whatsapp::remedy::{meaning, remedy};

use super::change::{ChangeRequest, OrgChange};
use super::{After, OrgMsg, State};
use crate::provider::{FromProvider, Observation, ProviderMsg};

impl State {
    pub(super) async fn follow_provider(&mut self, msg: FromProvider) -> Result<(), ActorProcessingErr> {
        match msg {
            FromProvider::Throttled { sender, code, until } => {
                let warn = |org: &OrgId, sender: &PhoneNumberId| {
                    tracing::warn!(
                        %org, %sender, code, %until, "Meta throttles a sender ({}). {}", meaning(code), remedy(code, org, sender)
                    );
                };
                self.tell_of(sender, Fact::Throttled { code, until }, warn)
            }
            FromProvider::Unthrottled { sender, code } => {
                let info = |org: &OrgId, sender: &PhoneNumberId| {
                    tracing::info!(%org, %sender, code, "Meta throttles a sender no longer; sending goes on");
                };
                self.tell_of(sender, Fact::Unthrottled { code }, info)
            }
            FromProvider::Slow { sender, scope, code, until } => {
                for sibling in self.siblings(sender, scope) {
                    self.tell_provider(sibling, ProviderMsg::Slow { code, until });
                }
                Ok(())
            }
            FromProvider::Eased { sender, scope } => {
                for sibling in self.siblings(sender, scope) {
                    self.tell_provider(sibling, ProviderMsg::Ease);
                }
                Ok(())
            }
            FromProvider::Blocked { sender, error } => self.blocked(sender, &error),
            FromProvider::TemplateShut { sender, observation } => {
                let Observation { message, error, .. } = *observation;
                for sibling in self.siblings(sender, Scope::Account) {
                    let (message, error) = (Arc::clone(&message), error.clone());
                    let observation = Observation { message, token: None, error, retry_after: None };
                    self.tell_provider(sibling, ProviderMsg::Observed(Box::new(observation)));
                }
                Ok(())
            }
            FromProvider::Works(sender) => self.works(sender),
            FromProvider::WantsProbe(sender) => self.probe(sender).await,
        }
    }

    /// Puts on the trail, and in the log, what became of a sender; with a full queue the trail goes without.
    fn tell_of(
        &mut self,
        no: SenderNo,
        fact: Fact,
        log: impl Fn(&OrgId, &PhoneNumberId),
    ) -> Result<(), ActorProcessingErr> {
        let Some(sender) = self.record.senders.iter().find(|sender| sender.no == no) else { return Ok(()) };
        let id = sender.phone_number_id.clone();
        log(&self.record.id, &id);
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else { return Ok(()) };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), By::WhatsApp);
        self.writer.fact(&mut transaction, Subject::Sender(id), fact)?;
        self.writer.close(&mut transaction)?;
        self.submit(slot, transaction, After::Changed, |_| ());
        Ok(())
    }

    /// A person says that senders are to try again now what does not work; all of them, if none is named.
    pub(super) fn try_now(&mut self, senders: &[PhoneNumberId]) -> Result<(), ActorProcessingErr> {
        let is_meant = |sender: &&Sender| senders.is_empty() || senders.contains(&sender.phone_number_id);
        let numbers: Vec<_> = self.record.senders.iter().filter(is_meant).map(|sender| sender.no).collect();
        for no in &numbers {
            self.tell_provider(*no, ProviderMsg::TryNow);
        }
        let waits = |_: &Message, state: &MessageState| matches!(state.wait, Wait::Pair | Wait::Template);
        self.make_due(&numbers, waits, By::Admin)
    }

    /// A `failed` receipt brought an error: what it says of more than its message is followed like that of an answer.
    pub(super) fn observe(&mut self, message: &Arc<Message>, error: &ProviderError) -> Result<(), ActorProcessingErr> {
        match (error.verdict.class, error.verdict.scope) {
            (Class::Blocked, Scope::Template) | (Class::Throttled, _) => {
                let (sender, error) = (message.sender, Some(error.clone()));
                let observation = Observation { message: Arc::clone(message), token: None, error, retry_after: None };
                self.tell_provider(sender, ProviderMsg::Observed(Box::new(observation)));
                Ok(())
            }
            (Class::Blocked, _) => self.blocked(message.sender, error),
            (Class::Transient | Class::Deferred | Class::Permanent | Class::OptedOut, _) => Ok(()),
        }
    }

    /// Meta refuses whatever a sender sends: it is paused, with all that the error holds for, and nothing is charged.
    fn blocked(&mut self, no: SenderNo, error: &ProviderError) -> Result<(), ActorProcessingErr> {
        let mut concerned = self.siblings(no, error.verdict.scope);
        concerned.push(no);
        let is_active = |sender: &&Sender| concerned.contains(&sender.no) && sender.paused.is_none();
        let senders: Vec<_> =
            self.record.senders.iter().filter(is_active).map(|sender| sender.phone_number_id.clone()).collect();
        if senders.is_empty() {
            return Ok(());
        }
        let (org, code) = (&self.record.id, error.code);
        let reason = Pause::reason_of(error);
        for sender in &senders {
            // Meta's words may hold a phone number: the log has ours.
            let (meaning, remedy) = (meaning(code), remedy(code, org, sender));
            tracing::warn!(
                %org, %sender, code,
                "sending by a sender is paused: Meta refuses it with error {code}, {meaning}. {remedy} Its messages wait, no \
                 attempt is charged, and one at a time tries whether it works again"
            );
        }
        let pause = Pause { reason, by: PausedBy::Meta, since: self.ctx.clock.now() };
        self.change_by_itself(OrgChange::Pause(senders, pause))
    }

    fn works(&mut self, no: SenderNo) -> Result<(), ActorProcessingErr> {
        let paused = |sender: &&Sender| {
            sender.no == no && sender.paused.as_ref().is_some_and(|pause| pause.by == PausedBy::Meta)
        };
        let Some(sender) = self.record.senders.iter().find(paused) else { return Ok(()) };
        let id = sender.phone_number_id.clone();
        let since = sender.paused.as_ref().map(|pause| pause.since.to_string()).unwrap_or_default();
        tracing::info!(
            org = %self.record.id, sender = %id, paused_since = since,
            "sending by a sender is resumed: Meta takes its messages again"
        );
        self.change_by_itself(OrgChange::Resume(vec![id], PausedBy::Meta))
    }

    fn change_by_itself(&mut self, change: OrgChange) -> Result<(), ActorProcessingErr> {
        let (reply, _) = oneshot::channel();
        self.change(ChangeRequest { change, by: By::WhatsApp, reply })
    }

    /// Lets one message of a paused sender try.
    async fn probe(&mut self, no: SenderNo) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        let mut first = None;
        for lane in [Lane::High, Lane::Normal, Lane::Low] {
            self.ctx.store.due(self.record.no, no, lane, &mut |entry| {
                if entry.at > now {
                    return ControlFlow::Break(());
                }
                if self.writer.active.get(entry.id).is_some() {
                    return ControlFlow::Continue(());
                }
                first = Some(entry.id);
                ControlFlow::Break(())
            })?;
            if first.is_some() {
                break;
            }
        }
        if let Some(id) = first
            && let Some((message, state)) = self.writer.latest(id)?
        {
            self.spawn_message(message, state).await?;
        }
        Ok(())
    }

    /// The senders that share a limit of this scope with a sender.
    fn siblings(&self, no: SenderNo, scope: Scope) -> Vec<SenderNo> {
        let senders = &self.record.senders;
        let Some(this) = senders.iter().find(|sender| sender.no == no) else { return Vec::new() };
        let shares = |other: &&Sender| match scope {
            Scope::Account => this.waba_id.is_some() && other.waba_id == this.waba_id,
            Scope::App => other.app_secret == this.app_secret,
            Scope::Message | Scope::Recipient | Scope::Marketing | Scope::Pair | Scope::Template | Scope::Number => {
                false
            }
        };
        senders.iter().filter(|other| other.no != no).filter(shares).map(|other| other.no).collect()
    }

    fn tell_provider(&self, no: SenderNo, msg: ProviderMsg) {
        // One that is not running has nothing to slow down.
        if let Some(provider) = self.running_provider(no) {
            provider.send(msg);
        }
    }

    /// Starts the actors of senders that Meta's refusals paused: they know when to probe.
    pub(super) async fn start_probing(&mut self) -> Result<(), ActorProcessingErr> {
        let paused = |sender: &&Sender| sender.paused.as_ref().is_some_and(|pause| pause.by == PausedBy::Meta);
        let numbers: Vec<_> = self.record.senders.iter().filter(paused).map(|sender| sender.no).collect();
        for no in numbers {
            self.provider(no).await?;
        }
        Ok(())
    }

    /// Whether a sender's messages are to stay in the due index for now.
    pub(super) fn is_paused(&self, no: SenderNo) -> bool {
        let sender = self.record.senders.iter().find(|sender| sender.no == no);
        sender.is_some_and(|sender| self.record.pause_of(sender).is_some())
    }
}

impl From<FromProvider> for OrgMsg {
    fn from(msg: FromProvider) -> Self {
        Self::Provider(msg)
    }
}
