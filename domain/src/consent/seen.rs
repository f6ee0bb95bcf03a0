//! The statements of Meta's that were seen of late: a statement that comes again is recognised by them. Meta repeats webhooks, and
//! tells whole seconds: of two statements of one second the later to come counts, so a repeat of the first must not be taken for
//! a third.

use super::statement::{Choice, Covers, Source, Statement};
use crate::ids::{AttemptRef, MessageId};
use crate::time::{AHEAD_MAX, Timestamp};

/// Statements that are remembered at most: more than a person makes within a second.
const SEEN_MAX: usize = 16;

/// The statements that would still count if they came now; and the last one of WhatsApp's own switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenStatements(pub Vec<SeenStatement>);

/// A statement of Meta's, as far as is needed to tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStatement {
    /// By Meta's clock, even if that is a little ahead.
    pub at: Timestamp,
    /// About which messages.
    pub covers: Covers,
    /// What was seen.
    pub choice: Choice,
    /// What it is known by.
    pub proof: Proof,
}

/// What a statement is known by when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The message in which it was written.
    Word(MessageId),
    /// It has no id, so its time and choice are all that it is known by.
    Preference,
    /// The attempt that Meta refused for it.
    OptOut(AttemptRef),
    /// A preference whose time lies further ahead than clocks may differ: it ranks by when it came, and is known by this.
    Ahead(Timestamp),
}

impl SeenStatement {
    /// `None` for a client's word: who says something again means it again; and for what was said under another name, which
    /// is known there.
    pub(super) fn of(statement: &Statement) -> Option<Self> {
        let (at, proof) = match statement.source {
            Source::Api { .. } | Source::Linked { .. } => return None,
            Source::Word { inbound } => (statement.at, Proof::Word(inbound)),
            Source::Preference { told_at, .. } => {
                let is_ahead = told_at > statement.recorded_at.after(AHEAD_MAX);
                if is_ahead { (statement.recorded_at, Proof::Ahead(told_at)) } else { (told_at, Proof::Preference) }
            }
            Source::OptOut { attempt } => (statement.at, Proof::OptOut(attempt)),
        };
        Some(Self { at, covers: statement.covers, choice: statement.choice, proof })
    }

    const fn is_preference(&self) -> bool {
        match self.proof {
            Proof::Preference | Proof::Ahead(_) => true,
            Proof::Word(_) | Proof::OptOut(_) => false,
        }
    }

    /// Whether both are one statement. What lay far ahead may do so no more when it comes again.
    fn is(&self, other: &Self) -> bool {
        let told = |seen: &Self| match seen.proof {
            Proof::Ahead(told) => (told, Proof::Preference),
            Proof::Word(_) | Proof::Preference | Proof::OptOut(_) => (seen.at, seen.proof),
        };
        told(self) == told(other) && (self.covers, self.choice) == (other.covers, other.choice)
    }
}

impl SeenStatements {
    /// Whether this statement was seen before. One that is older than the switch's last was seen, or counts no more.
    pub(super) fn knows(&self, seen: &SeenStatement) -> bool {
        let is_newer = |last: &SeenStatement| last.is_preference() && seen.at < last.at;
        // One from far ahead comes with another rank each time.
        let is_older = seen.proof == Proof::Preference && self.0.iter().any(is_newer);
        is_older || self.0.iter().any(|known| known.is(seen))
    }

    /// Notes a statement, and forgets those that would not count any more.
    pub(super) fn note(&mut self, seen: SeenStatement, would_count: impl Fn(&SeenStatement) -> bool) {
        self.0.push(seen);
        self.forget(would_count);
    }

    /// Takes over the statements seen under another name of the same person; whether any of them is new.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let new: Vec<_> = other.0.iter().filter(|seen| !self.0.iter().any(|known| known.is(seen))).cloned().collect();
        self.0.extend(new);
        self.forget(|_| true);
        *self != before
    }

    /// Forgets what has an id: that comes again of a message that is known to be gone.
    pub(super) fn forget_proofs(&mut self) {
        self.0.retain(SeenStatement::is_preference);
    }

    fn forget(&mut self, would_count: impl Fn(&SeenStatement) -> bool) {
        let last = self.0.iter().filter(|seen| seen.is_preference()).map(|seen| seen.at).max();
        let is_last = |seen: &SeenStatement| seen.is_preference() && Some(seen.at) == last;
        self.0.retain(|seen| match seen.proof {
            Proof::Preference => is_last(seen),
            Proof::Word(_) | Proof::OptOut(_) => would_count(seen),
            // It may come again for longer than anything of its rank.
            Proof::Ahead(_) => true,
        });
        while self.0.len() > SEEN_MAX
            && let Some(oldest) = self.0.iter().position(|seen| !is_last(seen))
        {
            self.0.remove(oldest);
        }
    }
}
