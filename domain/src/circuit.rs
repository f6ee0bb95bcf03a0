//! Circuit breakers: what fails is left alone and probed, one call at a time and ever more rarely, until it works.
//! Times are of the wall clock.

mod ways;

use std::time::Duration;

use crate::backoff::Backoff;
use crate::time::Timestamp;

pub use ways::{Closed, Extent, Fault, Outage, Ways};

/// A probe without an answer for this long is given up, and another may go.
const PROBE_LOST_AFTER: Duration = Duration::from_secs(60);

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Yes: as far as we know, calls work.
    Free,
    /// Yes, as the probe that shows whether calls work again.
    Probe,
    /// Not before this time.
    Wait(Timestamp),
}

/// One circuit. It is closed while calls work, and opens when one fails.
#[derive(Clone, Debug)]
pub struct Circuit {
    backoff: Backoff,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    /// When the next probe may go.
    until: Timestamp,
    /// Whether a probe is under way.
    is_probing: bool,
}

impl Circuit {
    /// A closed circuit. Once it is open, `backoff` sets the pauses.
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, open: None }
    }

    /// Asks whether a call may go. A probe must be followed by [`Self::failed`], [`Self::worked`] or [`Self::unused`].
    pub fn ask(&mut self, now: Timestamp) -> Permission {
        match &mut self.open {
            None => Permission::Free,
            Some(open) if open.until > now => Permission::Wait(open.until),
            Some(open) => {
                open.until = now.after(PROBE_LOST_AFTER);
                open.is_probing = true;
                Permission::Probe
            }
        }
    }

    /// A call failed: the circuit opens, or stays open for longer. Calls that were under way together count as one
    /// failure, but the longest `at_least` that they ask for is kept. Returns whether the circuit was closed.
    pub fn failed(&mut self, now: Timestamp, at_least: Duration) -> bool {
        match &mut self.open {
            Some(open) if open.until > now && !open.is_probing => {
                open.until = open.until.max(now.after(at_least));
                false
            }
            Some(open) => {
                open.until = now.after(self.backoff.next_pause().max(at_least));
                open.is_probing = false;
                false
            }
            None => {
                let until = now.after(self.backoff.next_pause().max(at_least));
                self.open = Some(Open { since: now, until, is_probing: false });
                true
            }
        }
    }

    /// The probe was not made: another may go at once.
    pub const fn unused(&mut self, now: Timestamp) {
        if let Some(open) = &mut self.open
            && open.is_probing
        {
            open.is_probing = false;
            open.until = now;
        }
    }

    /// There is reason to think that calls work again: a probe may go now.
    pub fn hurry(&mut self, now: Timestamp) {
        if let Some(open) = self.open.as_mut().filter(|open| !open.is_probing) {
            open.until = now;
        }
        self.backoff.reset();
    }

    /// Calls work: closes the circuit. Returns since when it was open, if it was.
    pub fn worked(&mut self) -> Option<Timestamp> {
        self.backoff.reset();
        self.open.take().map(|open| open.since)
    }

    /// A call worked. This closes the circuit only if a probe was possible since it opened: a call from before proves
    /// nothing.
    pub fn recovered(&mut self, now: Timestamp) -> Option<Timestamp> {
        let is_tried = self.open.is_some_and(|open| open.is_probing || open.until <= now);
        if is_tried { self.worked() } else { None }
    }

    /// Since when it is open.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.open.map(|open| open.since)
    }

    /// When the next probe may go; `None` while it is closed, or a probe may go now.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        self.open.map(|open| open.until).filter(|until| *until > now)
    }

    /// Whether a probe is under way.
    pub fn is_probing(&self) -> bool {
        self.open.is_some_and(|open| open.is_probing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn at(secs: u64) -> Timestamp {
        START.after(Duration::from_secs(secs))
    }

    fn wait(secs: u64) -> Permission {
        Permission::Wait(at(secs))
    }

    enum Step {
        Ask(Permission),
        Failed(bool),
        FailedFor(u64),
        Unused,
        Worked(bool),
        Recovered(bool),
    }

    #[test]
    fn a_circuit_opens_at_a_failure_and_closes_at_a_success() {
        use Permission::{Free, Probe};
        use Step::{Ask, Failed, FailedFor, Recovered, Unused, Worked};
        let table = [
            (0, Ask(Free), "closed"),
            (0, Failed(true), "opens"),
            (0, Ask(wait(1)), "the first pause"),
            (0, Failed(false), "under way together: counts once"),
            (0, Ask(wait(1)), ""),
            (1, Ask(Probe), "one probe"),
            (1, Ask(wait(61)), "and only one"),
            (2, Failed(false), "the probe failed"),
            (2, Ask(wait(4)), "a longer pause"),
            (4, Ask(Probe), ""),
            (5, Unused, "it was not made"),
            (5, Ask(Probe), "another goes at once"),
            (65, Ask(Probe), "it was lost: another"),
            (66, Failed(false), ""),
            (66, Ask(wait(70)), "the third pause"),
            (67, FailedFor(9), "one that was under way asks for more"),
            (67, Ask(wait(76)), ""),
            (76, Ask(Probe), ""),
            (77, Worked(true), "closed"),
            (77, Ask(Free), ""),
            (77, Worked(false), ""),
            (78, Failed(true), ""),
            (78, Ask(wait(79)), "the first pause again"),
            (78, Recovered(false), "what was under way before says nothing"),
            (79, Ask(Probe), ""),
            (79, Recovered(true), ""),
            (79, Ask(Free), ""),
        ];
        let mut circuit = Circuit::new(Backoff::new(SECOND, 60 * SECOND));
        for (line, (now, step, why)) in table.into_iter().enumerate() {
            let now = at(now);
            match step {
                Ask(permission) => assert_eq!(circuit.ask(now), permission, "line {line}: {why}"),
                Failed(is_news) => assert_eq!(circuit.failed(now, Duration::ZERO), is_news, "line {line}: {why}"),
                FailedFor(secs) => assert!(!circuit.failed(now, Duration::from_secs(secs)), "line {line}: {why}"),
                Unused => circuit.unused(now),
                Recovered(was_open) => {
                    assert_eq!(circuit.recovered(now).is_some(), was_open, "line {line}: {why}");
                }
                Worked(was_open) => assert_eq!(circuit.worked().is_some(), was_open, "line {line}: {why}"),
            }
        }
    }
}
