//! Walks a whole store and checks that everything in it agrees with everything else.

mod billing;
mod consents;
mod inbound;
mod messages;
mod people;
mod quota;
mod report;
mod trail;

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};

use domain::org::Org;
use domain::{OrgId, OrgNo};

use crate::backend::{Order, StoreError, Write};
use crate::codec::encode;
use crate::encryption::Found;
use crate::keys;
use crate::records::Record;
use crate::store::Store;

pub use report::{Broken, Finding, Of, Report};

/// Progress is told after so many records.
const PROGRESS_EVERY: u64 = 10_000;

/// Checks the whole of `store`, and says now and then how many records it has looked at. Nothing may write meanwhile.
pub fn verify(store: &Store, progress: &mut dyn FnMut(u64)) -> Report {
    walk(store, &mut Mends::default(), progress)
}

/// What mends what is wrong, up to a bound.
#[derive(Default)]
pub(crate) struct Mends {
    pub(crate) writes: Vec<Write>,
    pub(crate) max: usize,
}

impl Mends {
    fn add(&mut self, mend: Write) {
        if self.writes.len() < self.max {
            self.writes.push(mend);
        }
    }
}

/// The same; also says what mends it.
pub(crate) fn walk(store: &Store, mends: &mut Mends, progress: &mut dyn FnMut(u64)) -> Report {
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
            mends,
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
            report.add(Finding {
                org: Some(no),
                org_id: None,
                kind: "record",
                of,
                broken: Broken::Unknown,
                is_mendable: false,
            });
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
    mends: &'a mut Mends,
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
        let mut right = head.clone();
        let told = self.messages(&mut right, &upkeep);
        let stated = self.trail(&mut right, &upkeep, told);
        if right != head {
            self.mend_record(name(b'h'), keys::head(self.org), &right);
        }
        self.consents(&upkeep, stated);
        self.people();
        self.quota();
        self.inbound();
        self.billing(&head, &upkeep);
    }

    fn wrong(&mut self, kind: &'static str, of: Of, broken: Broken) {
        self.found(kind, of, broken, false);
    }

    fn found(&mut self, kind: &'static str, of: Of, broken: Broken, is_mendable: bool) {
        self.report.add(Finding { org: Some(self.org), org_id: self.org_id.clone(), kind, of, broken, is_mendable });
    }

    /// Something is wrong that other records tell all about.
    fn mend(&mut self, of: Of, broken: Broken, mend: Write) {
        let letter = mend.entry().0.first().copied().unwrap_or_default();
        self.found(name(letter), of, broken, true);
        self.mends.add(mend);
    }

    /// A key leads nowhere.
    fn mend_stale(&mut self, of: Of, key: &[u8]) {
        self.mend(of, Broken::Stale, Write::Delete(key.to_vec()));
    }

    /// What was found wrong of a record, this puts right.
    fn mend_record<T: Record>(&mut self, kind: &'static str, key: Vec<u8>, right: &T) {
        if let Ok(value) = encode(kind, right) {
            self.mends.add(Write::Put(key, value));
        }
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

    /// Looks for the note that lets messages be held.
    fn restored(&mut self) {
        match self.store.restored(self.org) {
            Ok(restored) => self.is_restored = restored.is_some(),
            Err(error) => self.wrong(name(b'R'), Of::Organisation, Broken::Unreadable(error)),
        }
        if self.count(b'R') > u64::from(self.is_restored) {
            self.wrong(name(b'R'), Of::Organisation, Broken::Stale);
        }
    }

    /// Expects a key, of which the value alone tells nothing.
    fn expect_key(&mut self, key: &[u8], value: &[u8], of: Of) {
        let letter = key.first().copied().unwrap_or_default();
        self.expect(letter);
        match self.store.backend.get(key) {
            Ok(Some(_)) => {}
            Ok(None) => self.mend(of, Broken::Missing, Write::Put(key.to_vec(), value.to_vec())),
            Err(error) => self.wrong(name(letter), of, Broken::Unreadable(error)),
        }
    }

    /// Expects a record that points at something; what it should be, where other records tell that.
    fn expect_record<T: Record>(
        &mut self,
        key: &[u8],
        right: Option<Vec<u8>>,
        of: Of,
        is_right: impl FnOnce(&T) -> bool,
    ) {
        let letter = key.first().copied().unwrap_or_default();
        self.expect(letter);
        let broken = match self.store.record::<T>(name(letter), key) {
            Ok(Some(record)) if is_right(&record) => return,
            Ok(Some(_)) => Broken::Differs,
            Ok(None) => Broken::Missing,
            Err(error @ StoreError::Damaged { .. }) => Broken::Unreadable(error),
            Err(error) => return self.wrong(name(letter), of, Broken::Unreadable(error)),
        };
        match right {
            Some(value) => self.mend(of, broken, Write::Put(key.to_vec(), value)),
            None => self.wrong(name(letter), of, broken),
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
        b'C' => "further claim of a provider id",
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
        b'U' => "expiry of what is gone",
        b'w' => "window",
        b'c' => "consent",
        b'g' => "statement",
        b'z' => "erasure",
        b'l' => "retention",
        b'R' => "note of a restore",
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
