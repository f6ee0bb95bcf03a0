//! Webhooks: a whole one in one commit, each item on its own. One that nobody knows is parked until its message is.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use domain::audit::By;
use domain::consent::Preference;
use domain::lifecycle::{Decision, Event, Ignored, decide};
use domain::notice::Notice;
use domain::people::IdentityLink;
use domain::receipt::{Receipt, Reported};
use domain::{AttemptRef, Inbound, ProviderId, SenderNo, Timestamp};
use ractor::ActorProcessingErr;
use store::{Parked, Store, StoreError, Taken, Unavailable};
use tokio::sync::oneshot;

use super::commit_slot::reserve;
use super::writer::Transaction;
use super::{After, OrgMsg, State};

/// How often receipts that nobody claimed are looked through.
const CLEAR_PARKED_EVERY: Duration = Duration::from_secs(60);

/// What one webhook tells one organisation.
#[derive(Debug, Default)]
pub struct News {
    /// What became of messages.
    pub receipts: Vec<Reported>,
    /// What recipients wrote.
    pub inbound: Vec<Arrival>,
    /// What recipients chose about marketing messages.
    pub preferences: Vec<Preference>,
    /// What else was told of a sender.
    pub notices: Vec<(SenderNo, Notice)>,
}

/// A message that came.
#[derive(Debug)]
pub struct Arrival {
    /// The message.
    pub inbound: Inbound,
    /// What it tells of names of one person, if it does.
    pub link: Option<IdentityLink>,
}

impl From<Inbound> for Arrival {
    fn from(inbound: Inbound) -> Self {
        Self { inbound, link: None }
    }
}

pub(crate) struct Webhook {
    pub(crate) news: News,
    pub(crate) reply: oneshot::Sender<Result<(), Unavailable>>,
}

/// The receipts that wait for their message.
#[derive(Default)]
pub(super) struct ParkedReceipts {
    by_id: HashMap<ProviderId, Vec<Parked>>,
    /// Ids in the order in which they were first parked.
    order: BTreeSet<(Timestamp, ProviderId)>,
    count: usize,
    /// What they take, about.
    bytes: usize,
}

/// What a parked receipt takes beside its texts.
const PARKED_BYTES: usize = 200;

fn bytes_of(Parked { reported: Reported { receipt, names }, .. }: &Parked) -> usize {
    let error = receipt.error.as_ref().map_or(0, |error| error.message.len());
    let pricing = receipt.pricing.as_ref().map_or(0, |pricing| pricing.len());
    // An id also stands in the order, and is the key.
    let id = 3 * receipt.provider_id.as_str().len();
    PARKED_BYTES + id + error + pricing + names.iter().map(String::len).sum::<usize>()
}

impl ParkedReceipts {
    pub(super) fn load(store: &Store, org: domain::OrgNo) -> Result<Self, StoreError> {
        let mut all = store.parked(org)?;
        all.sort_by_key(|parked| parked.at);
        let mut receipts = Self::default();
        for parked in all {
            receipts.keep(parked);
        }
        Ok(receipts)
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    fn keep(&mut self, parked: Parked) {
        let receipt = &parked.reported.receipt;
        let id = receipt.provider_id.clone();
        let waiting = self.by_id.entry(id.clone()).or_default();
        if waiting.is_empty() {
            self.order.insert((parked.at, id));
        }
        if waiting.iter().all(|known| known.reported.receipt.kind != receipt.kind) {
            self.count += 1;
            self.bytes += bytes_of(&parked);
            waiting.push(parked);
        }
    }

    fn take(&mut self, id: &ProviderId) -> Vec<Parked> {
        let taken = self.by_id.remove(id).unwrap_or_default();
        self.count -= taken.len();
        self.bytes -= taken.iter().map(bytes_of).sum::<usize>();
        if let Some(first) = taken.first() {
            self.order.remove(&(first.at, id.clone()));
        }
        taken
    }

    /// Those of every id of which one `is_meant`.
    pub(super) fn take_where(&mut self, is_meant: impl Fn(&Parked) -> bool) -> Vec<Parked> {
        let is_one_meant = |waiting: &Vec<Parked>| waiting.iter().any(&is_meant);
        let meant: Vec<_> =
            self.by_id.iter().filter(|(_, waiting)| is_one_meant(waiting)).map(|(id, _)| id.clone()).collect();
        meant.iter().flat_map(|id| self.take(id)).collect()
    }

    /// Those of the id that has waited longest.
    fn take_oldest(&mut self) -> Vec<Parked> {
        let taken = self.order.pop_first().map(|(_, id)| self.take(&id));
        taken.unwrap_or_default()
    }

    /// Those of every id that was first parked before `then`.
    fn take_older(&mut self, then: Timestamp) -> Vec<Parked> {
        let mut taken = Vec::new();
        while self.order.first().is_some_and(|(at, _)| *at < then) {
            taken.append(&mut self.take_oldest());
        }
        taken
    }
}

impl State {
    pub(super) fn webhook(&mut self, webhook: Webhook) -> Result<(), ActorProcessingErr> {
        let Webhook { news: News { receipts, inbound, preferences, notices }, reply } = webhook;
        let committer = self.ctx.committer.clone();
        let Some((slot, reply)) = reserve(&committer, reply) else { return Ok(()) };
        let mut transaction = self.writer.begin(self.ctx.clock.now(), By::WhatsApp);
        for reported in receipts {
            match self.find(&reported.receipt)? {
                Some(attempt) => self.receive(&mut transaction, attempt, &reported)?,
                None => self.park(&mut transaction, reported)?,
            }
        }
        for arrival in &inbound {
            self.receive_inbound(&mut transaction, arrival)?;
        }
        for preference in preferences {
            self.prefer(&mut transaction, preference)?;
        }
        self.notice(&mut transaction, notices)?;
        self.join_parked(&mut transaction)?;
        self.writer.close(&mut transaction)?;
        let observed = std::mem::take(&mut transaction.observed);
        // Handed in even when nothing changed: what a repeat repeats may itself still be on its way to the disk.
        self.submit(slot, transaction, After::Changed, move |result| {
            let _ = reply.send(result.map_err(|_| Unavailable::Closed));
        });
        for (message, error) in observed {
            self.observe(&message, &error)?;
        }
        Ok(())
    }

    /// The attempt that a receipt is about: by the text that came back with it, else by the provider's id.
    fn find(&self, receipt: &Receipt) -> Result<Option<AttemptRef>, StoreError> {
        if let Some(attempt) = receipt.attempt
            && self.writer.latest(attempt.message)?.is_some()
        {
            return Ok(Some(attempt));
        }
        self.writer.named(&receipt.provider_id)
    }

    /// Decides one receipt. If that panics, this one is lost and the rest of its batch is not.
    fn receive(
        &mut self,
        transaction: &mut Transaction,
        attempt: AttemptRef,
        reported: &Reported,
    ) -> Result<(), StoreError> {
        let Reported { receipt, names } = reported;
        let Some((message, before)) = self.writer.latest(attempt.message)? else { return Ok(()) };
        if message.erased.is_some() {
            // It would bring the recipient's number back.
            return Ok(());
        }
        self.meet(transaction, &message, names, receipt.at)?;
        let event = Event::Receipt { attempt: attempt.attempt, receipt: Box::new(receipt.clone()) };
        let (policy, roll) = (&self.ctx.settings().policy, self.ctx.clock.roll());
        let decision =
            catch_unwind(AssertUnwindSafe(|| decide(&message, &before, &event, policy, transaction.at, roll)));
        match decision {
            Ok(Decision::Move(step)) => {
                let after = self.take_step(transaction, &message, &before, *step, None)?;
                if before.phase.status() != after.phase.status() {
                    self.hold_if_restored(transaction, &message, &before, &after, attempt.attempt)?;
                }
                self.learn_billing(transaction, &message, receipt)?;
                transaction.observed.extend(receipt.error.clone().map(|error| (message, error)));
            }
            // It may still tell of its price: not every receipt does.
            Ok(Decision::Ignore(Ignored::Repeated)) => self.learn_billing(transaction, &message, receipt)?,
            Ok(Decision::Ignore(_)) => {}
            Err(_) => tracing::error!(message = %message.id, kind = %receipt.kind, "a receipt panicked; it is skipped"),
        }
        Ok(())
    }

    /// Applies what was parked for the ids that a transaction has just named.
    pub(super) fn join_parked(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        for provider_id in transaction.named.clone() {
            for parked in self.parked.take(&provider_id) {
                transaction.commit.unpark(&parked);
                if let Some(attempt) = self.writer.named(&provider_id)? {
                    self.receive(transaction, attempt, &parked.reported)?;
                }
            }
        }
        Ok(())
    }

    /// Keeps a receipt for a message that may come, unless that is gone with a person: it would bring them back.
    fn park(&mut self, transaction: &mut Transaction, reported: Reported) -> Result<(), StoreError> {
        if self.is_of_the_erased(&reported)? {
            return Ok(());
        }
        let parked = Parked { reported, at: transaction.at };
        let settings = self.ctx.settings();
        let (most, most_bytes) = (settings.limits.max_parked, settings.limits.max_parked_bytes);
        while self.parked.len() > 0
            && (self.parked.len() >= most || self.parked.bytes.saturating_add(bytes_of(&parked)) > most_bytes)
        {
            for parked in self.parked.take_oldest() {
                transaction.commit.unpark(&parked);
            }
        }
        transaction.commit.park(&parked)?;
        self.parked.keep(parked);
        self.watch_parked();
        Ok(())
    }

    /// Whether a receipt is of a message that was erased, or of somebody who was, and to whom nothing was sent since.
    fn is_of_the_erased(&self, reported: &Reported) -> Result<bool, StoreError> {
        let (store, org) = (&self.ctx.store, self.record.no);
        let provider_id = &reported.receipt.provider_id;
        if store.taken(org, Taken::Id(provider_id))?.is_some() {
            return Ok(true);
        }
        let (mut erased, mut sent) = (None, None);
        for name in reported.names.iter().chain(&whatsapp::wamid::numbers(provider_id)) {
            erased = erased.max(store.taken(org, Taken::Name(name))?);
            sent = sent.max(store.latest_message_to(org, name)?);
        }
        Ok(erased.is_some_and(|erased| sent.is_none_or(|sent| sent < erased)))
    }

    /// Sees to it that parked receipts are looked through while there are any.
    pub(super) fn watch_parked(&mut self) {
        if self.parked.len() > 0 && !self.is_parked_armed {
            self.is_parked_armed = true;
            self.later(CLEAR_PARKED_EVERY, OrgMsg::ClearParked);
        }
    }

    /// Lets receipts go that have waited too long: they are of other apps.
    pub(super) fn clear_parked(&mut self) -> Result<(), ActorProcessingErr> {
        self.is_parked_armed = false;
        self.watch_parked();
        let committer = self.ctx.committer.clone();
        let Ok(slot) = committer.reserve() else { return Ok(()) };
        let now = self.ctx.clock.now();
        let old = self.parked.take_older(now.before(self.ctx.settings().limits.parked_for));
        if old.is_empty() {
            return Ok(());
        }
        let mut transaction = self.writer.begin(now, By::System);
        for parked in &old {
            transaction.commit.unpark(parked);
        }
        self.submit(slot, transaction, After::Changed, |_| ());
        Ok(())
    }
}
