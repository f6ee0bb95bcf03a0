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
use super::ledger::Draft;
use crate::message::WINDOW;

/// Recipients that one commit takes off the count.
const REST_AT_ONCE: usize = 1000;
/// Who is held is held for so long at least.
const HOLD_MIN: Duration = Duration::from_secs(1);

/// What an organisation has used, commits on their way included.
pub(super) struct Meter {
    usage: Usage,
    /// Recipients counted in commits on their way: the store does not know them yet.
    fresh: HashMap<[u8; 16], (u64, Timestamp)>,
    /// With the numbers of those commits, which end in order.
    order: VecDeque<(u64, [u8; 16])>,
    /// How many commits have ended.
    landed: u64,
    /// Whoever was last written to until then no longer counts.
    rested: Timestamp,
    /// The last recipient whose place was promised to a message that waits: the next one waits for the next place.
    promised: Option<Counted>,
    /// The quotas that those who wait were held by.
    quotas: Quotas,
}

impl Meter {
    pub(super) fn load(store: &Store, org: OrgNo, quotas: Quotas) -> Result<Self, StoreError> {
        Ok(Self {
            usage: store.usage(org)?,
            fresh: HashMap::new(),
            order: VecDeque::new(),
            landed: 0,
            rested: Timestamp::EPOCH,
            promised: None,
            quotas,
        })
    }

    /// One more commit is durable.
    pub(super) fn landed(&mut self) {
        self.landed += 1;
        while let Some((noted, place)) = self.order.pop_front_if(|(noted, _)| *noted <= self.landed) {
            if self.fresh.get(&place).is_some_and(|(latest, _)| *latest == noted) {
                self.fresh.remove(&place);
            }
        }
    }

    /// Behind everyone who no longer counts.
    const fn first(&self) -> Counted {
        Counted { at: self.rested, place: [u8::MAX; 16] }
    }
}

impl State {
    /// Counts the attempt that a draft is to begin; if a quota does not let it, the step that makes its message wait.
    pub(super) fn ration(
        &mut self,
        draft: &mut Draft,
        message: &Message,
        before: &MessageState,
    ) -> Result<Option<Move>, StoreError> {
        let quotas = self.record.quotas;
        if !quotas.limit_sending() {
            return Ok(None);
        }
        self.let_rested_go(draft)?;
        let counted = match self.counts(message, draft.at)? {
            // One person counts once, under whatever name.
            true => Some(match self.holder(message.to.as_str())? {
                Some(person) => Counted { at: draft.at, place: *person.id.as_bytes() },
                None => Counted::new(message.to.as_str(), draft.at),
            }),
            false => None,
        };
        let since = counted.map(|counted| self.counted_since(&counted.place)).transpose()?.flatten();
        let is_new_recipient = counted.is_some() && since.is_none();
        let need = Need { is_first: before.attempts.is_empty(), is_new_recipient };
        let held = match quotas.check(&self.meter.usage, need, draft.at) {
            Ok(()) => None,
            Err(wait) => self.hold(message, before, wait, draft.at)?,
        };
        if held.is_none() {
            self.meter.usage.spend(need, draft.at);
            if let Some(counted) = counted {
                draft.commit.count(since, &counted)?;
                // It is handed in behind those that have not landed.
                let no = self.meter.landed + self.unlanded as u64 + 1;
                self.meter.fresh.insert(counted.place, (no, counted.at));
                self.meter.order.push_back((no, counted.place));
            }
        }
        draft.commit.usage(&self.meter.usage)?;
        Ok(held)
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
        let since = match self.meter.fresh.get(place) {
            Some((_, at)) => Some(*at),
            None => self.ctx.store.counted(self.record.no, place)?,
        };
        Ok(since.filter(|at| *at > self.meter.rested))
    }

    /// Takes those off the count who were last written to too long ago.
    fn let_rested_go(&mut self, draft: &mut Draft) -> Result<(), StoreError> {
        let until = draft.at.before(COUNTS_FOR);
        let (mut looked_at, mut rested, mut gone) = (0, until, 0);
        let Meter { fresh, .. } = &self.meter;
        self.ctx.store.each_counted(self.record.no, Some(&self.meter.first()), &mut |counted| {
            if counted.at > until || (looked_at >= REST_AT_ONCE && counted.at > rested) {
                return ControlFlow::Break(());
            }
            (looked_at, rested) = (looked_at + 1, counted.at);
            // One that a commit on its way counts anew is taken from here by it.
            if !fresh.contains_key(&counted.place) {
                draft.commit.uncount(&counted);
                gone += 1;
            }
            ControlFlow::Continue(())
        })?;
        self.meter.usage.rested(gone);
        // The rest of a crowd goes with the next attempts.
        let rested = if looked_at < REST_AT_ONCE { until } else { rested };
        self.meter.rested = self.meter.rested.max(rested);
        Ok(())
    }

    fn hold(
        &mut self,
        message: &Message,
        before: &MessageState,
        wait: Wait,
        now: Timestamp,
    ) -> Result<Option<Move>, StoreError> {
        let until =
            if wait == Wait::DailyQuota { day_end(now) } else { self.next_place()?.unwrap_or(now).after(COUNTS_FOR) };
        let event = Event::Hold { until: until.max(now.after(HOLD_MIN)), wait };
        Ok(match decide(message, before, &event, &self.ctx.settings().policy, now, 0.0) {
            Decision::Move(step) => Some(*step),
            Decision::Ignore(_) => None,
        })
    }

    /// Since when the recipient counts whose place comes free next and is not promised yet; when all are, from the first
    /// again.
    fn next_place(&mut self) -> Result<Option<Timestamp>, StoreError> {
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

    /// The organisation's record changed: whom other quotas held may try again.
    pub(super) fn follow_quotas(&mut self) -> Result<(), ActorProcessingErr> {
        if self.meter.quotas == self.record.quotas {
            return Ok(());
        }
        self.meter.quotas = self.record.quotas;
        self.meter.promised = None;
        let senders: Vec<_> = self.record.senders.iter().map(|sender| sender.no).collect();
        let is_held = |_: &Message, state: &MessageState| matches!(state.wait, Wait::DailyQuota | Wait::RecipientQuota);
        self.release(&senders, is_held, By::System)
    }
}
