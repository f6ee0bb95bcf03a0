//! Quotas: an attempt beyond them does not begin; its message waits until the budget is free again. What is used is
//! counted in the commit of the attempt, so that it survives a restart and agrees with what was done.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use domain::audit::By;
use domain::lifecycle::{Decision, Event, Move, decide};
use domain::quota::{COUNTS_FOR, Need, Quotas, Usage, day_end};
use domain::{Message, OrgNo, State as MessageState, Timestamp, Wait};
use ractor::ActorProcessingErr;
use store::{Counted, Store, StoreError};

use super::State;
use super::writer::Transaction;
use crate::message::WINDOW;

/// Recipients that one commit takes off the count.
const UNCOUNT_AT_ONCE: usize = 1000;
/// A message that a quota postpones waits for so long at least.
const POSTPONE_MIN: Duration = Duration::from_secs(1);

/// What an organisation has used, commits on their way included.
pub(super) struct Meter {
    usage: Usage,
    /// Recipients counted in commits on their way: the store does not know them yet.
    uncommitted: HashMap<[u8; 16], (u64, Timestamp)>,
    /// With the numbers of those commits, which end in order.
    order: VecDeque<(u64, [u8; 16])>,
    /// How many commits have ended.
    committed: u64,
    /// Whoever was last written to until then no longer counts.
    uncounted_to: Timestamp,
    /// The last recipient whose slot was promised to a message that waits: the next message waits for the next slot.
    promised: Option<Counted>,
    /// The quotas that postponed the messages that wait.
    quotas: Quotas,
}

impl Meter {
    pub(super) fn load(store: &Store, org: OrgNo, quotas: Quotas) -> Result<Self, StoreError> {
        Ok(Self {
            usage: store.usage(org)?,
            uncommitted: HashMap::new(),
            order: VecDeque::new(),
            committed: 0,
            uncounted_to: Timestamp::EPOCH,
            promised: None,
            quotas,
        })
    }

    /// One more commit is durable.
    pub(super) fn committed(&mut self) {
        self.committed += 1;
        while let Some((noted, place)) = self.order.pop_front_if(|(noted, _)| *noted <= self.committed) {
            if self.uncommitted.get(&place).is_some_and(|(latest, _)| *latest == noted) {
                self.uncommitted.remove(&place);
            }
        }
    }

    /// Behind everyone who no longer counts.
    const fn first(&self) -> Counted {
        Counted { at: self.uncounted_to, place: [u8::MAX; 16] }
    }
}

impl State {
    /// Counts the attempt that a transaction is to begin; if a quota does not let it, the step that makes its message wait.
    pub(super) fn ration(
        &mut self,
        transaction: &mut Transaction,
        message: &Message,
        before: &MessageState,
    ) -> Result<Option<Move>, StoreError> {
        let quotas = self.record.quotas;
        if !quotas.limit_sending() {
            return Ok(None);
        }
        self.uncount_old(transaction)?;
        let counted = match self.counts(message, transaction.at)? {
            // One person counts once, under whatever name.
            true => Some(match self.holder(message.to.as_str())? {
                Some(person) => Counted { at: transaction.at, place: *person.id.as_bytes() },
                None => Counted::new(message.to.as_str(), transaction.at),
            }),
            false => None,
        };
        let since = counted.map(|counted| self.counted_since(&counted.place)).transpose()?.flatten();
        let is_new_recipient = counted.is_some() && since.is_none();
        let need = Need { is_first: before.attempts.is_empty(), is_new_recipient };
        let postponed = match quotas.check(&self.meter.usage, need, transaction.at) {
            Ok(()) => None,
            Err(wait) => self.postpone(message, before, wait, transaction.at)?,
        };
        if postponed.is_none() {
            self.meter.usage.spend(need, transaction.at);
            if let Some(counted) = counted {
                transaction.commit.count(since, &counted)?;
                // It is handed in behind those that have not come back.
                let no = self.meter.committed + self.pending_commits as u64 + 1;
                self.meter.uncommitted.insert(counted.place, (no, counted.at));
                self.meter.order.push_back((no, counted.place));
            }
        }
        transaction.commit.usage(&self.meter.usage)?;
        Ok(postponed)
    }

    /// Whether Meta counts its recipient: one that wrote lately to this sender, it does not.
    fn counts(&self, message: &Message, now: Timestamp) -> Result<bool, StoreError> {
        if self.record.quotas.recipients_per_day.is_none() {
            return Ok(false);
        }
        let last = self.ctx.store.last_inbound(self.record.no, message.sender, message.to.as_str())?;
        Ok(last.is_none_or(|at| now.since(at) >= WINDOW))
    }

    /// When a recipient who still counts was last written to.
    fn counted_since(&self, place: &[u8; 16]) -> Result<Option<Timestamp>, StoreError> {
        let since = match self.meter.uncommitted.get(place) {
            Some((_, at)) => Some(*at),
            None => self.ctx.store.counted(self.record.no, place)?,
        };
        Ok(since.filter(|at| *at > self.meter.uncounted_to))
    }

    /// Takes those off the count who were last written to too long ago.
    fn uncount_old(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        let until = transaction.at.before(COUNTS_FOR);
        let (mut looked_at, mut uncounted_to, mut gone) = (0, until, 0);
        let Meter { uncommitted, .. } = &self.meter;
        self.ctx.store.each_counted(self.record.no, Some(&self.meter.first()), &mut |counted| {
            if counted.at > until || (looked_at >= UNCOUNT_AT_ONCE && counted.at > uncounted_to) {
                return ControlFlow::Break(());
            }
            (looked_at, uncounted_to) = (looked_at + 1, counted.at);
            // One that a commit on its way counts anew is taken from here by it.
            if !uncommitted.contains_key(&counted.place) {
                transaction.commit.uncount(&counted);
                gone += 1;
            }
            ControlFlow::Continue(())
        })?;
        self.meter.usage.uncounted(gone);
        // The rest of a crowd goes with the next attempts.
        let uncounted_to = if looked_at < UNCOUNT_AT_ONCE { until } else { uncounted_to };
        self.meter.uncounted_to = self.meter.uncounted_to.max(uncounted_to);
        Ok(())
    }

    fn postpone(
        &mut self,
        message: &Message,
        before: &MessageState,
        wait: Wait,
        now: Timestamp,
    ) -> Result<Option<Move>, StoreError> {
        let until =
            if wait == Wait::DailyQuota { day_end(now) } else { self.next_slot()?.unwrap_or(now).after(COUNTS_FOR) };
        let event = Event::Postpone { until: until.max(now.after(POSTPONE_MIN)), wait };
        Ok(match decide(message, before, &event, &self.ctx.settings().policy, now, 0.0) {
            Decision::Move(step) => Some(*step),
            Decision::Ignore(_) => None,
        })
    }

    /// Since when the recipient counts whose slot comes free next and is not promised yet; when all are, from the first
    /// again.
    fn next_slot(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let first = self.meter.first();
        let behind = self.meter.promised.map_or(first, |promised| promised.max(first));
        let mut next = None;
        for behind in [behind, first] {
            self.ctx.store.each_counted(self.record.no, Some(&behind), &mut |counted| {
                next = Some(counted);
                ControlFlow::Break(())
            })?;
            if next.is_some() {
                break;
            }
        }
        self.meter.promised = next;
        Ok(next.map(|counted| counted.at))
    }

    /// The organisation's record changed: messages that other quotas postponed may try again.
    pub(super) fn follow_quotas(&mut self) -> Result<(), ActorProcessingErr> {
        if self.meter.quotas == self.record.quotas {
            return Ok(());
        }
        self.meter.quotas = self.record.quotas;
        self.meter.promised = None;
        let senders: Vec<_> = self.record.senders.iter().map(|sender| sender.no).collect();
        let is_postponed =
            |_: &Message, state: &MessageState| matches!(state.wait, Wait::DailyQuota | Wait::RecipientQuota);
        self.make_due(&senders, is_postponed, By::System)
    }
}
