//! What a recipient said, where it came from, and what proves it.

use std::fmt;

use crate::by::By;
use crate::ids::{AttemptRef, MessageId, Seq};
use crate::time::Timestamp;

/// What a recipient said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The organisation may write to them.
    Granted,
    /// The organisation may not write to them.
    Revoked,
}

impl Choice {
    /// The words for it in the API.
    pub const WORDS: [(&'static str, Self); 2] = [("GRANTED", Self::Granted), ("REVOKED", Self::Revoked)];

    /// The choice as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "GRANTED",
            Self::Revoked => "REVOKED",
        }
    }
}

/// Which messages a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Covers {
    /// Transactional ones only.
    Transactional,
    /// Marketing only.
    Marketing,
    /// All messages.
    Both,
}

impl Covers {
    /// The words for it in the API, where absent means [`Covers::Both`].
    pub const WORDS: [(&'static str, Self); 2] =
        [("TRANSACTIONAL", Self::Transactional), ("MARKETING", Self::Marketing)];

    /// The word for it; `None` for both.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Transactional => Some("TRANSACTIONAL"),
            Self::Marketing => Some("MARKETING"),
            Self::Both => None,
        }
    }
}

/// Where a statement came from, and what proves it.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A client reported it, with its own word for the source and its proof as JSON text.
    Api {
        /// Such as `web-form`.
        name: Option<String>,
        /// A string or an object.
        evidence: Option<Vec<u8>>,
    },
    /// The recipient wrote a stop or start word.
    Word {
        /// The message that contains it.
        inbound: MessageId,
    },
    /// The recipient used WhatsApp's own switch for marketing messages.
    Preference {
        /// Meta's time for it, even if that lies ahead.
        told_at: Timestamp,
        /// Meta's text.
        detail: Option<String>,
    },
    /// Meta refused a message because the recipient stopped marketing messages.
    OptOut {
        /// The attempt that it refused.
        attempt: AttemptRef,
    },
    /// The recipient said it under another of their names, before we knew that both are theirs.
    Linked {
        /// The consent under that name.
        consent: MessageId,
        /// The statement.
        record: Seq,
    },
}

impl Source {
    /// The kind of source, as clients see it if a client did not name its own.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Api { .. } => "API",
            Self::Word { .. } => "INBOUND_MESSAGE",
            Self::Preference { .. } => "USER_PREFERENCES",
            Self::OptOut { .. } => "META_131050",
            Self::Linked { .. } => "LINKED_NAME",
        }
    }
}

impl fmt::Debug for Source {
    /// The kind only: proofs are private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// One thing that a recipient said. It is kept for good; its id is the seq of its audit entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What they said.
    pub choice: Choice,
    /// About which messages.
    pub covers: Covers,
    /// When they said it. Meta's clock gives whole seconds.
    pub at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who reported it.
    pub by: By,
    /// Where it came from.
    pub source: Source,
}

/// What a recipient chose in WhatsApp about the organisation's marketing messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Preference {
    /// What they are known by: a phone number, Meta's id of a user, or both.
    pub names: Vec<String>,
    /// What they chose.
    pub choice: Choice,
    /// When, by Meta's clock, in whole seconds.
    pub at: Timestamp,
    /// Meta's text.
    pub detail: Option<String>,
}

impl fmt::Debug for Preference {
    /// Without the recipient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preference({:?} at {})", self.choice, self.at)
    }
}
