//! Counts failed authentications by address and throttles an address that guesses keys.
//!
//! What is right is looked at first and never waits, whatever came before it from there: many clients may share an address
//! behind a proxy or a NAT, and one that guesses, or goes on with a key that was revoked, must not shut the others out. Only
//! what fails is counted; keys are of 32 random bytes, so that waiting need not slow a search for them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Guesser, TriesOf};
use domain::Timestamp;
use tokio::time::Instant;

/// Failed attempts that one address may make at once …
const BURST: u32 = 20;
/// … and then one in this time.
const EVERY: Duration = Duration::from_secs(6);
/// Addresses that are remembered; beyond it, those not heard of for longest are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Between two lines in the log about one address that is made to wait …
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);
/// … and between two about all failed attempts.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Addresses that are shown.
const SHOWN_MAX: usize = 100;

pub(crate) struct AuthThrottle {
    /// What is tried, for the log.
    what: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    addresses: HashMap<IpAddr, FailedAttempts>,
    /// Failed attempts since the start.
    failed: u64,
    /// Those that were told to wait.
    refused: u64,
    told_at: Option<Instant>,
    /// What `failed` was then.
    told: u64,
}

struct FailedAttempts {
    /// Each failed attempt moves it on by `EVERY`; it may be so far ahead of now as `BURST` of them.
    paid_until: Instant,
    heard_at: Instant,
    complained_at: Option<Instant>,
    failed: u64,
    failed_at: Instant,
}

impl AuthThrottle {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, seen: Mutex::default() }
    }

    /// Something that was tried is wrong: it counts for these addresses, unless one is waiting already; then, how long.
    pub(crate) fn refused_for(&self, addresses: &[IpAddr]) -> Result<(), Duration> {
        addresses.iter().map(|address| self.refused(*address)).fold(Ok(()), Result::and)
    }

    fn refused(&self, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut seen = self.seen();
        let wait = seen.addresses.get(&address).map_or(Duration::ZERO, |attempts| attempts.wait(now));
        if !wait.is_zero() {
            seen.refused += 1;
            return Err(wait);
        }
        seen.failed += 1;
        if seen.told_at.is_none_or(|at| at + TELL_EVERY < now) {
            let tries = seen.failed - seen.told;
            tracing::info!(what = self.what, tries, %address, "wrong ones were tried, the last one from this address");
            (seen.told_at, seen.told) = (Some(now), seen.failed);
        }
        let attempts = attempts_of(&mut seen.addresses, address, now);
        (attempts.failed, attempts.failed_at) = (attempts.failed + 1, now);
        attempts.paid_until = attempts.paid_until.max(now) + EVERY;
        let is_over = attempts.paid_until + EVERY > now + EVERY * BURST;
        if is_over && attempts.complained_at.is_none_or(|at| at + COMPLAIN_EVERY < now) {
            attempts.complained_at = Some(now);
            tracing::warn!(%address, what = self.what, "one wrong after the other is being tried; this address is made to wait");
        }
        Ok(())
    }

    /// For the operator: how much was tried, and from where most.
    pub(crate) fn view(&self, at: Timestamp) -> TriesOf {
        let (seen, now) = (self.seen(), Instant::now());
        let mut guessers: Vec<_> = seen.addresses.iter().filter(|(_, attempts)| attempts.failed > 0).collect();
        guessers.sort_by_key(|(address, attempts)| (Reverse(attempts.failed), **address));
        let view = |(address, attempts): &(&IpAddr, &FailedAttempts)| Guesser {
            address: address.to_string(),
            failed: attempts.failed,
            last_failed_at: at.before(now.duration_since(attempts.failed_at)).to_string(),
            wait_seconds: attempts.wait(now).as_secs(),
        };
        TriesOf {
            failed: seen.failed,
            refused: seen.refused,
            addresses: guessers.iter().take(SHOWN_MAX).map(view).collect(),
            addresses_omitted: guessers.len().saturating_sub(SHOWN_MAX),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailedAttempts {
    /// How long it is until something may be tried again.
    fn wait(&self, now: Instant) -> Duration {
        (self.paid_until.saturating_duration_since(now) + EVERY).saturating_sub(EVERY * BURST)
    }
}

fn attempts_of(addresses: &mut HashMap<IpAddr, FailedAttempts>, address: IpAddr, now: Instant) -> &mut FailedAttempts {
    if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
        // Half of them at once, so that it is seldom done.
        let mut heard: Vec<Instant> = addresses.values().map(|attempts| attempts.heard_at).collect();
        let (_, median, _) = heard.select_nth_unstable(ADDRESSES_MAX / 2);
        let median = *median;
        addresses.retain(|_, attempts| attempts.heard_at > median);
    }
    let new = || FailedAttempts { paid_until: now, heard_at: now, complained_at: None, failed: 0, failed_at: now };
    let attempts = addresses.entry(address).or_insert_with(new);
    attempts.heard_at = now;
    attempts
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Fails until it has to wait; how often, and how long.
    fn exhaust(throttle: &AuthThrottle, address: IpAddr) -> (u32, Duration) {
        let mut failed = 0;
        loop {
            match throttle.refused(address) {
                Ok(()) => failed += 1,
                Err(wait) => return (failed, wait),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_again_and_again_waits_and_others_do_not() {
        let throttle = AuthThrottle::new("keys");
        assert_eq!(exhaust(&throttle, HOME), (BURST, EVERY));
        assert!(throttle.refused("192.0.2.2".parse().unwrap()).is_ok());
        tokio::time::advance(EVERY).await;
        assert_eq!(exhaust(&throttle, HOME), (1, EVERY), "one more for the time that went by");
        tokio::time::advance(EVERY * BURST * 10).await;
        assert_eq!(exhaust(&throttle, HOME), (BURST, EVERY), "never more than at first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let throttle = AuthThrottle::new("keys");
        for n in 0..25_000u32 {
            throttle.refused(std::net::Ipv4Addr::from_bits(n).into()).unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(throttle.seen().addresses.len() <= ADDRESSES_MAX);
        let view = throttle.view(Timestamp::from_secs(1000));
        assert_eq!((view.failed, view.addresses.len()), (25_000, SHOWN_MAX));
    }
}
