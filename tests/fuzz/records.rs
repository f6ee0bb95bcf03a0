//! The record codec, through everything that reads the store. Each corpus file is a whole store with one record per
//! line: its key and its value. A version of twotick wrote it, and every later version must read it.

use std::sync::Arc;

use domain::OrgNo;
use proptest::prelude::*;
use proptest::sample::Index;
use store::backend::{Backend, Write};
use store::search::{AuditFilter, MessageFilter};
use store::verify::{Report, verify};
use store::{MemoryBackend, Store};

use crate::changes::changed;
use crate::{corpus, fuzz};

const CASES: u64 = 1500;
/// Large lengths and numbers as bincode writes them.
const WORDS: &[&[u8]] = &[
    b"\xfb\xff\xff",
    b"\xfc\xff\xff\xff\xff",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xfd\0\0\0\0\0\x01\0\0",
    b"\0",
    b"\x01\x01",
];

/// The prefix of the keys of Meta's answers.
const RESPONSE: u8 = b'r';

type Record = (Vec<u8>, Vec<u8>);

pub(crate) fn records(text: &[u8]) -> Vec<Record> {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let record = |line: &str| line.split_once(' ').map(|(key, value)| (bytes(key), bytes(value))).unwrap();
    std::str::from_utf8(text).unwrap().lines().map(record).collect()
}

pub(crate) fn store(records: Vec<Record>) -> Store {
    let backend = MemoryBackend::new();
    backend.apply(records.into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    Store::new(Arc::new(backend))
}

fn check(store: &Store) -> Report {
    // Also reads what the API shows; the results do not matter here.
    let org = OrgNo(1);
    let _ = store.audit(org, &AuditFilter { subject: None, action: None }, None, 200);
    let _ = store.messages(org, &MessageFilter::default(), None, 200);
    let _ = store.parked(org);
    verify(store, &mut |_| ())
}

#[test]
fn stores_of_every_version_are_readable_and_consistent() {
    for kept in corpus("records") {
        let report = check(&store(records(&kept.bytes)));
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert!(report.is_clean() && report.messages > 3, "{}: {findings:#?}", kept.name.join("."));
    }
}

#[test]
fn a_mutated_record_never_causes_a_panic_and_a_truncated_one_is_never_valid() {
    for kept in corpus("records") {
        let records = records(&kept.bytes);
        let count = records.len();
        let values = records.iter().map(|(_, value)| value.clone()).collect();
        fuzz(CASES, &(any::<Index>(), changed(values, WORDS)), |(which, input)| {
            let mut records = records.clone();
            let (_, value) = &mut records[which.index(count)];
            *value = input.0;
            check(&store(records));
            Ok(())
        });
        // Meta's answers are stored verbatim for people; everything else is a record.
        for n in (0..count).filter(|n| records[*n].0[0] != RESPONSE) {
            let mut records = records.clone();
            let (key, value) = &mut records[n];
            let what = format!("{key:02x?}, a byte short");
            if value.pop().is_some() {
                assert!(!check(&store(records)).is_clean(), "{what}");
            }
        }
    }
}
