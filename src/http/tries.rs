//! Failed tries, counted by address: whoever guesses keys is soon made to wait.
//!
//! An address that is made to wait is refused before its key is looked at, so that waiting really slows guessing. A key
//! that opened from that address before goes on opening: many clients may share an address behind a proxy or a NAT, and
//! one that guesses must not shut the others out. What proves itself whatever came before it from there, such as a signed
//! webhook, is looked at first, and only what fails is counted.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::audit::Hash;
use http::HeaderMap;
use ipnet::IpNet;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Failed tries that one address may make at once …
const BURST: u32 = 20;
/// … and then one in this time.
const EVERY: Duration = Duration::from_secs(6);
/// Addresses that are remembered; beyond it, those not heard of for longest are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Keys that are remembered per address; beyond it, the first is forgotten.
const KEYS_MAX: usize = 16;
/// Between two lines in the log about one address that is made to wait …
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);
/// … and between two about all failed tries.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Addresses that are shown.
const SHOWN_MAX: usize = 100;

pub(crate) struct Tries {
    /// What is tried, for the log.
    what: &'static str,
    proxies: Vec<IpNet>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    addresses: HashMap<IpAddr, Tally>,
    /// Failed tries since the start.
    failed: u64,
    /// Tries that were refused unseen, or told to wait.
    refused: u64,
    told_at: Option<Instant>,
    /// What `failed` was then.
    told: u64,
}

struct Tally {
    /// Each failed try moves it on by `EVERY`; it may be so far ahead of now as `BURST` of them.
    paid_until: Instant,
    heard_at: Instant,
    complained_at: Option<Instant>,
    failed: u64,
    failed_at: Instant,
    /// The hashes of keys that opened from here.
    opened: VecDeque<Hash>,
}

impl Tries {
    pub(crate) fn new(what: &'static str, proxies: Vec<IpNet>) -> Self {
        Self { what, proxies, seen: Mutex::default() }
    }

    /// The client's address: the peer's own, or, as told by proxies that are trusted, the last one before them.
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted = |address: &IpAddr| self.proxies.iter().any(|network| network.contains(address));
        let told = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let told: Vec<&str> = told.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut client = peer;
        for hop in told.into_iter().rev() {
            // What a stranger says is not believed, and what cannot be read ends the chain.
            let (true, Ok(hop)) = (is_trusted(&client), hop.parse::<IpAddr>()) else { break };
            client = hop.to_canonical();
        }
        one_customer(client)
    }

    /// Whether a key may be tried from here now; if not, how long until one may.
    pub(crate) fn admit(&self, address: IpAddr, key: &Hash) -> Result<(), Duration> {
        let now = Instant::now();
        let mut seen = self.seen();
        let Some(tally) = seen.addresses.get(&address) else { return Ok(()) };
        let wait = tally.wait(now);
        if wait.is_zero() || tally.opened.contains(key) {
            return Ok(());
        }
        seen.refused += 1;
        Err(wait)
    }

    /// Something that was looked at first is wrong: it counts, unless this address is waiting already; then, how long.
    pub(crate) fn refused(&self, address: IpAddr) -> Result<(), Duration> {
        self.admit(address, &Hash::default())?;
        self.failed(address);
        Ok(())
    }

    /// A key that was tried is nobody's.
    pub(crate) fn failed(&self, address: IpAddr) {
        let now = Instant::now();
        let mut seen = self.seen();
        seen.failed += 1;
        if seen.told_at.is_none_or(|at| at + TELL_EVERY < now) {
            let tries = seen.failed - seen.told;
            tracing::info!(what = self.what, tries, %address, "wrong ones were tried, the last one from this address");
            (seen.told_at, seen.told) = (Some(now), seen.failed);
        }
        let tally = tally(&mut seen.addresses, address, now);
        (tally.failed, tally.failed_at) = (tally.failed + 1, now);
        tally.paid_until = tally.paid_until.max(now) + EVERY;
        let is_over = tally.paid_until + EVERY > now + EVERY * BURST;
        if is_over && tally.complained_at.is_none_or(|at| at + COMPLAIN_EVERY < now) {
            tally.complained_at = Some(now);
            tracing::warn!(%address, what = self.what, "one wrong after the other is being tried; this address is made to wait");
        }
    }

    /// A key opened.
    pub(crate) fn opened(&self, address: IpAddr, key: &Hash) {
        let now = Instant::now();
        let mut seen = self.seen();
        let tally = tally(&mut seen.addresses, address, now);
        if !tally.opened.contains(key) {
            if tally.opened.len() >= KEYS_MAX {
                tally.opened.pop_front();
            }
            tally.opened.push_back(*key);
        }
    }

    /// For the operator: how much was tried, and from where most.
    pub(crate) fn view(&self, at: Timestamp) -> Value {
        let (seen, now) = (self.seen(), Instant::now());
        let mut guessers: Vec<_> = seen.addresses.iter().filter(|(_, tally)| tally.failed > 0).collect();
        guessers.sort_by_key(|(address, tally)| (Reverse(tally.failed), **address));
        let view = |(address, tally): &(&IpAddr, &Tally)| {
            let failed_at = at.before(now.duration_since(tally.failed_at)).to_string();
            json!({"address": address.to_string(), "failed": tally.failed, "lastFailedAt": failed_at,
                "waitSeconds": tally.wait(now).as_secs()})
        };
        let shown: Vec<_> = guessers.iter().take(SHOWN_MAX).map(view).collect();
        let omitted = guessers.len().saturating_sub(SHOWN_MAX);
        json!({"failed": seen.failed, "refused": seen.refused, "addresses": shown, "addressesOmitted": omitted})
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// How long it is until something may be tried again.
    fn wait(&self, now: Instant) -> Duration {
        (self.paid_until.saturating_duration_since(now) + EVERY).saturating_sub(EVERY * BURST)
    }
}

fn tally(addresses: &mut HashMap<IpAddr, Tally>, address: IpAddr, now: Instant) -> &mut Tally {
    if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
        // Half of them at once, so that it is seldom done.
        let mut heard: Vec<Instant> = addresses.values().map(|tally| tally.heard_at).collect();
        let (_, median, _) = heard.select_nth_unstable(ADDRESSES_MAX / 2);
        let median = *median;
        addresses.retain(|_, tally| tally.heard_at > median);
    }
    let new = || Tally {
        paid_until: now,
        heard_at: now,
        complained_at: None,
        failed: 0,
        failed_at: now,
        opened: VecDeque::new(),
    };
    let tally = addresses.entry(address).or_insert_with(new);
    tally.heard_at = now;
    tally
}

/// One customer of an IPv6 provider has a whole /64.
fn one_customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const KEY: Hash = [1; 32];

    fn tries(proxies: &[&str]) -> Tries {
        Tries::new("keys", proxies.iter().map(|network| network.parse().unwrap()).collect())
    }

    /// Fails until it has to wait; how often, and how long.
    fn exhaust(tries: &Tries, address: IpAddr) -> (u32, Duration) {
        let mut failed = 0;
        loop {
            match tries.admit(address, &[failed.try_into().unwrap(); 32]) {
                Ok(()) => tries.failed(address),
                Err(wait) => return (failed, wait),
            }
            failed += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_again_and_again_waits_and_others_do_not() {
        let tries = tries(&[]);
        assert_eq!(exhaust(&tries, HOME), (BURST, EVERY));
        assert!(tries.admit("192.0.2.2".parse().unwrap(), &KEY).is_ok());
        tokio::time::advance(EVERY).await;
        assert_eq!(exhaust(&tries, HOME), (1, EVERY), "one more for the time that went by");
        tokio::time::advance(EVERY * BURST * 10).await;
        assert_eq!(exhaust(&tries, HOME), (BURST, EVERY), "never more than at first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_opened_from_an_address_goes_on_opening_from_there_only() {
        let tries = tries(&[]);
        tries.opened(HOME, &KEY);
        exhaust(&tries, HOME);
        assert!(tries.admit(HOME, &KEY).is_ok());
        let other = "192.0.2.2".parse().unwrap();
        exhaust(&tries, other);
        assert!(tries.admit(other, &KEY).is_err(), "elsewhere it is a guess like any other");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let tries = tries(&[]);
        for n in 0..25_000u32 {
            tries.failed(std::net::Ipv4Addr::from_bits(n).into());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(tries.seen().addresses.len() <= ADDRESSES_MAX);
        let view = tries.view(Timestamp::from_secs(1000));
        assert_eq!((&view["failed"], view["addresses"].as_array().unwrap().len()), (&json!(25_000), SHOWN_MAX));
        for n in 0..100 {
            tries.opened(HOME, &[n; 32]);
        }
        assert_eq!(tries.seen().addresses[&HOME].opened.len(), KEYS_MAX);
    }

    #[test]
    fn a_proxy_is_believed_if_it_is_trusted_and_only_as_far_as_it_saw() {
        let tries = tries(&["127.0.0.0/8", "10.0.0.0/8"]);
        let cases = [
            ("192.0.2.9", "198.51.100.7", "192.0.2.9", "a stranger's word counts for nothing"),
            ("127.0.0.1", "198.51.100.7", "198.51.100.7", "our proxy's does"),
            ("127.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7", "what the client said of itself does not"),
            ("127.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.2", "198.51.100.7", "two proxies"),
            ("127.0.0.1", "", "127.0.0.1", "nothing said"),
            ("127.0.0.1", "unknown", "127.0.0.1", "nothing readable"),
            ("127.0.0.1", "2001:db8::1:2:3:4", "2001:db8::", "a whole network is one customer"),
            ("127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7", "one address, two spellings"),
        ];
        for (peer, told, client, why) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", told.parse().unwrap());
            assert_eq!(tries.address(peer.parse().unwrap(), &headers).to_string(), client, "{why}");
        }
    }
}
