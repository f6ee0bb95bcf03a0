//! A token bucket as a value. Time is a `Duration` since any fixed start.

use std::time::Duration;

/// A token that lacks no more than floating point's rounding counts as whole: otherwise the wait for the rest would be
/// zero, again and again.
const ROUNDING: f64 = 1e-6;

/// Tokens drip in at `rate` per second up to `burst`; each send takes one.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: Duration,
}

impl TokenBucket {
    /// A full bucket of `rate` tokens per second (at least one per 1000 s). It holds a tenth of a second's tokens, at
    /// least one, so the first second of a burst sends at most a tenth more than the rate.
    pub fn new(rate: f64) -> Self {
        let rate = rate.max(0.001);
        let burst = (rate / 10.0).max(1.0);
        Self { rate, burst, tokens: burst, filled_at: Duration::ZERO }
    }

    /// Takes a token, or returns the time until there is one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.tokens = self.tokens(now);
        self.filled_at = self.filled_at.max(now);
        if self.tokens >= 1.0 - ROUNDING {
            self.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
        }
    }

    /// The time until there is a token; `None` if there is one now.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        self.clone().take(now).err()
    }

    /// The tokens in the bucket now.
    pub fn tokens(&self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        (self.tokens + elapsed * self.rate).min(self.burst)
    }

    /// Drips at another rate from `now` on. The tokens in the bucket stay, as far as they fit.
    pub fn set_rate(&mut self, rate: f64, now: Duration) {
        let fresh = Self::new(rate);
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(fresh.burst);
        self.filled_at = self.filled_at.max(now);
        (self.rate, self.burst) = (fresh.rate, fresh.burst);
    }

    /// Puts back a token that was not needed.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// Tokens per second.
    pub const fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many tokens a greedy taker gets in `seconds`.
    fn taken(rate: f64, seconds: u64) -> u64 {
        let mut bucket = TokenBucket::new(rate);
        let (mut now, mut count) = (Duration::ZERO, 0);
        while now < Duration::from_secs(seconds) {
            match bucket.take(now) {
                Ok(()) => count += 1,
                Err(wait) => now += wait.max(Duration::from_nanos(1)),
            }
        }
        count
    }

    #[test]
    fn a_greedy_taker_gets_the_rate_and_one_burst() {
        // The last drip of the first second falls on its very end.
        assert!((87..=88).contains(&taken(80.0, 1)));
        assert!((80 * 60..=80 * 60 + 9).contains(&taken(80.0, 60)));
    }

    #[test]
    fn a_slow_rate_still_gives_its_first_token_at_once() {
        let mut bucket = TokenBucket::new(0.5);
        assert_eq!(bucket.take(Duration::ZERO), Ok(()));
        assert_eq!(bucket.take(Duration::ZERO), Err(Duration::from_secs(2)));
    }

    #[test]
    fn a_token_given_back_can_be_taken_again() {
        let mut bucket = TokenBucket::new(1.0);
        assert!(bucket.take(Duration::ZERO).is_ok());
        bucket.give_back();
        assert!(bucket.take(Duration::ZERO).is_ok());
    }

    proptest! {
        #[test]
        fn no_taker_ever_gets_more_than_rate_and_burst(rate in 1.0f64..2000.0, seconds in 1u64..5) {
            let most = rate * seconds as f64 + (rate / 10.0).max(1.0) + 1.0;
            prop_assert!((taken(rate, seconds) as f64) <= most);
        }
    }
}
