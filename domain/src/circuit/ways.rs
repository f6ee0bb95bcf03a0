//! The way to WhatsApp, shared by all senders: whether calls come through, and whose fault it is if one does not.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use super::{Circuit, Permission};
use crate::backoff::Backoff;
use crate::failure::Failure;
use crate::time::Timestamp;

/// So many faults in a row open a circuit.
const FEW: u32 = 3;
/// Of these, so many must be of another sender than the first before the way of all is taken to be down.
const OF_OTHERS: u32 = 2;
/// The first pause before a probe …
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(1);
/// … and the longest.
const PROBE_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// How a call ended that brought no word of Meta's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No connection was made: DNS, TCP or TLS failed, or this machine had no descriptor left.
    Unreached,
    /// Something answered, but not as Meta's API does: a proxy, a captive portal, a server error without Meta's error object.
    Foreign,
    /// The request was written, and no answer came.
    Silent,
}

/// For whom a circuit is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// For all: WhatsApp's address is not reached, or does not answer as it should.
    All,
    /// For one sender only.
    Sender,
}

/// A circuit that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// For whom.
    pub extent: Extent,
    /// Since when.
    pub since: Timestamp,
    /// When the next probe may go.
    pub next_probe: Timestamp,
    /// Whether a probe is under way.
    pub is_probing: bool,
    /// How the last call ended.
    pub failure: Failure,
}

/// A circuit that has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// For whom it was open.
    pub extent: Extent,
    /// Since when.
    pub since: Timestamp,
}

/// The circuits of the way to WhatsApp: one of all senders, and one of each where only that is hit.
#[derive(Clone, Debug)]
pub struct Ways<S> {
    all: Way,
    /// The sender with the first of the faults in a row, and how many were of others.
    by: Option<S>,
    of_others: u32,
    /// Only those with a fault since their last success.
    senders: HashMap<S, Way>,
}

#[derive(Clone, Debug)]
struct Way {
    circuit: Circuit,
    in_a_row: u32,
    last: Option<Failure>,
}

impl Way {
    const fn new() -> Self {
        let backoff = Backoff::new(FIRST_PROBE_AFTER, PROBE_AT_LEAST_EVERY);
        Self { circuit: Circuit::new(backoff), in_a_row: 0, last: None }
    }

    fn is_open(&self) -> bool {
        self.circuit.open_since().is_some()
    }

    fn outage(&self, extent: Extent, now: Timestamp) -> Option<Outage> {
        let since = self.circuit.open_since()?;
        let (is_probing, failure) = (self.circuit.is_probing(), self.last.clone()?);
        let next_probe = if is_probing { None } else { self.circuit.until(now) }.unwrap_or(now);
        Some(Outage { extent, since, next_probe, is_probing, failure })
    }
}

impl<S: Eq + Hash + Clone> Default for Ways<S> {
    fn default() -> Self {
        Self { all: Way::new(), by: None, of_others: 0, senders: HashMap::new() }
    }
}

impl<S: Eq + Hash + Clone> Ways<S> {
    /// Asks for a call of a sender. One that is granted as a probe serves all who wait.
    pub fn ask(&mut self, sender: &S, now: Timestamp) -> Permission {
        match self.all.circuit.ask(now) {
            Permission::Free => self.senders.get_mut(sender).map_or(Permission::Free, |way| way.circuit.ask(now)),
            other @ (Permission::Probe | Permission::Wait(_)) => other,
        }
    }

    /// A call brought no word of Meta's. Says whether it counts against its message, and what it opened.
    ///
    /// The first fault in a row of a call that was made is a message's own bad luck; what follows it is not, nor is a
    /// connection that was never made: no message can be blamed for that.
    pub fn failed(
        &mut self,
        sender: &S,
        fault: Fault,
        failure: &Failure,
        at_least: Duration,
        now: Timestamp,
    ) -> (bool, Option<Extent>) {
        let own = self.senders.entry(sender.clone()).or_insert_with(Way::new);
        let is_own_luck = fault != Fault::Unreached && own.in_a_row == 0 && self.all.in_a_row == 0;
        own.in_a_row = own.in_a_row.saturating_add(1);
        self.all.in_a_row = self.all.in_a_row.saturating_add(1);
        if self.by.get_or_insert_with(|| sender.clone()) != sender {
            self.of_others = self.of_others.saturating_add(1);
        }
        let is_of_all = fault == Fault::Unreached || self.of_others >= OF_OTHERS;
        let (way, extent) = if self.all.is_open() || (self.all.in_a_row >= FEW && is_of_all) {
            (&mut self.all, Extent::All)
        } else if own.in_a_row >= FEW {
            (own, Extent::Sender)
        } else {
            return (is_own_luck, None);
        };
        way.last = Some(failure.clone());
        let is_news = way.circuit.failed(now, at_least);
        if is_news && extent == Extent::All {
            // What holds for all says nothing of one.
            self.senders.clear();
        }
        (is_own_luck, is_news.then_some(extent))
    }

    /// Meta answered a call of a sender. Says what that closes.
    pub fn worked(&mut self, sender: &S) -> [Option<Closed>; 2] {
        self.by = None;
        self.of_others = 0;
        let close = |way: &mut Way, extent| {
            way.in_a_row = 0;
            way.circuit.worked().map(|since| Closed { extent, since })
        };
        let own = self.senders.remove(sender).and_then(|mut way| close(&mut way, Extent::Sender));
        let all = close(&mut self.all, Extent::All);
        if all.is_some() {
            self.senders.clear();
        }
        [all, own]
    }

    /// A probe of this sender was not made.
    pub fn unused(&mut self, sender: &S, now: Timestamp) {
        self.all.circuit.unused(now);
        if let Some(way) = self.senders.get_mut(sender) {
            way.circuit.unused(now);
        }
    }

    /// A person says to try again now: the next call is a probe.
    pub fn try_now(&mut self, sender: &S, now: Timestamp) {
        let own = self.senders.get_mut(sender);
        for way in own.into_iter().chain([&mut self.all]) {
            way.circuit.hurry(now);
        }
    }

    /// What keeps a sender's calls back.
    pub fn outage(&self, sender: &S, now: Timestamp) -> Option<Outage> {
        let own = || self.senders.get(sender)?.outage(Extent::Sender, now);
        self.outage_of_all(now).or_else(own)
    }

    /// What keeps all calls back.
    pub fn outage_of_all(&self, now: Timestamp) -> Option<Outage> {
        self.all.outage(Extent::All, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::OurCode;
    use Fault::{Foreign, Silent, Unreached};

    const START: Timestamp = Timestamp::from_secs(1_000_000);

    fn at(secs: u64) -> Timestamp {
        START.after(Duration::from_secs(secs))
    }

    fn failure() -> Failure {
        Failure::new(OurCode::NoAnswer, "x")
    }

    /// Faults and successes (`None`) by sender, and what each says: whether its message is charged, and what opens.
    fn play(steps: &[(&'static str, Option<Fault>)]) -> (Ways<&'static str>, Vec<(bool, Option<Extent>)>) {
        let mut ways = Ways::default();
        let mut said = Vec::new();
        for (sender, fault) in steps {
            match fault {
                Some(fault) => {
                    said.push(ways.failed(sender, *fault, &failure(), Duration::ZERO, START));
                }
                None => {
                    ways.worked(sender);
                }
            }
        }
        (ways, said)
    }

    #[test]
    fn a_few_faults_in_a_row_open_the_way_of_whom_they_hit_and_only_the_first_is_a_messages_own() {
        let (all, own) = (Some(Extent::All), Some(Extent::Sender));
        let table: [(&[_], &[_], &str); 8] = [
            (&[("a", Some(Unreached)); 3], &[(false, None), (false, None), (false, all)], "no connection is of all"),
            (
                &[("a", Some(Foreign)); 3],
                &[(true, None), (false, None), (false, own)],
                "one sender's answers are its own",
            ),
            (&[("a", Some(Silent)); 4], &[(true, None), (false, None), (false, own), (false, None)], "it opens once"),
            (
                &[("a", Some(Silent)), ("b", Some(Foreign)), ("c", Some(Foreign))],
                &[(true, None), (false, None), (false, all)],
                "several senders: it is of all",
            ),
            (
                &[("a", Some(Silent)), ("a", Some(Silent)), ("b", Some(Silent)), ("a", Some(Silent))],
                &[(true, None), (false, None), (false, None), (false, own)],
                "one other is not enough",
            ),
            (
                &[("a", Some(Silent)), ("a", None), ("a", Some(Silent)), ("a", None), ("a", Some(Silent))],
                &[(true, None), (true, None), (true, None)],
                "among successes each is a message's own",
            ),
            (
                &[("a", Some(Silent)), ("b", None), ("a", Some(Silent)), ("b", None), ("a", Some(Silent))],
                &[(true, None), (false, None), (false, own)],
                "the successes of others do not help it",
            ),
            (
                &[("a", Some(Unreached)), ("a", Some(Unreached)), ("a", None), ("a", Some(Unreached))],
                &[(false, None), (false, None), (false, None)],
                "a connection that fails charges nothing, but few open nothing",
            ),
        ];
        for (steps, expected, why) in table {
            assert_eq!(play(steps).1, expected, "{why}");
        }
    }

    #[test]
    fn one_probe_serves_all_and_its_success_closes_what_was_open() {
        let (mut ways, _) = play(&[("a", Some(Unreached)); 3]);
        assert_eq!(ways.ask(&"b", START), Permission::Wait(at(1)));
        assert_eq!(ways.ask(&"b", at(1)), Permission::Probe);
        assert_eq!(ways.ask(&"a", at(1)), Permission::Wait(at(61)), "one at a time");
        let outage = ways.outage(&"a", at(1)).unwrap();
        assert_eq!((outage.extent, outage.since, outage.is_probing), (Extent::All, START, true));
        ways.failed(&"b", Unreached, &failure(), Duration::ZERO, at(1));
        assert_eq!(ways.ask(&"a", at(2)), Permission::Wait(at(3)), "longer each time");
        assert_eq!(ways.ask(&"a", at(3)), Permission::Probe);
        assert_eq!(ways.worked(&"a"), [Some(Closed { extent: Extent::All, since: START }), None]);
        assert_eq!((ways.ask(&"b", at(3)), ways.outage(&"b", at(3))), (Permission::Free, None));
    }

    #[test]
    fn a_sender_that_alone_is_hit_holds_up_nobody_else() {
        let (mut ways, _) = play(&[("a", Some(Foreign)); 9]);
        assert_eq!((ways.ask(&"a", START), ways.ask(&"b", START)), (Permission::Wait(at(1)), Permission::Free));
        assert_eq!(ways.worked(&"b"), [None, None]);
        assert!(ways.outage(&"a", START).is_some(), "another's success does not close it");
        ways.try_now(&"a", START);
        assert_eq!(ways.ask(&"a", START), Permission::Probe);
        assert_eq!(ways.worked(&"a"), [None, Some(Closed { extent: Extent::Sender, since: START })]);
    }
}
