//! Whose request it is, where proxies stand between: what those that are trusted say of it in `X-Forwarded-For` or
//! `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are trusted.
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    was_told: AtomicBool,
}

impl Proxies {
    pub(crate) const fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, was_told: AtomicBool::new(false) }
    }

    /// The client's address: the peer's own, or, as told by proxies that are trusted, the last one before them.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        one_customer(self.told(peer, headers))
    }

    /// The addresses that a failed try counts for. A proxy on this machine that nobody named may tell the truth, and a program on
    /// this machine may not: it counts for both.
    pub(crate) fn suspects(&self, peer: IpAddr, headers: &HeaderMap) -> Vec<IpAddr> {
        let client = self.client(peer, headers);
        let mut suspects = vec![client];
        if peer.is_loopback() && !self.trusts(&peer) {
            let local = Self::new(vec![IpNet::from(peer)]);
            local.was_told.store(true, Ordering::Relaxed);
            suspects.extend(Some(local.client(peer, headers)).filter(|claimed| *claimed != client));
        }
        suspects
    }

    fn told(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let hops = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let old: Vec<_> = hops(X_FORWARDED_FOR).flat_map(|value| value.split(',')).map(address).collect();
        let new: Vec<_> = hops(FORWARDED.as_str()).flat_map(|value| split(value, ',')).map(told_for).collect();
        if old.is_empty() && new.is_empty() {
            return peer;
        }
        if !self.trusts(&peer) {
            self.hint(peer);
            return peer;
        }
        match (old.is_empty(), new.is_empty()) {
            (false, true) => self.last_before(peer, &old),
            (true, _) => self.last_before(peer, &new),
            // A proxy writes one and lets the other pass as the client chose it: where they differ, neither is believed.
            (false, false) => {
                let client = self.last_before(peer, &old);
                if client == self.last_before(peer, &new) { client } else { peer }
            }
        }
    }

    /// `None` in `hops` is one that cannot be read, or that hides its address.
    fn last_before(&self, peer: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut client = peer;
        for hop in hops.iter().rev() {
            // What a stranger says is not believed, and what cannot be read ends the chain.
            let (true, Some(hop)) = (self.trusts(&client), hop) else { break };
            client = *hop;
        }
        client
    }

    fn trusts(&self, address: &IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// A proxy on this machine or network that nobody named is likely one that was forgotten.
    fn hint(&self, peer: IpAddr) {
        let is_near = match peer {
            IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
            IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
        };
        if is_near && !self.was_told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                %peer,
                "requests come with X-Forwarded-For or Forwarded from an address that http.trusted_proxies does not have: it is \
                 not believed, and all clients behind it count as one. If that is a proxy of yours, name it there"
            );
        }
    }
}

/// An address as proxies write it: alone, with a port, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(bare).or_else(with_port);
    address.map(|address| address.to_canonical())
}

/// What one element of `Forwarded` says of whom it came from.
fn told_for(element: &str) -> Option<IpAddr> {
    let pairs = split(element, ';').filter_map(|pair| pair.split_once('='));
    let node = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, node)| node.trim()).next()?;
    address(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// Splits where it is not within quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == at && !is_quoted
    })
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
    use http::HeaderName;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let proxies = Proxies::new(["127.0.0.0/8", "10.0.0.0/8"].map(|network| network.parse().unwrap()).into());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn a_proxy_is_believed_if_it_is_trusted_and_only_as_far_as_it_saw() {
        for (peer, told, wanted, why) in [
            ("192.0.2.9", "198.51.100.7", "192.0.2.9", "a stranger's word counts for nothing"),
            ("127.0.0.1", "198.51.100.7", "198.51.100.7", "our proxy's does"),
            ("127.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7", "what the client said of itself does not"),
            ("127.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.2", "198.51.100.7", "two proxies"),
            ("127.0.0.1", "", "127.0.0.1", "nothing said"),
            ("127.0.0.1", "unknown", "127.0.0.1", "nothing readable"),
            ("127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7", "one address, two spellings"),
            ("127.0.0.1", "203.0.113.7:41234", "203.0.113.7", "load balancers write ports"),
            ("127.0.0.1", "[2001:db8::1]:99", "2001:db8::", "with a port; and a whole network is one customer"),
            ("127.0.0.1", "[2001:db8::1]", "2001:db8::", "without"),
            ("127.0.0.1", "2001:db8::1:2:3:4", "2001:db8::", "nor is this a port"),
            ("127.0.0.1", "198.51.100.7:x, 10.0.0.2:80", "10.0.0.2", "as far as it can be read"),
        ] {
            assert_eq!(client(peer, &[("x-forwarded-for", told)]), wanted, "{why}");
        }
    }

    #[test]
    fn what_a_proxy_on_this_machine_says_counts_beside_its_own_address() {
        let nobody = Proxies::new(Vec::new());
        let headers =
            |told: &str| HeaderMap::from_iter([(HeaderName::from_static(X_FORWARDED_FOR), told.parse().unwrap())]);
        for (peer, told, wanted) in [
            ("127.0.0.1", "203.0.113.7:41234", &["127.0.0.1", "203.0.113.7"][..]),
            ("127.0.0.1", "1.2.3.4, 203.0.113.7", &["127.0.0.1", "203.0.113.7"]),
            ("127.0.0.1", "unknown", &["127.0.0.1"]),
            ("192.0.2.9", "203.0.113.7", &["192.0.2.9"]),
        ] {
            let suspects = nobody.suspects(peer.parse().unwrap(), &headers(told));
            assert_eq!(suspects.iter().map(IpAddr::to_string).collect::<Vec<_>>(), wanted, "{peer} {told}");
        }
    }

    #[test]
    fn the_standards_header_is_read_like_the_usual_one() {
        for (told, wanted) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("proto=https; For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::"),
            ("for=1.2.3.4, for=\"198.51.100.7:80\", for=10.0.0.2", "198.51.100.7"),
            ("for=\"_a,b;for=1.2.3.4\"", "127.0.0.1"),
            ("for=unknown", "127.0.0.1"),
            ("for=_hidden, for=198.51.100.17", "198.51.100.17"),
            ("by=10.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(client("127.0.0.1", &[("forwarded", told)]), wanted, "{told}");
        }
        let split = [("forwarded", "for=1.2.3.4"), ("forwarded", "for=198.51.100.7")];
        assert_eq!(client("127.0.0.1", &split), "198.51.100.7", "the header may come several times");
    }

    #[test]
    fn of_two_headers_that_differ_one_may_be_the_clients_own_and_neither_is_believed() {
        let both = |old, new| client("127.0.0.1", &[("x-forwarded-for", old), ("forwarded", new)]);
        assert_eq!(both("198.51.100.7", "for=\"198.51.100.7:80\""), "198.51.100.7");
        assert_eq!(both("198.51.100.7", "for=1.2.3.4"), "127.0.0.1");
    }
}
