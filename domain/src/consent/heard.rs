//! What Meta told of late: by it a statement that comes again is known. Meta repeats webhooks, and tells whole seconds: of two
//! statements of one second the later to come counts, so a repeat of the first must not be taken for a third.

use serde::{Deserialize, Serialize};

use super::{Choice, Covers, Source, Statement};
use crate::ids::{AttemptRef, MessageId};
use crate::time::{AHEAD_MAX, Timestamp};

/// What is remembered at most: more than a person says within a second.
const HEARD_MAX: usize = 16;

/// What was said and would still count if it were said now; and the last word of WhatsApp's own switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard(Vec<Said>);

/// A statement of Meta's, as far as it tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// By Meta's clock, even if that is a little ahead.
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
    /// A preference whose time lies further ahead than clocks may differ: it ranks by when it came, and is known by this.
    Ahead(Timestamp),
}

impl Said {
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
        let told = |said: &Self| match said.proof {
            Proof::Ahead(told) => (told, Proof::Preference),
            Proof::Word(_) | Proof::Preference | Proof::OptOut(_) => (said.at, said.proof),
        };
        told(self) == told(other) && (self.covers, self.choice) == (other.covers, other.choice)
    }
}

impl Heard {
    /// Whether this was said before. What is older than the switch's last word was, or counts no more.
    pub(super) fn knows(&self, said: &Said) -> bool {
        let is_newer = |last: &Said| last.is_preference() && said.at < last.at;
        // One from far ahead comes with another rank each time.
        let is_older = said.proof == Proof::Preference && self.0.iter().any(is_newer);
        is_older || self.0.iter().any(|known| known.is(said))
    }

    /// Notes what was said, and forgets what would not count any more.
    pub(super) fn note(&mut self, said: Said, would_count: impl Fn(&Said) -> bool) {
        self.0.push(said);
        self.forget(would_count);
    }

    /// Takes over what was heard under another name of the same person; whether that is anything new.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let new: Vec<_> = other.0.iter().filter(|said| !self.0.iter().any(|known| known.is(said))).cloned().collect();
        self.0.extend(new);
        self.forget(|_| true);
        *self != before
    }

    /// Forgets what has an id: that comes again of a message that is known to be gone.
    pub(super) fn forget_proofs(&mut self) {
        self.0.retain(Said::is_preference);
    }

    fn forget(&mut self, would_count: impl Fn(&Said) -> bool) {
        let last = self.0.iter().filter(|said| said.is_preference()).map(|said| said.at).max();
        let is_last = |said: &Said| said.is_preference() && Some(said.at) == last;
        self.0.retain(|said| match said.proof {
            Proof::Preference => is_last(said),
            Proof::Word(_) | Proof::OptOut(_) => would_count(said),
            // It may come again for longer than anything of its rank.
            Proof::Ahead(_) => true,
        });
        while self.0.len() > HEARD_MAX
            && let Some(oldest) = self.0.iter().position(|said| !is_last(said))
        {
            self.0.remove(oldest);
        }
    }
}
