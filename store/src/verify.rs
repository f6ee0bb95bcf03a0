//! Walks a whole store and checks that everything in it agrees with everything else.

mod billing;
mod consents;
mod inbound;
mod messages;
mod people;
mod quota;
mod trail;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::{ControlFlow, Range};

use domain::org::Org;
use domain::{MessageId, OrgId, OrgNo, Seq, invariants};
use serde::de::DeserializeOwned;

use crate::backend::{Order, StoreError};
use crate::keys;
use crate::seal::Found;
use crate::store::Store;

/// Findings that a report tells one by one; further ones are only counted.
const FINDINGS_MAX: usize = 1000;
/// Progress is told after so many records.
const PROGRESS_EVERY: u64 = 10_000;

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

/// Checks the whole of `store`, and says now and then how many records it has looked at. Nothing may write meanwhile.
pub fn verify(store: &Store, progress: &mut dyn FnMut(u64)) -> Report {
    let mut report = Report::default();
    unknown_kinds(store, &mut report);
    for (no, record) in organisations(store, &mut report) {
        report.organisations += 1;
        let org_id = record.as_ref().map(|org| org.id.clone());
        let mut walk = Walk {
            store,
            org: no,
            org_id,
            expected: HashMap::new(),
            is_restored: false,
            has_status_index: false,
            report: &mut report,
            progress,
        };
        match record {
            Some(record) if record.deleted_at.is_some() => {
                // It is being purged, a few keys at a time.
            }
            Some(_) => walk.run(),
            None => {
                walk.wrong("organisation", Of::Organisation, Broken::Missing);
                walk.run();
            }
        }
    }
    report
}

/// Every organisation that has a record or data, with its record if that can be read.
fn organisations(store: &Store, report: &mut Report) -> BTreeMap<OrgNo, Option<Org>> {
    let mut parts: BTreeMap<OrgNo, Vec<u8>> = BTreeMap::new();
    let scan = store.scan(vec![keys::ORGS], Order::Ascending, &mut |key, part| {
        if let Some(no) = keys::org_of(key) {
            parts.entry(no).or_default().extend_from_slice(part);
        }
        ControlFlow::Continue(())
    });
    report.unreadable(None, scan);
    let mut found = BTreeMap::new();
    for (no, bytes) in parts {
        let record = Found::read(&bytes).map(|org| drop(found.insert(no, Some(org.without_secrets()))));
        report.unreadable(Some(no), record);
    }
    for kind in keys::DATA_KINDS {
        let mut next = Some(OrgNo(0));
        while let Some(from) = next {
            let first = first_org(store, keys::of_kind(*kind, from)..vec![kind + 1], report);
            if let Some(no) = first {
                found.entry(no).or_insert(None);
            }
            next = first.and_then(|no| no.0.checked_add(1)).map(OrgNo);
        }
    }
    found
}

/// The organisation of the first key within `range`.
fn first_org(store: &Store, range: Range<Vec<u8>>, report: &mut Report) -> Option<OrgNo> {
    let mut first = None;
    let scan = store.backend.scan(&*range.start..&*range.end, Order::Ascending, &mut |key, _| {
        first = Some(keys::org_of(key).unwrap_or(OrgNo(0)));
        ControlFlow::Break(())
    });
    report.unreadable(None, scan);
    first
}

/// Looks for keys that begin with no known letter.
fn unknown_kinds(store: &Store, report: &mut Report) {
    let is_known = |letter: &u8| *letter == keys::ORGS || keys::DATA_KINDS.contains(letter);
    for letter in (1..u8::MAX).filter(|letter| !is_known(letter)) {
        if let Some(no) = first_org(store, vec![letter]..vec![letter + 1], report) {
            let of = Of::Organisation;
            report.add(Finding { org: Some(no), org_id: None, kind: "record", of, broken: Broken::Unknown });
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.wrong == 0
    }

    fn unreadable(&mut self, org: Option<OrgNo>, result: Result<(), StoreError>) {
        if let Err(error) = result {
            let (kind, of, broken) = ("organisation", Of::Organisation, Broken::Unreadable(error));
            self.add(Finding { org, org_id: None, kind, of, broken });
        }
    }

    fn add(&mut self, finding: Finding) {
        self.wrong += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// The walk through one organisation.
struct Walk<'a> {
    store: &'a Store,
    org: OrgNo,
    org_id: Option<OrgId>,
    /// How many keys of each kind there should be.
    expected: HashMap<u8, u64>,
    /// Whether it may hold messages for a person.
    is_restored: bool,
    /// Whether all messages are in the index by status.
    has_status_index: bool,
    report: &'a mut Report,
    progress: &'a mut dyn FnMut(u64),
}

impl Walk<'_> {
    fn run(&mut self) {
        let head = match self.store.head(self.org) {
            Ok(head) => head,
            Err(error) => {
                self.wrong("head", Of::Organisation, Broken::Unreadable(error));
                return;
            }
        };
        let upkeep = match self.store.upkeep(self.org) {
            Ok(upkeep) => upkeep,
            Err(error) => {
                self.wrong("retention", Of::Organisation, Broken::Unreadable(error));
                return;
            }
        };
        self.restored();
        let told = self.messages(&head, &upkeep);
        let stated = self.trail(&head, &upkeep, told);
        self.consents(&upkeep, stated);
        self.people();
        self.quota();
        self.inbound(&upkeep);
        self.billing(&head, &upkeep);
    }

    fn wrong(&mut self, kind: &'static str, of: Of, broken: Broken) {
        self.report.add(Finding { org: Some(self.org), org_id: self.org_id.clone(), kind, of, broken });
    }

    /// Visits every key of a kind. A store that cannot be read further is a finding, too.
    fn each(&mut self, letter: u8, mut visit: impl FnMut(&mut Self, &[u8], &[u8])) {
        let store = self.store;
        let scan = store.scan(keys::of_kind(letter, self.org), Order::Ascending, &mut |key, value| {
            self.report.records += 1;
            if self.report.records.is_multiple_of(PROGRESS_EVERY) {
                (self.progress)(self.report.records);
            }
            visit(self, key, value);
            ControlFlow::Continue(())
        });
        if let Err(error) = scan {
            self.wrong(name(letter), Of::Organisation, Broken::Unreadable(error));
        }
    }

    /// How many keys of a kind there are.
    fn count(&mut self, letter: u8) -> u64 {
        let mut found = 0;
        self.each(letter, |_, _, _| found += 1);
        found
    }

    fn expect(&mut self, letter: u8) {
        *self.expected.entry(letter).or_default() += 1;
    }

    /// Looks for the mark that lets messages be held.
    fn restored(&mut self) {
        match self.store.restored(self.org) {
            Ok(mark) => self.is_restored = mark.is_some(),
            Err(error) => self.wrong(name(b'R'), Of::Organisation, Broken::Unreadable(error)),
        }
        if self.count(b'R') > u64::from(self.is_restored) {
            self.wrong(name(b'R'), Of::Organisation, Broken::Stale);
        }
    }

    /// Expects a key that tells all by being there.
    fn expect_mark(&mut self, key: &[u8], of: Of) {
        let letter = key.first().copied().unwrap_or_default();
        self.expect(letter);
        match self.store.backend.get(key) {
            Ok(Some(_)) => {}
            Ok(None) => self.wrong(name(letter), of, Broken::Missing),
            Err(error) => self.wrong(name(letter), of, Broken::Unreadable(error)),
        }
    }

    /// Expects a record that points at something.
    fn expect_record<T: DeserializeOwned>(&mut self, key: &[u8], of: Of, is_right: impl FnOnce(&T) -> bool) {
        let letter = key.first().copied().unwrap_or_default();
        self.expect(letter);
        match self.store.record::<T>(name(letter), key) {
            Ok(Some(record)) if is_right(&record) => {}
            Ok(Some(_)) => self.wrong(name(letter), of, Broken::Differs),
            Ok(None) => self.wrong(name(letter), of, Broken::Missing),
            Err(error) => self.wrong(name(letter), of, Broken::Unreadable(error)),
        }
    }
}

/// A kind of record by its letter, as people read it.
const fn name(letter: u8) -> &'static str {
    match letter {
        b'o' => "organisation",
        b'h' => "head",
        b'm' => "message",
        b's' => "state",
        b'r' => "answer of the provider",
        b'd' => "due entry",
        b'i' => "idempotency key",
        b'p' => "provider id",
        b'a' => "audit entry",
        b'b' => "audit block",
        b'x' => "dossier's message",
        b'y' => "dossier's activity",
        b't' => "recipient's message",
        b'k' => "parked receipt",
        b'e' => "expiry entry",
        b'n' => "inbound message",
        b'f' => "author's inbound message",
        b'u' => "inbound id",
        b'U' => "inbound id of one that is gone",
        b'w' => "window",
        b'c' => "consent",
        b'g' => "statement",
        b'z' => "erasure",
        b'l' => "retention",
        b'R' => "mark of a restore",
        b'j' => "quota's usage",
        b'v' => "counted recipient",
        b'q' => "counted recipient's time",
        b'A' => "name",
        b'P' => "person",
        b'M' => "billed template",
        b'S' => "status entry",
        b'I' => "status index",
        _ => "record",
    }
}
