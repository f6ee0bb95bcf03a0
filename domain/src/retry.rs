//! When to try again.

use std::time::Duration;

/// The delay before each attempt, and the jitter added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The delays before attempts 1, 2, 3 …; there are as many attempts as delays.
    pub delays: Vec<Duration>,
    /// The largest share of a delay that is added to it: 0.1 turns 60 s into 60 to 66 s.
    pub jitter: f64,
}

impl RetryPolicy {
    /// How many attempts a message has.
    pub fn max_attempts(&self) -> u16 {
        u16::try_from(self.delays.len()).unwrap_or(u16::MAX)
    }

    /// The delay before the attempt that follows `made` attempts of the current budget; `roll` in `0.0..1.0` draws the
    /// jitter. Past the end the last delay repeats.
    pub fn delay(&self, made: u16, roll: f64) -> Duration {
        let delay = self.delays.get(usize::from(made)).or(self.delays.last()).copied().unwrap_or_default();
        delay.mul_f64(1.0 + self.jitter.clamp(0.0, 10.0) * roll.clamp(0.0, 1.0))
    }
}

impl Default for RetryPolicy {
    /// At once, then after 1 m, 5 m, 15 m, 1 h and 6 h; 10 % jitter.
    fn default() -> Self {
        Self { delays: [0, 60, 300, 900, 3600, 21_600].map(Duration::from_secs).to_vec(), jitter: 0.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_printed_schedule_adds_up_to_seven_hours_and_twenty_one_minutes() {
        let policy = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() };
        let schedule: Vec<u64> = (0..policy.max_attempts()).map(|made| policy.delay(made, 0.9).as_secs()).collect();
        assert_eq!(schedule, [0, 60, 300, 900, 3600, 21_600]);
        assert_eq!(schedule.iter().sum::<u64>(), 7 * 3600 + 21 * 60);
    }

    #[test]
    fn an_empty_schedule_waits_for_nothing() {
        assert_eq!(RetryPolicy { delays: vec![], jitter: 0.1 }.delay(3, 0.5), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn jitter_only_ever_adds_and_never_more_than_its_share(made in 0u16..9, roll in 0.0f64..1.0) {
            let policy = RetryPolicy::default();
            let plain = policy.delay(made, 0.0);
            let drawn = policy.delay(made, roll);
            prop_assert!(drawn >= plain && drawn <= plain.mul_f64(1.1));
        }
    }
}
