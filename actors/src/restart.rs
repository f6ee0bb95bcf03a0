//! The restart budget: how often a child may crash, and how long it then stays down. A pure decision.

use std::collections::VecDeque;
use std::time::Duration;

use domain::Timestamp;

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
    /// It has used up its budget.
    GiveUp,
}

/// The recent crashes of one child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crashes {
    recent: VecDeque<Timestamp>,
}

impl Crashes {
    /// A crash happened at `now`.
    pub(crate) fn note(&mut self, budget: &Budget, now: Timestamp) -> Verdict {
        while self.recent.front().is_some_and(|at| now.since(*at) > budget.period) {
            self.recent.pop_front();
        }
        if self.recent.len() >= budget.max {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).min(16);
        self.recent.push_back(now);
        Verdict::Restart(budget.delay.saturating_mul(1 << doublings))
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
        let verdicts: Vec<_> = (0..4).map(|n| crashes.note(&BUDGET, at(n))).collect();
        let after = |millis| Verdict::Restart(Duration::from_millis(millis));
        assert_eq!(verdicts, [after(100), after(200), after(400), Verdict::GiveUp]);
    }

    #[test]
    fn crashes_long_ago_are_forgiven() {
        let mut crashes = Crashes::default();
        for n in 0..3 {
            crashes.note(&BUDGET, at(n));
        }
        assert_eq!(crashes.note(&BUDGET, at(100)), Verdict::Restart(Duration::from_millis(100)));
    }
}
