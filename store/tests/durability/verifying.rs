//! `verify` finds a key that is gone, one too many, and a value that was changed, whatever kind it is of.

use std::sync::Arc;

use domain::audit::{Block, By, Entry, Fact, Kept, Subject};
use domain::billing::{Billed, BilledAs};
use domain::consent::{Choice, Consent, Covers, Source, Statement};
use domain::people::{Former, Person, Ties};
use domain::quota::{Need, Usage};
use domain::{Epoch, Inbound, MessageId, OrgNo, Phase, ProviderId, SenderNo, Seq, State, Timestamp, Wait};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use store::backend::{Backend, Write};
use store::verify::{Report, verify};
use store::{Commit, Counted, MemoryBackend, Restored, Store};

use crate::history::{Content, History, apply, content};

/// The provider's answers: nothing tells that there was one.
const FREE: u8 = b'r';
/// An author may open several windows at once.
const WINDOW: u8 = b'w';

/// A store with something of every kind.
fn whole() -> Content {
    let mut history = History::new(11);
    for _ in 0..20 {
        history.step();
    }
    let backend = MemoryBackend::new();
    backend.apply(history.content().into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    let store = Store::new(Arc::new(backend.clone()));
    let org = store.orgs_without_secrets().unwrap().remove(0).no;
    let mut commit = Commit::new(org, Epoch(1));
    let entries = store.sealed_entries(org, 1, 100).unwrap();
    let first = Block::seal(1, [0; 32], entries[..60].iter().map(Vec::as_slice));
    commit.block(&first).unwrap();
    commit.block(&Block::seal(61, first.hash, entries[60..].iter().map(Vec::as_slice))).unwrap();
    for n in 0..5 {
        commit.received(&inbound(n)).unwrap();
    }
    let mut head = store.head(org).unwrap();
    for n in 1..=5 {
        head.last_seq += 1;
        say(&mut commit, n, head.last_seq);
    }
    for n in 1..=3 {
        head.last_seq += 1;
        bill(&mut commit, n, head.last_seq);
    }
    commit.head(&head).unwrap();
    for n in 1..=3 {
        link(&mut commit, n);
    }
    let mut usage = Usage::default();
    for n in 1..=5 {
        let at = Timestamp::from_secs(n);
        usage.spend(Need { is_first: true, is_new_recipient: true }, at);
        commit.count(None, &Counted::new(&format!("+49151123456{n}"), at)).unwrap();
    }
    commit.usage(&usage).unwrap();
    hold_one(&store, &mut commit, org);
    apply(&store, commit);
    content(&backend)
}

/// It was restored from a backup, and a message is held since.
fn hold_one(store: &Store, commit: &mut Commit, org: OrgNo) {
    let at = Timestamp::from_secs(9);
    commit.restored(&Restored { backup: "b".into(), taken_at: at, at, held: 1 }).unwrap();
    let is_queued = |(_, state): &(MessageId, State)| matches!(state.phase, Phase::Queued { .. });
    let (id, before) = store.oldest_messages(org, None, 1000).unwrap().into_iter().find(is_queued).unwrap();
    let message = store.message(org, id).unwrap().unwrap();
    let (phase, wait) = (Phase::Queued { due: Timestamp::MAX }, Wait::Restored);
    commit.moved(&message, &before, &State { phase, wait, ..before.clone() }).unwrap();
}

/// A recipient agrees to be written to.
fn say(commit: &mut Commit, n: u8, seq: Seq) {
    let at = Timestamp::from_secs(u64::from(n));
    let (choice, covers) = (Choice::Granted, Covers::Both);
    let source = Source::Word { inbound: MessageId::from_bytes([n; 16]) };
    let statement = Statement { choice, covers, at, recorded_at: at, by: By::WhatsApp, source };
    let unknown = Consent::unknown(MessageId::from_bytes([n + 100; 16]), format!("+491511234567{n}"));
    let known = unknown.after(&statement, seq).unwrap();
    let entry =
        Entry { at, subject: Subject::Consent(known.id), by: By::WhatsApp, fact: Fact::Consent { choice, covers } };
    commit.entry(seq, &Kept::new(entry, [9; 16]), None).unwrap();
    commit.statement(&known, seq, &statement).unwrap();
}

/// A template is billed as marketing.
fn bill(commit: &mut Commit, n: u8, seq: Seq) {
    let (account, template, language) = ("1".to_owned(), format!("template_{n}"), "de".to_owned());
    let (at, category, message) = (Timestamp::from_secs(9), BilledAs::Marketing, MessageId::from_bytes([n; 16]));
    let billed = Billed {
        account: account.clone(),
        name: template.clone(),
        language: language.clone(),
        category,
        at,
        record: seq,
    };
    commit.billed(&billed).unwrap();
    let fact = Fact::TemplateBilled { account, template, language, category, message };
    let entry = Entry { at, subject: Subject::Sender("1065".parse().unwrap()), by: By::WhatsApp, fact };
    commit.entry(seq, &Kept::new(entry, [9; 16]), None).unwrap();
}

/// Somebody has two names, and once had another.
fn link(commit: &mut Commit, n: u8) {
    let id = MessageId::from_bytes([n; 16]);
    let former = Former { name: format!("+49151123457{n}"), until: Timestamp::from_secs(1) };
    let person = Person { id, names: vec![format!("+49151123458{n}"), format!("DE.{n}")], former: vec![former] };
    for name in &person.names {
        commit.ties(name, &Ties { now: Some(id), before: Vec::new() }).unwrap();
    }
    commit.ties(&person.former[0].name, &Ties { now: None, before: vec![id] }).unwrap();
    commit.person(&person).unwrap();
}

fn inbound(n: u8) -> Inbound {
    let at = Timestamp::from_secs(u64::from(n));
    Inbound {
        id: MessageId::from_bytes([n; 16]),
        provider_id: ProviderId::new(&format!("wamid.in-{n}")),
        sender: "1065".parse().unwrap(),
        sender_no: SenderNo(1),
        from: Some("+4915112345678".parse().unwrap()),
        user_id: None,
        kind: "text".into(),
        opens_window: true,
        payload: vec![n; 9000].into(),
        at,
        received_at: at,
    }
}

fn report(content: Content) -> Report {
    let backend = MemoryBackend::new();
    backend.apply(content.into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    verify(&Store::new(Arc::new(backend)), &mut |_| ())
}

fn kinds(content: &Content) -> Vec<u8> {
    let mut kinds: Vec<u8> = content.keys().map(|key| key[0]).collect();
    kinds.dedup();
    kinds
}

/// Does `harm` to a few keys of every kind, one at a time; each must be found.
fn each_is_found(but: &[u8], harm: impl Fn(&mut Content, &[u8], &mut StdRng)) {
    let whole = whole();
    assert_eq!(kinds(&whole), b"AIMPRSabcdefghijmnopqrstuvwxy");
    let mut rng = StdRng::seed_from_u64(5);
    for kind in kinds(&whole).into_iter().filter(|kind| !but.contains(kind)) {
        for _ in 0..2 {
            let key = whole.keys().filter(|key| key[0] == kind).choose(&mut rng).unwrap();
            let mut harmed = whole.clone();
            harm(&mut harmed, key, &mut rng);
            assert!(!report(harmed).is_clean(), "{} of kind {}", key.escape_ascii(), char::from(kind));
        }
    }
}

#[test]
fn a_whole_store_is_clean() {
    let report = report(whole());
    let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{findings:#?}");
    assert_eq!(report.organisations, 1);
    assert!(report.messages > 50 && report.entries > 100 && report.records > 500, "{report:?}");
}

#[test]
fn a_key_that_is_gone_is_found() {
    // Without its last block a trail is one that was not sealed yet; and an index of which nothing says that it is whole need
    // not be.
    each_is_found(&[FREE, b'b', b'I'], |content, key, _| drop(content.remove(key)));
    let mut content = whole();
    let block = content.keys().find(|key| key[0] == b'b').unwrap().clone();
    content.remove(&block);
    assert!(!report(content).is_clean());
}

#[test]
fn a_key_too_many_is_found() {
    each_is_found(&[WINDOW], |content, key, rng| {
        let mut other = key.to_vec();
        // Behind the kind and the organisation: another message, hash or place.
        match other.get_mut(5..).filter(|rest| !rest.is_empty()) {
            Some(rest) => rest.fill_with(|| rng.random()),
            // An organisation's only one: one of another organisation.
            None => other[4] ^= 1,
        }
        let value = content[key].clone();
        content.insert(other, value);
    });
}

#[test]
fn a_value_that_was_cut_short_is_found() {
    each_is_found(&[FREE], |content, key, _| {
        let value = content.get_mut(key).unwrap();
        if value.pop().is_none() {
            // An index entry has no value to be cut: it goes.
            content.remove(key);
        }
    });
}

#[test]
fn names_of_one_person_that_do_not_say_the_same_of_consent_are_found() {
    let backend = MemoryBackend::new();
    backend.apply(whole().into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    let mut commit = Commit::new(OrgNo(7), Epoch(1));
    let names = ["+4915112345671", "+4915112345672"].map(str::to_owned);
    let person = Person { id: MessageId::from_bytes([50; 16]), names: names.to_vec(), former: Vec::new() };
    for name in &names {
        commit.ties(name, &Ties { now: Some(person.id), before: Vec::new() }).unwrap();
    }
    commit.person(&person).unwrap();
    apply(&Store::new(Arc::new(backend.clone())), commit);
    let kinds: Vec<_> = report(content(&backend)).findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, ["consent"], "they agreed at different times");
}

#[test]
fn a_changed_audit_entry_breaks_its_seal() {
    let mut content = whole();
    let org = OrgNo(7).0.to_be_bytes();
    let key = [&b"a"[..], &org, &5u64.to_be_bytes()].concat();
    let other = content[&[&b"a"[..], &org, &90u64.to_be_bytes()].concat()].clone();
    content.insert(key, other);
    let found = report(content);
    assert!(found.findings.iter().any(|finding| finding.kind == "audit block"));
}

#[test]
fn a_finding_names_organisation_kind_and_message() {
    let mut content = whole();
    let due = content.keys().find(|key| key[0] == b'd').unwrap().clone();
    content.remove(&due);
    let found = report(content).findings.remove(0).to_string();
    let id = MessageId::from_bytes(*due.last_chunk().unwrap());
    assert_eq!(found, format!("organisation acme: due entry of message {id} is missing"));
}
