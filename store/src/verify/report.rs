//! What a walk through a store found, and what to do about it.

use std::fmt;

use domain::{MessageId, OrgId, OrgNo, Seq, invariants};

use crate::backend::StoreError;

/// Findings that a report tells one by one; further ones are only counted.
const FINDINGS_MAX: usize = 1000;

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Organisations.
    pub organisations: u64,
    /// Messages of all of them.
    pub messages: u64,
    /// Entries of their audit trails.
    pub entries: u64,
    /// Records looked at, of every kind.
    pub records: u64,
    /// How many things are wrong.
    pub wrong: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The organisation's number, where it belongs to one.
    pub org: Option<OrgNo>,
    /// Its id, where its record can be read.
    pub org_id: Option<OrgId>,
    /// What kind of record.
    pub kind: &'static str,
    /// Which one.
    pub of: Of,
    /// What is wrong with it.
    pub broken: Broken,
    /// Whether it can be built anew from the records that it leads to.
    pub is_mendable: bool,
}

impl Finding {
    /// The organisation that it concerns, by its id; by its number, where that cannot be told.
    pub fn organisation(&self) -> Option<String> {
        let number = || self.org.map(|no| no.0.to_string());
        self.org_id.as_ref().map(ToString::to_string).or_else(number)
    }

    /// What it means, and what to do.
    pub const fn advice(&self) -> &'static str {
        if self.is_mendable {
            "no record is lost by that: `twotick verify --repair` builds it anew from what there is"
        } else {
            self.broken.advice()
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.org_id, self.org) {
            (Some(id), _) => write!(f, "organisation {id}: ")?,
            (None, Some(no)) => write!(f, "organisation number {}: ", no.0)?,
            (None, None) => {}
        }
        match self.of {
            Of::Organisation => write!(f, "{}", self.kind)?,
            Of::Message(id) => write!(f, "{} of message {id}", self.kind)?,
            Of::Entry(seq) => write!(f, "{} {seq}", self.kind)?,
        }
        write!(f, " {}", self.broken)
    }
}

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The organisation's only one, or all of the kind.
    Organisation,
    /// That of a message, of theirs or ours.
    Message(MessageId),
    /// That of an audit entry.
    Entry(Seq),
}

/// What is wrong with a record.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(StoreError),
    /// It ought to be there.
    #[error("is missing")]
    Missing,
    /// Nothing that is there leads to it.
    #[error("is there, but nothing belongs to it")]
    Stale,
    /// It contradicts what it was made from.
    #[error("points at something else")]
    Differs,
    /// The state of a message is one that cannot be.
    #[error("is a state that cannot be: {0}")]
    State(invariants::Violation),
    /// A count is not that of what is there.
    #[error("says {said}, but there are {found}")]
    Count {
        /// What it says.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// An entry of the audit trail is about it, and it does not name that one.
    #[error("does not name audit entry {0}, which is about it")]
    Untold(Seq),
    /// A sealed block of the audit trail does not match its entries, or the block before.
    #[error("does not match what it seals: an entry was changed, or is gone")]
    Seal,
    /// No version that this one knows writes such a record.
    #[error("is of a kind that this version does not know")]
    Unknown,
}

impl Broken {
    /// What it means, and what to do.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "what it held is lost: restore the folder from a backup",
            Self::Missing => "what should be there is lost or would not be found: restore the folder from a backup",
            Self::Stale => "nothing is lost by itself, but a write was torn: restore the folder from a backup",
            Self::Untold(_) => "it is older than its trail, a later step was lost: restore the folder from a backup",
            Self::Differs => "it would lead to the wrong record: restore the folder from a backup",
            Self::State(_) => "the message might be sent twice or never: restore the folder from a backup",
            Self::Count { .. } => "something was lost, or came back: restore the folder from a backup",
            Self::Seal => "the trail proves nothing from here on: restore the folder from a backup",
            Self::Unknown => "a newer twotick wrote it: verify with that one",
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.wrong == 0
    }

    pub(super) fn unreadable(&mut self, org: Option<OrgNo>, result: Result<(), StoreError>) {
        if let Err(error) = result {
            let (kind, of, broken) = ("organisation", Of::Organisation, Broken::Unreadable(error));
            self.add(Finding { org, org_id: None, kind, of, broken, is_mendable: false });
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}
