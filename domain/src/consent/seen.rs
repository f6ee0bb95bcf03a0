//! Meta's statements that were seen lately, so that repeats are recognised. Meta repeats webhooks and reports whole
//! seconds: of two statements in one second the later to arrive counts, and a repeat of the first must not pass for a
//! third.

use super::statement::{Choice, Covers, Source, Statement};
use crate::ids::{AttemptRef, MessageId};
use crate::time::{AHEAD_MAX, Timestamp};

/// The most statements that are remembered: more than a person makes in one second.
const SEEN_MAX: usize = 16;

/// The statements that would still count if they came now, and the last one from WhatsApp's own switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenStatements(pub Vec<SeenStatement>);

/// As much of one of Meta's statements as tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStatement {
    /// When, by Meta's clock, even if that is a little ahead.
    pub at: Timestamp,
    /// About which messages.
    pub covers: Covers,
    /// What the recipient chose.
    pub choice: Choice,
    /// What identifies it.
    pub proof: Proof,
}

/// What identifies a statement that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The message that contains it.
    Word(MessageId),
    /// Nothing: such a statement has no id, only its time and choice.
    Preference,
    /// The attempt that Meta refused because of it.
    OptOut(AttemptRef),
    /// The time of a preference that is further ahead than clocks may differ. It ranks by its arrival, and this time
    /// identifies it.
    Ahead(Timestamp),
}

impl SeenStatement {
    /// `None` for a client's statement, since a client who repeats it means it again, and for one made under another
    /// name, which is remembered there.
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

    /// Whether both are the same statement. A time that was far ahead may no longer be so when the statement comes
    /// again.
    fn is(&self, other: &Self) -> bool {
        let told = |seen: &Self| match seen.proof {
            Proof::Ahead(told) => (told, Proof::Preference),
            Proof::Word(_) | Proof::Preference | Proof::OptOut(_) => (seen.at, seen.proof),
        };
        told(self) == told(other) && (self.covers, self.choice) == (other.covers, other.choice)
    }
}

impl SeenStatements {
    /// Whether this statement was seen before. A preference older than the last one was seen, or counts no more.
    pub(super) fn knows(&self, seen: &SeenStatement) -> bool {
        let is_newer = |last: &SeenStatement| last.is_preference() && seen.at < last.at;
        // A time far ahead ranks differently each time it comes.
        let is_older = seen.proof == Proof::Preference && self.0.iter().any(is_newer);
        is_older || self.0.iter().any(|known| known.is(seen))
    }

    /// Remembers a statement and forgets those that would no longer count.
    pub(super) fn note(&mut self, seen: SeenStatement, would_count: impl Fn(&SeenStatement) -> bool) {
        self.0.push(seen);
        self.forget(would_count);
    }

    /// Takes over the statements seen under another name of the same person. Returns whether any is new.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let new: Vec<_> = other.0.iter().filter(|seen| !self.0.iter().any(|known| known.is(seen))).cloned().collect();
        self.0.extend(new);
        self.forget(|_| true);
        *self != before
    }

    /// Forgets statements that have an id: those repeat a message that is known to be gone.
    pub(super) fn forget_proofs(&mut self) {
        self.0.retain(SeenStatement::is_preference);
    }

    fn forget(&mut self, would_count: impl Fn(&SeenStatement) -> bool) {
        let last = self.0.iter().filter(|seen| seen.is_preference()).map(|seen| seen.at).max();
        let is_last = |seen: &SeenStatement| seen.is_preference() && Some(seen.at) == last;
        self.0.retain(|seen| match seen.proof {
            Proof::Preference => is_last(seen),
            Proof::Word(_) | Proof::OptOut(_) => would_count(seen),
            // It may be repeated for longer than others of its rank.
            Proof::Ahead(_) => true,
        });
        while self.0.len() > SEEN_MAX
            && let Some(oldest) = self.0.iter().position(|seen| !is_last(seen))
        {
            self.0.remove(oldest);
        }
    }
}
