//! The pair limit: how often one phone number may write to one recipient. Times are of the wall clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::circuit::{Circuit, Permission};
use crate::time::Timestamp;

/// Meta: after the n-th refusal in a row wait 4^n seconds. We stop growing at 4^6 s, a good hour.
const PENALTY: Backoff = Backoff::growing(Duration::from_secs(1), 4, Duration::from_secs(4096));
/// While one message probes a refused pair, the others ask again after this time.
const PROBE_ANSWERED_IN: Duration = Duration::from_secs(5);
/// A slot that nobody claims for this long after its time is free.
const UNCLAIMED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Meta's limit on messages from one phone number to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairLimit {
    /// One message in this time …
    pub interval: Duration,
    /// … with this many ahead.
    pub burst: u32,
}

/// The pairs of one phone number, by recipient. Only recent pairs are remembered. A recipient is given by all of their
/// names that are known: notes under several names are joined into one pair.
#[derive(Clone, Debug)]
pub struct Pairs<K, M> {
    limit: PairLimit,
    pairs: HashMap<K, Pair<M>>,
    /// Whether Meta may have refused a pair lately.
    was_refused: bool,
}

#[derive(Clone, Debug)]
struct Pair<M> {
    /// When the bucket would be full again (the theoretical arrival time of GCRA).
    full_at: Timestamp,
    /// Messages that were given a later time, or that keep a slot they could not use.
    promised: HashMap<M, Timestamp>,
    /// Open while Meta refuses the pair.
    circuit: Circuit,
}

impl<K: Eq + Hash + Clone, M: Eq + Hash> Pairs<K, M> {
    /// No pairs yet.
    pub fn new(limit: PairLimit) -> Self {
        Self { limit, pairs: HashMap::new(), was_refused: false }
    }

    /// Sets another limit. Times that were promised stand.
    pub const fn set_limit(&mut self, limit: PairLimit) {
        self.limit = limit;
    }

    /// Takes one of the pair's slots for `message`, or returns the time of its slot. A promised time is kept, so each
    /// of many messages waits once, and they go one after another.
    pub fn take(&mut self, to: &[K], message: M, now: Timestamp) -> Result<(), Timestamp> {
        let PairLimit { interval, burst } = self.limit;
        self.join(to, now);
        let Some(name) = to.first() else { return Ok(()) };
        let pair = self.pairs.entry(name.clone()).or_insert_with(|| Pair {
            full_at: now,
            promised: HashMap::new(),
            circuit: Circuit::new(PENALTY),
        });
        if let Some(until) = pair.circuit.until(now) {
            return Err(if pair.circuit.is_probing() { until.min(now.after(PROBE_ANSWERED_IN)) } else { until });
        }
        if let Some(at) = pair.promised.remove(&message) {
            if at <= now {
                return pair.let_go(now);
            }
            pair.promised.insert(message, at);
            return Err(at);
        }
        let ahead = interval.saturating_mul(burst.saturating_sub(1));
        let free_at = pair.full_at.max(now).before(ahead);
        pair.full_at = pair.full_at.max(now).after(interval);
        if free_at <= now {
            return pair.let_go(now);
        }
        pair.promised.insert(message, free_at);
        Err(free_at)
    }

    /// A message with a slot was not accepted. It keeps the slot until it asks again.
    pub fn not_taken(&mut self, to: &[K], message: M, now: Timestamp) {
        if let Some(pair) = self.join(to, now) {
            pair.promised.insert(message, now);
            pair.circuit.unused(now);
        }
    }

    /// A message with a slot was not accepted and never will be.
    pub fn given_up(&mut self, to: &[K], now: Timestamp) {
        let interval = self.limit.interval;
        if let Some(pair) = self.join(to, now) {
            pair.circuit.unused(now);
            // Messages that already wait keep their times; the next one to come has one slot more.
            pair.full_at = pair.full_at.before(interval);
        }
    }

    /// A message that waits for its slot, or keeps one, will not claim it.
    pub fn withdrawn(&mut self, to: &[K], message: &M, now: Timestamp) {
        let interval = self.limit.interval;
        if let Some(pair) = self.join(to, now)
            && pair.promised.remove(message).is_some()
        {
            pair.full_at = pair.full_at.before(interval);
        }
    }

    /// Meta refused a message of this pair and wants to be left alone for `at_least`. Returns when the pair may be
    /// tried again.
    pub fn refused(&mut self, to: &[K], now: Timestamp, at_least: Duration) -> Timestamp {
        let Some(pair) = self.join(to, now) else { return now.after(at_least) };
        pair.circuit.failed(now, at_least);
        let until = pair.circuit.until(now).unwrap_or(now);
        self.was_refused = true;
        until
    }

    /// Meta accepted a message of this pair.
    pub fn accepted(&mut self, to: &[K], now: Timestamp) {
        if let Some(pair) = self.join(to, now) {
            pair.circuit.recovered(now);
        }
    }

    /// Whether an accepted message matters here. If not, nobody need look up its recipient's names.
    pub const fn were_refused(&self) -> bool {
        self.was_refused
    }

    /// When a message could go; `None`: at once. Takes no slot.
    pub fn next_free(&mut self, to: &[K], message: &M, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.limit.interval.saturating_mul(self.limit.burst.saturating_sub(1));
        let pair = self.join(to, now)?;
        let free_at = pair.promised.get(message).copied().unwrap_or_else(|| pair.full_at.before(ahead));
        pair.circuit.until(now).max(Some(free_at)).filter(|at| *at > now)
    }

    /// Whether Meta refuses the pair for now.
    pub fn is_refused(&mut self, to: &[K], now: Timestamp) -> bool {
        self.join(to, now).is_some_and(|pair| pair.circuit.open_since().is_some())
    }

    /// A person wants to try again: refused pairs may be tried now.
    pub fn forgive(&mut self) {
        for pair in self.pairs.values_mut() {
            pair.circuit.worked();
        }
        self.was_refused = false;
    }

    /// Forgets pairs that have rested so long that they are as good as new.
    pub fn forget_rested(&mut self, now: Timestamp) {
        // A message that has not claimed its slot for so long has ended.
        let interval = self.limit.interval;
        self.pairs.retain(|_, pair| {
            pair.promised.retain(|_, at| at.after(interval.max(UNCLAIMED_FOR)) > now);
            pair.full_at > now || pair.circuit.open_since().is_some() || !pair.promised.is_empty()
        });
        self.was_refused = self.pairs.values().any(|pair| pair.circuit.open_since().is_some());
    }

    /// Joins what is noted under all these names into one pair under the first.
    fn join(&mut self, names: &[K], now: Timestamp) -> Option<&mut Pair<M>> {
        let (first, others) = names.split_first()?;
        for other in others {
            let Some(pair) = self.pairs.remove(other) else { continue };
            let joined = match self.pairs.remove(first) {
                Some(known) => known.join(pair, now),
                None => pair,
            };
            self.pairs.insert(first.clone(), joined);
        }
        self.pairs.get_mut(first)
    }

    /// How many pairs are remembered.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl<M: Eq + Hash> Pair<M> {
    /// Adds up what two names of one recipient have used.
    fn join(mut self, other: Self, now: Timestamp) -> Self {
        self.promised.extend(other.promised);
        Self {
            full_at: self.full_at.max(now).after(other.full_at.since(now)),
            promised: self.promised,
            circuit: if other.circuit.until(now) > self.circuit.until(now) { other.circuit } else { self.circuit },
        }
    }

    /// The message may go. Of a refused pair, one message goes at a time.
    fn let_go(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match self.circuit.ask(now) {
            Permission::Free | Permission::Probe => Ok(()),
            Permission::Wait(until) => Err(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn pairs(burst: u32) -> Pairs<&'static str, u32> {
        Pairs::new(PairLimit { interval: Duration::from_secs(6), burst })
    }

    fn at(secs: u64) -> Timestamp {
        NOW.after(Duration::from_secs(secs))
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_one_by_one() {
        let mut pairs = pairs(3);
        assert!((0..3).all(|n| pairs.take(&["ada"], n, NOW).is_ok()));
        assert_eq!(pairs.take(&["ada"], 3, NOW), Err(at(6)));
        assert_eq!(pairs.take(&["ada"], 4, NOW), Err(at(12)));
        assert_eq!(pairs.take(&["bob"], 5, NOW), Ok(()), "others go on");
    }

    #[test]
    fn a_promised_time_is_kept() {
        let mut pairs = pairs(1);
        assert!(pairs.take(&["ada"], 0, NOW).is_ok());
        assert_eq!(pairs.take(&["ada"], 1, NOW), Err(at(6)));
        assert_eq!(pairs.take(&["ada"], 1, at(3)), Err(at(6)));
        assert_eq!(pairs.take(&["ada"], 2, at(6)), Err(at(12)), "a newcomer does not take it");
        assert_eq!(pairs.take(&["ada"], 1, at(6)), Ok(()));
    }

    #[test]
    fn refusals_in_a_row_wait_four_times_longer_each() {
        let mut pairs = pairs(45);
        let mut now = NOW;
        let mut waits = Vec::new();
        for n in 0..4 {
            pairs.take(&["ada"], n, now).unwrap();
            let until = pairs.refused(&["ada"], now, Duration::ZERO);
            assert_eq!(pairs.refused(&["ada"], now, Duration::ZERO), until, "one that was under way, too");
            waits.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 4, 16, 64]);
        pairs.accepted(&["ada"], now);
        pairs.take(&["ada"], 9, now).unwrap();
        assert_eq!(pairs.refused(&["ada"], now, Duration::ZERO).since(now).as_secs(), 1);
    }

    #[test]
    fn of_twenty_that_wait_for_a_refused_recipient_one_tries_at_each_step() {
        let mut pairs = pairs(45);
        assert!((0..20).all(|n| pairs.take(&["ada"], n, NOW).is_ok()));
        for n in 0..20 {
            pairs.refused(&["ada"], NOW, Duration::ZERO);
            pairs.not_taken(&["ada"], n, NOW);
        }
        let mut tries = Vec::new();
        for secs in 0..30 {
            let gone: Vec<u32> = (0..20).filter(|n| pairs.take(&["ada"], *n, at(secs)).is_ok()).collect();
            for n in &gone {
                pairs.refused(&["ada"], at(secs), Duration::ZERO);
                pairs.not_taken(&["ada"], *n, at(secs));
            }
            tries.extend(gone.iter().map(|_| secs));
        }
        assert_eq!(tries, [1, 5, 21]);
        // The next is taken: all go, and none has lost its slot by the refusals.
        assert!(pairs.take(&["ada"], 0, at(85)).is_ok());
        pairs.accepted(&["ada"], at(85));
        assert!((1..20).all(|n| pairs.take(&["ada"], n, at(85)).is_ok()));
    }

    #[test]
    fn who_waits_and_does_not_come_leaves_a_place_to_whoever_comes_next() {
        let mut pairs = pairs(1);
        assert_eq!(pairs.take(&["ada"], 0, NOW), Ok(()));
        assert_eq!((pairs.take(&["ada"], 1, NOW), pairs.take(&["ada"], 2, NOW)), (Err(at(6)), Err(at(12))));
        pairs.withdrawn(&["ada"], &1, NOW);
        pairs.withdrawn(&["ada"], &7, NOW);
        assert_eq!(pairs.take(&["ada"], 3, NOW), Err(at(12)), "one slot came free, and only one");
        pairs.given_up(&["ada"], NOW);
        assert_eq!(pairs.take(&["ada"], 4, NOW), Err(at(12)), "though others wait");
        assert!(pairs.take(&["ada"], 2, at(12)).is_ok(), "whose times stand");
    }

    #[test]
    fn a_message_that_was_not_taken_has_used_up_no_place() {
        let mut pairs = pairs(1);
        for secs in 0..9 {
            assert_eq!(pairs.take(&["ada"], 0, at(secs)), Ok(()), "try {secs}");
            pairs.not_taken(&["ada"], 0, at(secs));
            assert_eq!(pairs.next_free(&["ada"], &0, at(secs)), None);
        }
        let mut pairs = Pairs::new(PairLimit { interval: Duration::from_secs(6), burst: 1 });
        assert!(pairs.take(&["ada"], 1, NOW).is_ok());
        pairs.given_up(&["ada"], NOW);
        assert_eq!(pairs.take(&["ada"], 2, NOW), Ok(()), "its slot is another's");
    }

    #[test]
    fn names_that_turn_out_to_be_one_recipients_have_used_their_places_together() {
        let mut pairs = pairs(3);
        assert!(pairs.take(&["ada"], 0, NOW).is_ok() && pairs.take(&["DE.1"], 1, NOW).is_ok());
        let both = ["ada", "DE.1"];
        assert_eq!(pairs.take(&both, 2, NOW), Ok(()));
        assert_eq!(pairs.take(&["DE.1", "ada"], 3, NOW), Err(at(6)));
        assert_eq!(pairs.refused(&both, NOW, Duration::ZERO), at(1));
        assert_eq!(pairs.take(&["DE.1", "ada"], 4, NOW), Err(at(1)));
        assert_eq!((pairs.next_free(&both, &4, at(1)), pairs.len()), (Some(at(12)), 1));
        pairs.accepted(&["DE.1", "ada"], at(6));
        assert_eq!(pairs.take(&both, 3, at(6)), Ok(()), "the promise was made to either name");
        assert_eq!(pairs.refused(&both, at(6), Duration::ZERO), at(7), "the first in a row again");
    }

    #[test]
    fn pairs_that_have_rested_are_forgotten() {
        let mut pairs = pairs(2);
        pairs.take(&["ada"], 0, NOW).unwrap();
        pairs.forget_rested(at(5));
        assert_eq!(pairs.len(), 1);
        pairs.forget_rested(at(6));
        assert!(pairs.is_empty());
    }
}
