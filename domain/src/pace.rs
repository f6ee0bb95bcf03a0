//! An adaptive pace: it slows down when Meta throttles and recovers over time. Time is a `Duration` since any fixed
//! start.

use std::time::Duration;

/// Within this time only the first of several refusals counts: slowing down for each would stop the sender.
const ONE_BACKOFF_PER: Duration = Duration::from_secs(1);
/// The share of the pace that is left after a refusal.
const BACKOFF: f64 = 0.7;
/// The share of the full pace that comes back per second without a refusal. From a quarter, the full pace takes 75 s;
/// near Meta's limit, about one send in fifty is then refused.
const RECOVERY_PER_SECOND: f64 = 0.01;
/// How long accepted messages are counted before the count begins anew.
const COUNTED_FOR: Duration = Duration::from_secs(2);
/// The slowest pace.
const FLOOR: f64 = 0.1;

/// The pace of one sender, in sends per second.
#[derive(Clone, Debug)]
pub struct Pace {
    full: f64,
    current: f64,
    changed_at: Duration,
    rests_until: Duration,
    /// When the count below began.
    counted_from: Duration,
    /// Messages that Meta accepted since then.
    taken: u32,
}

impl Pace {
    /// Starts at the full pace.
    pub fn new(full: f64) -> Self {
        let full = full.max(FLOOR);
        let never = Duration::ZERO;
        Self { full, current: full, changed_at: never, rests_until: never, counted_from: never, taken: 0 }
    }

    /// Meta accepted a message.
    pub fn took(&mut self, now: Duration) {
        if now.saturating_sub(self.counted_from) > COUNTED_FOR {
            (self.counted_from, self.taken) = (now, 0);
        }
        self.taken = self.taken.saturating_add(1);
    }

    /// What Meta lately accepted per second, which shows its limit once it throttles. Unknown after too short a time.
    fn measured(&self, now: Duration) -> Option<f64> {
        let counted = now.saturating_sub(self.counted_from).as_secs_f64();
        (counted >= 0.5 && self.taken > 0).then(|| f64::from(self.taken) / counted)
    }

    /// Meta throttles: slow down, after a rest of at least `rest`.
    pub fn throttled(&mut self, now: Duration, rest: Duration) {
        let since = now.saturating_sub(self.changed_at);
        if self.current >= self.full || since >= ONE_BACKOFF_PER {
            let slower = self.at(now) * BACKOFF;
            self.current = self.measured(now).map_or(slower, |measured| measured.min(slower)).max(FLOOR);
            self.changed_at = now;
            (self.counted_from, self.taken) = (now, 0);
        }
        self.rests_until = self.rests_until.max(now.saturating_add(rest));
    }

    /// The full pace.
    pub const fn full(&self) -> f64 {
        self.full
    }

    /// The pace now.
    pub fn at(&self, now: Duration) -> f64 {
        let recovered = now.saturating_sub(self.changed_at.max(self.rests_until)).as_secs_f64() * RECOVERY_PER_SECOND;
        (self.current + recovered * self.full).min(self.full)
    }

    /// When the rest is over.
    pub const fn rests_until(&self) -> Duration {
        self.rests_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(500);

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    #[test]
    fn refusals_that_arrive_together_slow_it_once() {
        let mut pace = Pace::new(80.0);
        for n in 0..10 {
            pace.throttled(secs(10.0) + Duration::from_millis(n), REST);
        }
        assert!((pace.at(secs(10.0)) - 56.0).abs() < 0.01);
        pace.throttled(secs(11.5), REST);
        assert!(pace.at(secs(11.5)) < 41.0);
    }

    #[test]
    fn it_recovers_to_the_full_pace_and_no_further() {
        let mut pace = Pace::new(80.0);
        pace.throttled(secs(1.0), REST);
        assert!(pace.at(secs(20.0)) > 56.0);
        assert!((pace.at(secs(1000.0)) - 80.0).abs() < f64::EPSILON);
    }

    #[test]
    fn it_rests_as_long_as_meta_asks() {
        let mut pace = Pace::new(80.0);
        pace.throttled(secs(1.0), secs(60.0));
        assert_eq!(pace.rests_until(), secs(61.0));
    }

    #[test]
    fn it_never_stops_altogether() {
        let mut pace = Pace::new(80.0);
        for n in 0..100 {
            pace.throttled(secs(f64::from(n) * 2.0), REST);
        }
        assert!(pace.at(secs(200.0)) >= FLOOR);
    }

    /// Sends through a limit of `limit` per second with calls of 20 ms, 64 at once. Returns how many were accepted and
    /// refused.
    fn through(limit: u32, full: f64, seconds: f64) -> (u32, u32) {
        let mut pace = Pace::new(full);
        let (mut now, mut window, mut taken, mut refused) = (0.0f64, (0u64, 0u32), 0u32, 0u32);
        let mut answers: std::collections::VecDeque<(f64, bool)> = std::collections::VecDeque::new();
        while now < seconds {
            while answers.front().is_some_and(|(at, _)| *at <= now) {
                match answers.pop_front().unwrap() {
                    (at, true) => pace.took(secs(at)),
                    (at, false) => pace.throttled(secs(at), REST),
                }
            }
            if secs(now) < pace.rests_until() || answers.len() >= 64 {
                now += 0.001;
                continue;
            }
            if window.0 != now as u64 {
                window = (now as u64, 0);
            }
            window.1 += 1;
            let is_taken = window.1 <= limit;
            if is_taken {
                taken += 1
            } else {
                refused += 1
            }
            answers.push_back((now + 0.02, is_taken));
            now += 1.0 / pace.at(secs(now));
        }
        (taken, refused)
    }

    #[test]
    fn against_a_limit_of_twenty_it_settles_near_twenty_with_few_refusals() {
        let (taken, refused) = through(20, 80.0, 300.0);
        assert!(taken > 300 * 15, "{taken} of 6000 possible");
        assert!(refused * 20 < taken, "{refused} of {taken} were refused");
    }

    #[test]
    fn far_above_the_limit_it_finds_it_within_seconds() {
        let (taken, refused) = through(20, 1000.0, 60.0);
        assert!(taken > 60 * 12, "{taken} of 1200 possible");
        assert!(refused * 2 < taken, "{refused} of {taken} were refused");
    }
}
