//! What an answer says of more than its message: of its recipient, its template, its sender, or all of an account.

use std::sync::Arc;
use std::time::Duration;

use domain::org::{PausedBy, Secret};
use domain::outcome::{Class, ProviderError, Scope, Verdict};
use domain::{Message, SenderNo, Timestamp};

use super::{PAUSE_IN, ProviderMsg, State};

/// An answer or a receipt, as far as it concerns more than its message.
pub(crate) struct Observation {
    pub(crate) message: Arc<Message>,
    /// The token that the call was made with; `None` for a receipt.
    pub(crate) token: Option<Secret>,
    /// `None`: Meta took the message.
    pub(crate) error: Option<ProviderError>,
    /// How long Meta wants to be left alone, if it says so.
    pub(crate) retry_after: Option<Duration>,
}

/// What a ProviderActor tells its OrgActor.
pub(crate) enum FromProvider {
    /// Meta throttles the number, for so long that the trail is to say so.
    Throttled { sender: SenderNo, code: i64, until: Timestamp },
    /// It no longer does.
    Unthrottled { sender: SenderNo, code: i64 },
    /// Numbers of the same account or app are to rest, too.
    Slow { sender: SenderNo, scope: Scope, code: i64, until: Timestamp },
    /// They may go on.
    Eased { sender: SenderNo, scope: Scope },
    /// Meta refuses all that the sender, or more, sends.
    Blocked { sender: SenderNo, error: ProviderError },
    /// A template is shut; numbers of the same account cannot use it either.
    TemplateShut { sender: SenderNo, observation: Box<Observation> },
    /// Meta takes messages of a sender that its refusals had paused.
    Works(SenderNo),
    /// Time to try one message of a paused sender.
    WantsProbe(SenderNo),
}

/// The gates that a message waits for at its sender.
#[derive(Clone, Debug, Default)]
pub(crate) struct SenderGates {
    pub(crate) template_until: Option<Timestamp>,
    pub(crate) pair_until: Option<Timestamp>,
    /// Whether Meta itself refused the pair lately.
    pub(crate) is_pair_refused: bool,
    /// How long until the sender has a token.
    pub(crate) rate_wait: Option<Duration>,
    pub(crate) is_full: bool,
    /// How many go before it, if it waits here for a send permit.
    pub(crate) ahead: Option<usize>,
    pub(crate) per_second: f64,
}

impl State {
    pub(super) fn observed(&mut self, observation: Observation) {
        let now = self.ctx.clock.now();
        let Some(error) = observation.error.clone() else { return self.worked(&observation) };
        let Verdict { class, scope } = error.verdict;
        let is_throttled =
            class == Class::Throttled && !matches!(scope, Scope::Pair | Scope::Recipient | Scope::Template);
        let is_answer = observation.token.is_some();
        if is_answer && !is_throttled {
            self.answered();
        }
        let at_least = observation.retry_after.unwrap_or_default();
        match (class, scope) {
            (Class::Throttled, Scope::Pair | Scope::Recipient) => {
                let recipient = self.recipient(&observation.message);
                self.pairs.refused(&recipient, now, at_least);
            }
            (Class::Throttled | Class::Blocked, Scope::Template) => {
                if let Some(template) = observation.message.template() {
                    let is_news = self.templates.shut_until(&template, now).is_none();
                    self.templates.refused(template, now, at_least);
                    if is_news && is_answer {
                        let message = Arc::clone(&observation.message);
                        let error = Some(error.clone());
                        let observation =
                            Box::new(Observation { message, token: None, error, retry_after: observation.retry_after });
                        self.tell_org(FromProvider::TemplateShut { sender: self.sender.no, observation });
                    }
                }
            }
            (Class::Throttled, _) => self.throttled(&error, observation.retry_after),
            (Class::Blocked, _) => {
                // A refusal of the token before this one says nothing: calls with it were still under way.
                let is_current = observation.token.as_ref().is_none_or(|token| *token == self.sender.access_token);
                if is_current && self.sender.paused.is_none() {
                    self.stopped_until = self.ctx.clock.uptime() + PAUSE_IN;
                    self.tell_org(FromProvider::Blocked { sender: self.sender.no, error });
                }
            }
            (Class::Transient | Class::Deferred | Class::Permanent | Class::OptedOut, _) => {}
        }
        if is_answer {
            self.give_back_slot(&observation.message, class);
        }
    }

    /// Meta refused a message before it took it: it has used up none of what its recipient may get.
    fn give_back_slot(&mut self, message: &Message, class: Class) {
        let (recipient, now) = (self.recipient(message), self.ctx.clock.now());
        match class {
            Class::Transient | Class::Throttled | Class::Blocked => self.pairs.not_taken(&recipient, message.id, now),
            Class::Deferred | Class::Permanent | Class::OptedOut => self.pairs.given_up(&recipient, now),
        }
    }

    fn worked(&mut self, observation: &Observation) {
        let sender = &self.sender.phone_number_id;
        if let Some(fault) = self.ctx.webhook_health.sent(sender, self.ctx.clock.now())
            && let Some(org) = self.ctx.directory.owner(sender)
        {
            tracing::warn!(org = %org.id, %sender, remedy = fault.remedy(&org.id, sender), "messages stay SENT: {}", fault.detail());
        }
        self.pace.took(self.ctx.clock.uptime());
        self.answered();
        if self.pairs.were_refused() {
            let recipient = self.recipient(&observation.message);
            self.pairs.accepted(&recipient, self.ctx.clock.now());
        }
        if !self.templates.is_empty()
            && let Some(template) = observation.message.template()
        {
            self.templates.open(&template);
        }
        if self.is_paused_by_meta() {
            self.tell_org(FromProvider::Works(self.sender.no));
        }
    }

    fn is_paused_by_meta(&self) -> bool {
        self.sender.paused.as_ref().is_some_and(|pause| pause.by == PausedBy::Meta)
    }

    /// Follows a change of the sender's pause: one that Meta's refusals caused is probed, ever more rarely.
    pub(super) fn follow_pause(&mut self) {
        if !self.is_paused_by_meta() {
            self.cancel_probe();
            self.probes.reset();
        } else if self.probe.is_none() {
            self.plan_probe();
        }
    }

    fn plan_probe(&mut self) {
        self.probe_no += 1;
        let (me, no, wait) = (self.me.clone(), self.probe_no, self.probes.next_pause());
        let at = self.ctx.clock.now().after(wait);
        let sleeper = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            me.send(ProviderMsg::Probe(no));
        });
        self.probe = Some((at, sleeper.abort_handle()));
    }

    pub(super) fn cancel_probe(&mut self) {
        // It may be on its way already.
        self.probe_no += 1;
        self.may_probe = false;
        if let Some((_, probe)) = self.probe.take() {
            probe.abort();
        }
    }

    pub(super) fn begin_probe(&mut self, no: u64) {
        if no == self.probe_no && self.is_paused_by_meta() {
            // Planned now, in case nothing asks or the answer is lost.
            self.plan_probe();
            self.may_probe = true;
            self.tell_org(FromProvider::WantsProbe(self.sender.no));
        }
    }

    pub(super) fn tell_org(&self, msg: FromProvider) {
        // If the OrgActor is gone, this actor is being killed with it.
        let _ = self.org.cast(msg);
    }

    pub(super) fn explain(&mut self, message: &Message) -> SenderGates {
        let (now, uptime) = (self.ctx.clock.now(), self.ctx.clock.uptime());
        let recipient = self.recipient(message);
        let position = self.positions.get(&message.id);
        // One that is in the queue already has its slot of the pair.
        let pair_until = if position.is_some() { None } else { self.pairs.next_free(&recipient, &message.id, now) };
        SenderGates {
            template_until: message.template().and_then(|template| self.templates.shut_until(&template, now)),
            pair_until,
            is_pair_refused: self.pairs.is_refused(&recipient, now),
            rate_wait: self.bucket.wait(uptime),
            is_full: self.out >= self.ctx.settings().max_concurrent,
            ahead: position.map(|position| self.queue.range(..position).count()),
            per_second: self.pace.at(uptime),
        }
    }
}
