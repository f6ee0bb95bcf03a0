//! The findings of a run, and their table.

use std::fmt;
use std::time::Duration;

use crate::moments::Moment;

/// The most findings that are described in words.
const EXAMPLES_MAX: usize = 40;

/// The findings of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed of all random decisions.
    pub seed: u64,
    /// The time from the first start to the last check.
    pub took: Duration,
    /// The number of kills by SIGKILL.
    pub kills: u64,
    /// For each moment, how many kills hit it and how many were aimed at it.
    pub(crate) moments: Vec<(Moment, u64, u64)>,
    /// The number of completed stops by SIGTERM.
    pub stops: u64,
    /// How often the folder was verified.
    pub verified: u64,
    /// Messages that were acknowledged as durable.
    pub acknowledged: u64,
    pub(crate) unanswered: u64,
    pub(crate) put_off: u64,
    pub(crate) replayed: u64,
    /// Messages that WhatsApp accepted.
    pub taken: u64,
    pub(crate) dropped: u64,
    pub(crate) receipts: u64,
    pub(crate) entries: u64,
    /// Acknowledged messages that are missing or were never sent.
    pub lost: u64,
    /// Messages that WhatsApp accepted a second time within `stale_after`.
    pub sent_twice: u64,
    /// Messages that WhatsApp accepted a second time later than that. This is correct if no receipt had come by then.
    pub sent_twice_late: u64,
    /// Messages whose status or provider id disagrees with the ledger.
    pub states_wrong: u64,
    /// Messages that no client knows of.
    pub unknown: u64,
    /// Audit entries that are missing or duplicated.
    pub audit_wrong: u64,
    /// Counts that disagree with the clients' history.
    pub counts_wrong: u64,
    /// Wrong answers to clients, stops with an error, and panics.
    pub complaints: u64,
    /// Verifications that found damage.
    pub verify_failed: u64,
    /// Descriptions of the first findings.
    pub examples: Vec<String>,
}

impl Report {
    /// Whether the witnesses agree.
    pub const fn is_clean(&self) -> bool {
        self.lost == 0
            && self.sent_twice == 0
            && self.states_wrong == 0
            && self.unknown == 0
            && self.audit_wrong == 0
            && self.counts_wrong == 0
            && self.complaints == 0
            && self.verify_failed == 0
    }

    pub(crate) fn killed(&mut self, moment: Moment, came: bool) {
        self.kills += 1;
        match self.moments.iter_mut().find(|(known, ..)| *known == moment) {
            Some((_, hit, asked)) => {
                *hit += u64::from(came);
                *asked += 1;
            }
            None => self.moments.push((moment, u64::from(came), 1)),
        }
    }

    /// Counts a finding in the field that `what` selects, and describes it.
    pub(crate) fn found(&mut self, what: fn(&mut Self) -> &mut u64, in_words: impl FnOnce() -> String) {
        *what(self) += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(in_words());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(out, "| {name:<52} | {value:>12} |");
        row("crash torture", &"")?;
        row(&"-".repeat(52), &"-----------:")?;
        row("seed", &self.seed)?;
        row("seconds", &self.took.as_secs())?;
        row("kills (SIGKILL)", &self.kills)?;
        for moment in Moment::ALL {
            if let Some((_, hit, asked)) = self.moments.iter().find(|(known, ..)| *known == moment) {
                let count = if hit == asked { hit.to_string() } else { format!("{hit} of {asked}") };
                row(&format!("  {}", moment.what()), &count)?;
            }
        }
        row("stops (SIGTERM)", &self.stops)?;
        row("folder verified", &self.verified)?;
        row("acknowledged", &self.acknowledged)?;
        row("requests whose answer never came", &self.unanswered)?;
        row("requests put off (429, 503)", &self.put_off)?;
        row("requests answered with an earlier one's message", &self.replayed)?;
        row("taken by WhatsApp", &self.taken)?;
        row("calls that WhatsApp dropped", &self.dropped)?;
        row("receipts answered 200", &self.receipts)?;
        row("audit entries", &self.entries)?;
        row("lost", &self.lost)?;
        row("sent twice", &self.sent_twice)?;
        row("sent twice, later than stale_after", &self.sent_twice_late)?;
        row("states wrong", &self.states_wrong)?;
        row("messages that no client knows of", &self.unknown)?;
        row("audit entries missing, or there twice", &self.audit_wrong)?;
        row("counts wrong", &self.counts_wrong)?;
        row("wrong answers, wrong stops, panics", &self.complaints)?;
        row("findings of twotick verify", &self.verify_failed)
    }
}
