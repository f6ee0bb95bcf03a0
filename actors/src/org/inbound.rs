//! What recipients write: kept once, however often Meta repeats it, and shown where the last message to them belongs.

use std::collections::{HashSet, VecDeque};

use domain::audit::{Fact, Subject};
use domain::{Dossier, Inbound, PhoneNumberId, ProviderId, Seq};
use store::StoreError;

use super::State;
use super::receipts::Arrival;
use super::writer::Transaction;

type Name = (PhoneNumberId, ProviderId);

/// Inbound messages in commits on their way: the store does not find them yet.
#[derive(Default)]
pub(super) struct Arrivals {
    names: HashSet<Name>,
    /// With the audit entries that came with them: what is durable is durable up to an entry.
    order: VecDeque<(Seq, Name)>,
}

impl Arrivals {
    fn note(&mut self, seq: Seq, name: Name) {
        self.names.insert(name.clone());
        self.order.push_back((seq, name));
    }

    /// Everything up to this entry is durable.
    pub(super) fn committed(&mut self, seq: Seq) {
        while let Some((_, name)) = self.order.pop_front_if(|(noted, _)| *noted <= seq) {
            self.names.remove(&name);
        }
    }
}

impl State {
    /// Adds an inbound message to a transaction, with all that it tells, unless it is a repeat: one of a person who was erased
    /// since must not bring their names back.
    pub(super) fn receive_inbound(
        &mut self,
        transaction: &mut Transaction,
        arrival: &Arrival,
    ) -> Result<(), StoreError> {
        let (Arrival { inbound, link }, org) = (arrival, self.record.no);
        let name = (inbound.sender.clone(), inbound.provider_id.clone());
        let is_repeat = self.arrivals.names.contains(&name)
            || self.ctx.store.inbound_id(org, &inbound.sender, &inbound.provider_id)?.is_some();
        if is_repeat {
            return Ok(());
        }
        if let Some(link) = link {
            self.link(transaction, link)?;
        }
        let dossier = self.dossier_of_last_message_to(inbound)?;
        transaction.commit.received(inbound)?;
        let fact = Fact::Received { kind: inbound.kind.clone() };
        let seq = self.writer.entry(transaction, Subject::Inbound(inbound.id), fact, dossier.as_ref())?;
        self.arrivals.note(seq, name);
        self.follow_words(transaction, inbound, dossier.as_ref())
    }

    /// Nobody answers a message before it is durable, so the store knows it.
    fn dossier_of_last_message_to(&self, inbound: &Inbound) -> Result<Option<Dossier>, StoreError> {
        let (store, org) = (&self.ctx.store, self.record.no);
        let mut latest = None;
        for shown in inbound.names() {
            for name in self.known_names(shown)?.names {
                latest = latest.max(store.latest_message_to(org, &name)?);
            }
        }
        let Some(id) = latest else { return Ok(None) };
        Ok(store.message(org, id)?.and_then(|message| message.dossier))
    }
}
