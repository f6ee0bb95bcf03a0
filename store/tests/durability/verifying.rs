//! `verify` finds a key that is gone, one too many, and a value that was changed, whatever kind it is of.

use std::sync::Arc;

use domain::audit::{Block, By, Entry, Fact, Kept, Subject};
use domain::billing::{Billed, BilledAs};
use domain::consent::{Choice, Consent, Covers, Source, Statement};
use domain::people::{Former, NameOwners, Person};
use domain::quota::{Need, Usage};
use domain::{AttemptRef, Epoch, Inbound, MessageId, OrgNo, Phase, ProviderId, SenderNo, Seq, State, Timestamp, Wait};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use store::backend::{Backend, Write};
use store::verify::{Report, verify};
use store::{Commit, Counted, MemoryBackend, Restored, Store};

use crate::history::{Content, History, apply, content};

/// The provider's answers: nothing tells that there was one.
const FREE: u8 = b'r';

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
    claim_one(&store, &mut commit, org);
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

/// An attempt was named by the id of another.
fn claim_one(store: &Store, commit: &mut Commit, org: OrgNo) {
    let all = store.oldest_messages(org, None, 1000).unwrap();
    let named = |state: &State| state.attempts.first().and_then(|attempt| attempt.provider_id.clone());
    let taken = all.iter().find_map(|(_, state)| named(state)).unwrap();
    let is_lost =
        |(_, state): &&(MessageId, State)| matches!(state.phase, Phase::Sending { .. }) && named(state).is_none();
    let (id, before) = all.iter().find(is_lost).unwrap();
    let message = store.message(org, *id).unwrap().unwrap();
    let mut after = before.clone();
    after.attempts[0].provider_id = Some(taken.clone());
    commit.moved(&message, before, &after).unwrap();
    commit.named_after(&taken, AttemptRef { message: *id, attempt: after.attempts[0].no });
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
        commit.name_owners(name, &NameOwners { now: Some(id), before: Vec::new() }).unwrap();
    }
    commit.name_owners(&person.former[0].name, &NameOwners { now: None, before: vec![id] }).unwrap();
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
    assert_eq!(kinds(&whole), b"ACIMPRSabcdefghijmnopqrstuvwxy");
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
    each_is_found(&[], |content, key, rng| {
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
        commit.name_owners(name, &NameOwners { now: Some(person.id), before: Vec::new() }).unwrap();
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

/// What a store is after a repair, and what is wrong with it still.
fn repaired(content: Content) -> (Content, Vec<String>) {
    let backend = MemoryBackend::new();
    backend.apply(content.into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    let store = Store::new(Arc::new(backend.clone()));
    store.repair(Timestamp::from_secs(99), &mut |_| ()).unwrap();
    let left = verify(&store, &mut |_| ()).findings.iter().map(ToString::to_string).collect();
    (self::content(&backend), left)
}

/// Kinds that other records tell all about, but for the fingerprint of an idempotency key.
const DERIVED: &[u8] = b"ACdefipqtuwxy";

#[test]
fn what_leads_to_records_is_built_anew_from_them() {
    let whole = whole();
    for kind in DERIVED {
        let of_kind: Vec<_> = whole.keys().filter(|key| key[0] == *kind).cloned().collect();
        let mut harmed = whole.clone();
        for key in &of_kind {
            harmed.remove(key);
        }
        let mut extra = of_kind[0].clone();
        extra[6] ^= 1;
        harmed.insert(extra.clone(), whole[&of_kind[0]].clone());
        assert!(!report(harmed.clone()).is_clean(), "kind {}", char::from(*kind));
        let (after, left) = repaired(harmed);
        assert_eq!(left, [""; 0], "kind {}", char::from(*kind));
        // An activity of a dossier may be of what is no message.
        assert!(*kind == b'y' || !after.contains_key(&extra), "kind {}", char::from(*kind));
        for key in of_kind.iter().filter(|key| key[0] != b'i') {
            assert_eq!(after.get(key), whole.get(key), "{}", key.escape_ascii());
        }
        let told = |content: &Content| content.keys().filter(|key| key[0] == b'a').count();
        assert_eq!(told(&after), told(&whole) + 1, "the trail tells of it");
    }
}

#[test]
fn a_repair_that_is_cut_off_anywhere_is_done_by_the_next_and_one_with_nothing_to_do_does_nothing() {
    let whole = whole();
    assert_eq!(repaired(whole.clone()).0, whole);
    let mut harmed = whole.clone();
    harmed.retain(|key, _| !DERIVED.contains(&key[0]));
    let (after, left) = repaired(harmed.clone());
    assert_eq!(left, [""; 0]);
    // Whatever of it was written before it was cut off.
    let mut rng = StdRng::seed_from_u64(5);
    for _ in 0..10 {
        let mut half = harmed.clone();
        half.extend(after.clone().into_iter().filter(|(key, _)| DERIVED.contains(&key[0]) && rng.random_bool(0.5)));
        assert_eq!(repaired(half).1, [""; 0]);
    }
}

#[test]
fn what_is_lost_is_not_made_up() {
    let whole = whole();
    for kind in b"mnacg" {
        let mut harmed = whole.clone();
        let key = whole.keys().rfind(|key| key[0] == *kind).unwrap();
        harmed.remove(key);
        assert!(!repaired(harmed).1.is_empty(), "kind {}", char::from(*kind));
    }
}

/// An id that two messages have, as it was written before there were claims, and windows that share a key.
#[test]
fn what_an_older_version_left_is_whole_or_can_be_repaired() {
    let mut content = whole();
    content.retain(|key, _| key[0] != b'C');
    assert_eq!(report(content.clone()).wrong, 1);
    assert_eq!(repaired(content).1, [""; 0]);
    let mut content = whole();
    let windows: Vec<_> = content.keys().filter(|key| key[0] == b'w').cloned().collect();
    for key in windows {
        content.remove(&key);
        content.insert(key[..31].to_vec(), Vec::new());
    }
    for (_, value) in content.iter_mut().filter(|(key, _)| key[0] == b'f') {
        value.clear();
    }
    assert!(report(content.clone()).is_clean());
    let backend = MemoryBackend::new();
    backend.apply(content.into_iter().map(|(key, value)| Write::Put(key, value)).collect()).unwrap();
    let store = Store::new(Arc::new(backend));
    assert_eq!(
        store.last_inbound(OrgNo(7), SenderNo(1), "+4915112345678").unwrap(),
        Some(Timestamp::from_secs(4)),
        "read as before"
    );
}
