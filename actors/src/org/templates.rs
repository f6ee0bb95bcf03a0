//! Meta's word on templates: paused ones wait, approved ones go on at once.

use std::ops::ControlFlow;

use domain::audit::By;
use domain::gate::TemplateKey;
use domain::lifecycle::Event;
use domain::{Message, SenderNo, State as MessageState, Wait};
use ractor::ActorProcessingErr;
use store::Lane;

use super::State;
use crate::provider::ProviderMsg;

/// Waiting messages that are looked at when a template opens, or a quota is raised. Those beyond go at their time.
const LOOKED_AT_MAX: usize = 10_000;

/// A change of a template's status, as Meta reports it.
#[derive(Clone, Debug)]
pub struct TemplateStatus {
    /// The WhatsApp business account.
    pub waba_id: String,
    /// The template.
    pub template: TemplateKey,
    /// Whether it may be used.
    pub is_usable: bool,
}

impl State {
    pub(super) fn template_status(&mut self, status: &TemplateStatus) -> Result<(), ActorProcessingErr> {
        let of_account = |waba: &Option<String>| waba.as_deref() == Some(&status.waba_id);
        let senders: Vec<SenderNo> =
            self.record.senders.iter().filter(|sender| of_account(&sender.waba_id)).map(|sender| sender.no).collect();
        for no in &senders {
            if let Some(provider) = self.running_provider(*no) {
                provider.send(match status.is_usable {
                    true => ProviderMsg::OpenTemplate(status.template.clone()),
                    false => ProviderMsg::ShutTemplate(status.template.clone()),
                });
            }
        }
        if !status.is_usable {
            return Ok(());
        }
        let waits = |message: &Message, state: &MessageState| {
            state.wait == Wait::Template && message.template().as_ref() == Some(&status.template)
        };
        self.make_due(&senders, waits, By::WhatsApp)
    }

    /// Lets those go at once that were to wait until later.
    pub(super) fn make_due(
        &mut self,
        senders: &[SenderNo],
        waits: impl Fn(&Message, &MessageState) -> bool,
        by: By,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.ctx.clock.now();
        let mut later = Vec::new();
        for (no, lane) in senders.iter().flat_map(|no| [Lane::High, Lane::Normal, Lane::Low].map(|lane| (*no, lane))) {
            self.ctx.store.due(self.record.no, no, lane, &mut |entry| {
                if entry.at > now {
                    later.push(entry.id);
                }
                if later.len() < LOOKED_AT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let mut waiting = Vec::new();
        for id in later {
            let latest = self.writer.latest(id)?;
            waiting.extend(latest.filter(|(message, state)| waits(message, state)).map(|_| id));
        }
        self.decide_each(waiting, &Event::DueNow, by)
    }
}
