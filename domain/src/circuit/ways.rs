//! The circuits of the way to WhatsApp, which all senders share: whether calls get through, and whom a fault affects.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use super::{Circuit, Permission};
use crate::backoff::Backoff;
use crate::failure::Failure;
use crate::time::Timestamp;

/// This many faults in a row open a circuit.
const FEW: u32 = 3;
/// To open the circuit of all, this many of the faults must come from senders other than the first.
const OF_OTHERS: u32 = 2;
/// The first pause before a probe …
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(1);
/// … and the longest.
const PROBE_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// How a call ended that Meta did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No connection: DNS, TCP or TLS failed, or this process has no file descriptor left.
    Unreached,
    /// Something other than Meta's API answered: a proxy, a captive portal, or a server error without Meta's error
    /// object.
    Foreign,
    /// The request was written, but no answer came.
    Silent,
}

/// Whom an open circuit affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// All senders: WhatsApp cannot be reached, or does not answer as it should.
    All,
    /// One sender only.
    Sender,
}

/// An open circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Whom it affects.
    pub extent: Extent,
    /// Since when it is open.
    pub since: Timestamp,
    /// When the next probe may go.
    pub next_probe: Timestamp,
    /// Whether a probe is under way.
    pub is_probing: bool,
    /// How the last call failed.
    pub failure: Failure,
}

/// A circuit that just closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whom it affected.
    pub extent: Extent,
    /// Since when it was open.
    pub since: Timestamp,
}

/// The circuits of the way to WhatsApp: one for all senders, and one for each sender that alone is affected.
#[derive(Clone, Debug)]
pub struct Ways<S> {
    all: Way,
    /// The sender with the first of the faults in a row, and how many of the others' followed.
    by: Option<S>,
    of_others: u32,
    /// Only senders with a fault since their last success.
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
    /// Asks whether a sender may call. A probe serves everyone who waits.
    pub fn ask(&mut self, sender: &S, now: Timestamp) -> Permission {
        match self.all.circuit.ask(now) {
            Permission::Free => self.senders.get_mut(sender).map_or(Permission::Free, |way| way.circuit.ask(now)),
            other @ (Permission::Probe | Permission::Wait(_)) => other,
        }
    }

    /// Meta did not answer a call. Returns whether the attempt is charged, and which circuit it opened.
    ///
    /// Only the first fault in a row counts against its message, and only if the call was made: later faults, and
    /// connections that were never made, are no message's fault.
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
            // An outage of all says nothing about a single sender.
            self.senders.clear();
        }
        (is_own_luck, is_news.then_some(extent))
    }

    /// Meta answered a sender's call. Returns the circuits that this closes.
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

    /// This sender did not make its probe.
    pub fn unused(&mut self, sender: &S, now: Timestamp) {
        self.all.circuit.unused(now);
        if let Some(way) = self.senders.get_mut(sender) {
            way.circuit.unused(now);
        }
    }

    /// A person wants to try again now: the next call is a probe.
    pub fn try_now(&mut self, sender: &S, now: Timestamp) {
        let own = self.senders.get_mut(sender);
        for way in own.into_iter().chain([&mut self.all]) {
            way.circuit.hurry(now);
        }
    }

    /// The outage that holds back a sender's calls.
    pub fn outage(&self, sender: &S, now: Timestamp) -> Option<Outage> {
        let own = || self.senders.get(sender)?.outage(Extent::Sender, now);
        self.outage_of_all(now).or_else(own)
    }

    /// The outage that holds back all calls.
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
