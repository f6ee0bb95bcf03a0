//! Meta's word on templates: paused ones wait, approved ones go on at once.

use std::ops::ControlFlow;

use domain::audit::By;
use domain::gate::TemplateKey;
use domain::lifecycle::Event;
use domain::{SenderNo, Wait};
use ractor::ActorProcessingErr;
use store::Lane;

use super::{Snapshot, State};
use crate::provider::ProviderMsg;

/// Waiting messages that are looked at when a template opens. Those beyond are found at the next try of the template.
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
        if status.is_usable { self.release(&senders, &status.template) } else { Ok(()) }
    }

    /// Lets messages go at once that were to wait for a template until later.
    fn release(&mut self, senders: &[SenderNo], template: &TemplateKey) -> Result<(), ActorProcessingErr> {
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
            let latest = self.ledger.latest(id)?;
            let waits = |(message, state): &Snapshot| {
                state.wait == Wait::Template && message.template().as_ref() == Some(template)
            };
            waiting.extend(latest.filter(waits).map(|_| id));
        }
        self.decide_each(waiting, &Event::Release, By::WhatsApp)
    }
}
