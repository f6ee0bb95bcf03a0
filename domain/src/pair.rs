//! The pair limit: how often one phone number may write to one recipient. Times are points of the wall clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::time::Timestamp;

/// Meta: after the n-th refusal in a row wait 4^n seconds; capped here at 4^6 s, a good hour.
const PENALTY_BASE: u32 = 4;
const PENALTY_MAX: u32 = 6;

/// Meta's limit on messages from one phone number to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairLimit {
    /// One message in this time …
    pub interval: Duration,
    /// … with this many ahead.
    pub burst: u32,
}

/// The pairs of one phone number, by recipient. Only those that were written to lately are remembered. A recipient is given by
/// all names of theirs that are known by then: what was noted under each is one pair from then on.
#[derive(Clone, Debug)]
pub struct Pairs<K, M> {
    limit: PairLimit,
    pairs: HashMap<K, Pair<M>>,
    /// Whether Meta may have refused one lately.
    was_refused: bool,
}

#[derive(Clone, Debug)]
struct Pair<M> {
    /// When the bucket would be full again (the theoretical arrival time of GCRA).
    full_at: Timestamp,
    /// Who was given a later time, and which.
    promised: HashMap<M, Timestamp>,
    refusals: u32,
    blocked_until: Timestamp,
}

impl<K: Eq + Hash + Clone, M: Eq + Hash> Pairs<K, M> {
    /// No pairs yet.
    pub fn new(limit: PairLimit) -> Self {
        Self { limit, pairs: HashMap::new(), was_refused: false }
    }

    /// Another limit holds from now on; times once promised are kept.
    pub const fn set_limit(&mut self, limit: PairLimit) {
        self.limit = limit;
    }

    /// Takes one of the pair's places for `message`, or says from when it has one. A time once promised is kept, so each
    /// of many messages waits once and they go one after the other.
    pub fn take(&mut self, to: &[K], message: M, now: Timestamp) -> Result<(), Timestamp> {
        let PairLimit { interval, burst } = self.limit;
        self.join(to, now);
        let Some(name) = to.first() else { return Ok(()) };
        let pair = self.pairs.entry(name.clone()).or_insert_with(|| Pair {
            full_at: now,
            promised: HashMap::new(),
            refusals: 0,
            blocked_until: Timestamp::EPOCH,
        });
        if pair.blocked_until > now {
            return Err(pair.blocked_until);
        }
        if let Some(at) = pair.promised.remove(&message) {
            if at <= now {
                return Ok(());
            }
            pair.promised.insert(message, at);
            return Err(at);
        }
        let ahead = interval.saturating_mul(burst.saturating_sub(1));
        let free_at = pair.full_at.max(now).before(ahead);
        pair.full_at = pair.full_at.max(now).after(interval);
        if free_at <= now {
            return Ok(());
        }
        pair.promised.insert(message, free_at);
        Err(free_at)
    }

    /// Meta refused a message of this pair: says until when to leave the pair alone.
    pub fn refused(&mut self, to: &[K], now: Timestamp) -> Timestamp {
        let until = now.after(Duration::from_secs(1));
        let Some(pair) = self.join(to, now) else { return until };
        let penalty = Duration::from_secs(u64::from(PENALTY_BASE.pow(pair.refusals.min(PENALTY_MAX))));
        // Refusals of messages that were under way together count once.
        if pair.blocked_until <= now {
            pair.refusals += 1;
            pair.blocked_until = now.after(penalty);
        }
        let until = pair.blocked_until;
        self.was_refused = true;
        until
    }

    /// Meta took a message of this pair.
    pub fn accepted(&mut self, to: &[K], now: Timestamp) {
        if let Some(pair) = self.join(to, now) {
            pair.refusals = 0;
        }
    }

    /// Whether it matters that Meta took a message: otherwise nobody need look for its recipient's names.
    pub const fn were_refused(&self) -> bool {
        self.was_refused
    }

    /// From when a further message could go; `None`: at once. Takes nothing.
    pub fn next_free(&mut self, to: &[K], now: Timestamp) -> Option<Timestamp> {
        let ahead = self.limit.interval.saturating_mul(self.limit.burst.saturating_sub(1));
        let pair = self.join(to, now)?;
        Some(pair.full_at.before(ahead).max(pair.blocked_until)).filter(|at| *at > now)
    }

    /// Forgets pairs that have rested so long that they are as new.
    pub fn forget_rested(&mut self, now: Timestamp) {
        self.pairs.retain(|_, pair| pair.full_at > now || pair.blocked_until > now || !pair.promised.is_empty());
        self.was_refused = self.pairs.values().any(|pair| pair.refusals > 0);
    }

    /// What is noted under all of these names, as one pair under the first.
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
    /// What two names of one recipient have used together.
    fn join(mut self, other: Self, now: Timestamp) -> Self {
        self.promised.extend(other.promised);
        Self {
            full_at: self.full_at.max(now).after(other.full_at.since(now)),
            promised: self.promised,
            refusals: self.refusals.max(other.refusals),
            blocked_until: self.blocked_until.max(other.blocked_until),
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
            let until = pairs.refused(&["ada"], now);
            assert_eq!(pairs.refused(&["ada"], now), until, "one that was under way, too");
            waits.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [1, 4, 16, 64]);
        pairs.accepted(&["ada"], now);
        pairs.take(&["ada"], 9, now).unwrap();
        assert_eq!(pairs.refused(&["ada"], now).since(now).as_secs(), 1);
    }

    #[test]
    fn names_that_turn_out_to_be_one_recipients_have_used_their_places_together() {
        let mut pairs = pairs(3);
        assert!(pairs.take(&["ada"], 0, NOW).is_ok() && pairs.take(&["DE.1"], 1, NOW).is_ok());
        let both = ["ada", "DE.1"];
        assert_eq!(pairs.take(&both, 2, NOW), Ok(()));
        assert_eq!(pairs.take(&["DE.1", "ada"], 3, NOW), Err(at(6)));
        assert_eq!(pairs.refused(&both, NOW), at(1));
        assert_eq!(pairs.take(&["DE.1", "ada"], 4, NOW), Err(at(1)));
        assert_eq!((pairs.next_free(&both, at(1)), pairs.len()), (Some(at(12)), 1));
        pairs.accepted(&["DE.1", "ada"], at(6));
        assert_eq!(pairs.take(&both, 3, at(6)), Ok(()), "the promise was made to either name");
        assert_eq!(pairs.refused(&both, at(6)), at(7), "the first in a row again");
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
