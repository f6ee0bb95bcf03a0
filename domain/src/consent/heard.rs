//! What Meta told of late: by it a statement that comes again is known. Meta repeats webhooks, and tells whole seconds: of two
//! statements of one second the later to come counts, so a repeat of the first must not be taken for a third.

use serde::{Deserialize, Serialize};

use super::{Choice, Covers, Source, Statement};
use crate::ids::{AttemptRef, MessageId};
use crate::time::Timestamp;

/// What is remembered at most: more than a person says within a second.
const HEARD_MAX: usize = 16;

/// What was said and would still count if it were said now; and the last word of WhatsApp's own switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard(Vec<Said>);

/// A statement of Meta's, as far as it tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// By Meta's clock, even if it lies ahead.
    pub(super) at: Timestamp,
    pub(super) covers: Covers,
    choice: Choice,
    proof: Proof,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Proof {
    Word(MessageId),
    /// It has no id, so its time and choice are all that it is known by.
    Preference,
    OptOut(AttemptRef),
}

impl Said {
    /// `None` for a client's word: who says something again means it again; and for what was said under another name, which
    /// is known there.
    pub(super) const fn of(statement: &Statement) -> Option<Self> {
        let (at, proof) = match statement.source {
            Source::Api { .. } | Source::Linked { .. } => return None,
            Source::Word { inbound } => (statement.at, Proof::Word(inbound)),
            Source::Preference { told_at, .. } => (told_at, Proof::Preference),
            Source::OptOut { attempt } => (statement.at, Proof::OptOut(attempt)),
        };
        Some(Self { at, covers: statement.covers, choice: statement.choice, proof })
    }

    fn is_preference(&self) -> bool {
        self.proof == Proof::Preference
    }
}

impl Heard {
    /// Whether this was said before. What is older than the switch's last word was, or counts no more.
    pub(super) fn knows(&self, said: &Said) -> bool {
        let is_newer = |last: &Said| last.is_preference() && said.at < last.at;
        self.0.contains(said) || said.is_preference() && self.0.iter().any(is_newer)
    }

    /// Notes what was said, and forgets what would not count any more.
    pub(super) fn note(&mut self, said: Said, would_count: impl Fn(&Said) -> bool) {
        self.0.push(said);
        self.forget(would_count);
    }

    /// Takes over what was heard under another name of the same person; whether that is anything new.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let new: Vec<_> = other.0.iter().filter(|said| !self.0.contains(said)).cloned().collect();
        self.0.extend(new);
        self.forget(|_| true);
        *self != before
    }

    fn forget(&mut self, would_count: impl Fn(&Said) -> bool) {
        let last = self.0.iter().filter(|said| said.is_preference()).map(|said| said.at).max();
        self.0.retain(|said| if said.is_preference() { Some(said.at) == last } else { would_count(said) });
        while self.0.len() > HEARD_MAX
            && let Some(oldest) = self.0.iter().position(|said| !said.is_preference())
        {
            self.0.remove(oldest);
        }
    }
}
