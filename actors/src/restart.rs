//! The restart budget: how often a child may crash, and how long it then stays down. A pure decision.

use std::collections::VecDeque;
use std::time::Duration;

use domain::Timestamp;
use domain::backoff::Backoff;

/// Up to this share of a delay is added, so that what crashed together does not start again together.
const JITTER: f64 = 0.2;

/// So many restarts within so long, each later than the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Restarts allowed within `period`.
    pub max: usize,
    /// The time over which crashes are counted.
    pub period: Duration,
    /// The delay before the first restart; doubles with each further one within the period.
    pub delay: Duration,
}

/// What to do about a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again after this delay.
    Restart(Duration),
    /// It has used up its budget: leave it alone for this long, then try it once more.
    Quarantine(Duration),
    /// It has used up its budget: its supervisor decides what now.
    GiveUp,
}

/// The recent crashes of one child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crashes {
    recent: VecDeque<Timestamp>,
}

impl Crashes {
    /// A crash happened at `now`. `roll` in `0.0..1.0` draws the jitter.
    pub(crate) fn note(&mut self, budget: &Budget, now: Timestamp, roll: f64) -> Verdict {
        while self.recent.front().is_some_and(|at| now.since(*at) > budget.period) {
            self.recent.pop_front();
        }
        if self.recent.len() >= budget.max {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).min(16);
        self.recent.push_back(now);
        Verdict::Restart(budget.delay.saturating_mul(1 << doublings).mul_f64(1.0 + JITTER * roll))
    }

    /// Whether none of them counts any more.
    pub(crate) fn are_forgiven(&self, budget: &Budget, now: Timestamp) -> bool {
        self.recent.back().is_none_or(|at| now.since(*at) > budget.period)
    }
}

/// The crashes of a child that is never given up for good: beyond its budget it is left alone, ever longer, and tried
/// again, until it has run for a whole period without a crash.
#[derive(Debug)]
pub(crate) struct Patience {
    budget: Budget,
    crashes: Crashes,
    quarantine: Backoff,
    started_at: Timestamp,
    is_on_probation: bool,
}

impl Patience {
    /// Quarantines of `first`, doubling, to `most`.
    pub(crate) fn new(budget: Budget, first: Duration, most: Duration) -> Self {
        Self {
            budget,
            crashes: Crashes::default(),
            quarantine: Backoff::new(first, most),
            started_at: Timestamp::EPOCH,
            is_on_probation: false,
        }
    }

    /// It was started.
    pub(crate) const fn started(&mut self, now: Timestamp) {
        self.started_at = now;
    }

    /// It crashed at `now`.
    pub(crate) fn note(&mut self, now: Timestamp, roll: f64) -> Verdict {
        if now.since(self.started_at) > self.budget.period {
            self.is_on_probation = false;
            self.quarantine.reset();
        }
        if !self.is_on_probation
            && let Verdict::Restart(after) = self.crashes.note(&self.budget, now, roll)
        {
            return Verdict::Restart(after);
        }
        self.is_on_probation = true;
        Verdict::Quarantine(self.quarantine.next_pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { max: 3, period: Duration::from_secs(60), delay: Duration::from_millis(100) };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1000 + secs)
    }

    #[test]
    fn each_restart_waits_longer_and_the_budget_ends() {
        let mut crashes = Crashes::default();
        let verdicts: Vec<_> = (0..4).map(|n| crashes.note(&BUDGET, at(n), 0.0)).collect();
        let after = |millis| Verdict::Restart(Duration::from_millis(millis));
        assert_eq!(verdicts, [after(100), after(200), after(400), Verdict::GiveUp]);
    }

    #[test]
    fn jitter_only_adds_and_at_most_its_share() {
        for (roll, millis) in [(0.0, 100), (0.5, 110), (1.0, 120)] {
            let verdict = Crashes::default().note(&BUDGET, at(0), roll);
            assert_eq!(verdict, Verdict::Restart(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn crashes_long_ago_are_forgiven() {
        let mut crashes = Crashes::default();
        for n in 0..3 {
            crashes.note(&BUDGET, at(n), 0.0);
        }
        assert_eq!(crashes.note(&BUDGET, at(100), 0.0), Verdict::Restart(Duration::from_millis(100)));
    }

    #[test]
    fn beyond_its_budget_it_is_tried_ever_more_rarely_until_it_has_run_for_long() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let mut patience = Patience::new(BUDGET, minute, hour);
        let mut crash = |started: u64, crashed: u64| {
            patience.started(at(started));
            patience.note(at(crashed), 0.0)
        };
        for n in 0..3 {
            assert!(matches!(crash(n, n), Verdict::Restart(_)));
        }
        assert_eq!(crash(4, 5), Verdict::Quarantine(minute));
        assert_eq!(crash(65, 66), Verdict::Quarantine(2 * minute), "one crash is enough now");
        assert_eq!(crash(186, 190), Verdict::Quarantine(4 * minute));
        assert_eq!(crash(430, 430 + 61), Verdict::Restart(BUDGET.delay), "it had run for a whole period");
        for n in 0..2 {
            assert!(matches!(crash(492 + n, 492 + n), Verdict::Restart(_)));
        }
        assert_eq!(crash(500, 500), Verdict::Quarantine(minute));
    }
}
