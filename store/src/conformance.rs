//! The suite that every backend must pass, reopening included.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test suite, though not in a test")]

mod consent;
mod inbound;
mod secrets;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc;

use domain::audit::{Action, By, Entry, Fact, Kept, Subject};
use domain::state::{Attempt, Phase, Status};
use domain::{
    AttemptNo, AttemptRef, Dossier, Epoch, Message, MessageId, OrgNo, Priority, ProviderId, SenderNo, State, Timestamp,
};

use crate::backend::{Backend, Order, Write};
use crate::search::{AuditFilter, MessageFilter, Numbered};
use crate::{Commit, CommitError, Committer, Head, Lane, Store};

const ORG: OrgNo = OrgNo(7);
const OTHER: OrgNo = OrgNo(8);
const EPOCH: Epoch = Epoch(1);

/// Runs the suite. `open` opens the same place again and again; the one before is dropped first.
pub fn run(mut open: impl FnMut() -> Arc<dyn Backend>) {
    a_batch_is_applied_in_order(&*open());
    a_scan_visits_its_range_in_either_order(&*open());
    what_was_applied_is_there_after_reopening(&mut open);
    an_accepted_message_is_found_by_all_its_indexes(&Store::new(open()));
    a_long_message_comes_back_whole(&Store::new(open()));
    the_due_index_follows_the_state(&Store::new(open()));
    lists_are_newest_first_and_paged(&Store::new(open()));
    the_audit_trail_reads_back_by_entity_action_and_dossier(&Store::new(open()));
    commits_of_many_threads_are_all_durable(&Store::new(open()));
    an_older_owner_is_fenced_off(&Store::new(open()));
    purging_one_organisation_leaves_the_other(&Store::new(open()));
    inbound::run(&mut open);
    secrets::run(&mut open);
    consent::run(&mut open);
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(key.to_vec(), value.to_vec())
}

fn keys(backend: &dyn Backend, range: std::ops::Range<&[u8]>, order: Order, most: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    backend
        .scan(range, order, &mut |key, _| {
            found.push(key.to_vec());
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    found
}

fn a_batch_is_applied_in_order(backend: &dyn Backend) {
    let writes = vec![
        put(b"za", b"1"),
        put(b"zb", b""),
        put(b"za", b"2"),
        Write::Delete(b"zc".to_vec()),
        put(b"zd", b"4"),
        Write::Delete(b"zd".to_vec()),
    ];
    backend.apply(writes).unwrap();
    assert_eq!(backend.get(b"za").unwrap().unwrap(), b"2");
    assert_eq!(backend.get(b"zb").unwrap().unwrap(), b"");
    assert_eq!(backend.get(b"zc").unwrap(), None);
    assert_eq!(backend.get(b"zd").unwrap(), None);
}

fn a_scan_visits_its_range_in_either_order(backend: &dyn Backend) {
    backend.apply((0..100u8).map(|n| put(&[b'y', n], &[n])).collect()).unwrap();
    let range = || &b"y\x10"[..]..&b"y\x20"[..];
    let up = keys(backend, range(), Order::Ascending, usize::MAX);
    assert_eq!(up.len(), 16);
    assert_eq!((up[0].as_slice(), up[15].as_slice()), (&b"y\x10"[..], &b"y\x1f"[..]));
    let mut down = keys(backend, range(), Order::Descending, usize::MAX);
    down.reverse();
    assert_eq!(up, down);
    assert_eq!(keys(backend, range(), Order::Descending, 2), [b"y\x1f".to_vec(), b"y\x1e".to_vec()]);
    assert!(keys(backend, b"y\x20"..b"y\x20", Order::Ascending, 9).is_empty());
}

fn what_was_applied_is_there_after_reopening(open: &mut dyn FnMut() -> Arc<dyn Backend>) {
    let backend = open();
    backend.apply(vec![put(b"zkept", &[9; 3000])]).unwrap();
    drop(backend);
    assert_eq!(open().get(b"zkept").unwrap().unwrap(), [9; 3000]);
}

/// The `n`th message: ids sort as `n` does.
fn message(n: u8) -> (Message, State) {
    let mut id = [0; 16];
    id[0] = n;
    let at = Timestamp::from_millis(1_000 + u64::from(n));
    let message = Message {
        id: MessageId::from_bytes(id),
        from: "1065".parse().unwrap(),
        sender: SenderNo(1),
        to: format!("+49151000000{n:02}").parse().unwrap(),
        template_code: None,
        payload: br#"{"type":"text","text":{"body":"hi"}}"#.as_slice().into(),
        dossier: Some(Dossier::Number((n % 2).to_string())),
        subject: None,
        idempotency_key: Some(format!("key-{n}")),
        send_at: None,
        expires_at: None,
        priority: if n.is_multiple_of(5) { Priority::High } else { Priority::Normal },
        category: domain::message::Category::Transactional,
        on_unknown: None,
        created_at: at,
        erased: None,
    };
    (message, State::accepted(at, 6, at))
}

/// Commits through the real road and waits.
fn commit(store: &Store, commit: Commit) -> Result<(), CommitError> {
    let committer = Committer::inline(store);
    let (done, answer) = mpsc::channel();
    committer.reserve().unwrap().submit(commit, move |result| done.send(result).unwrap());
    answer.recv().unwrap()
}

fn accept(store: &Store, org: OrgNo, message: &Message, state: &State) {
    let mut step = Commit::new(org, EPOCH);
    step.accepted(message, state, &[3; 32]).unwrap();
    let mut head = Head { epoch: EPOCH, ..store.head(org).unwrap() };
    head.moved(None, state.phase.status());
    step.head(&head).unwrap();
    commit(store, step).unwrap();
}

fn an_accepted_message_is_found_by_all_its_indexes(store: &Store) {
    let (message, state) = message(1);
    accept(store, ORG, &message, &state);
    assert!(store.message(ORG, message.id).unwrap().unwrap() == message);
    assert_eq!(store.state(ORG, message.id).unwrap().unwrap(), state);
    assert_eq!(store.idempotency(ORG, "key-1").unwrap(), Some((message.id, [3; 32])));
    for filter in [
        MessageFilter { dossier: Some("1".into()), ..Default::default() },
        MessageFilter { to: Some(message.to.as_str().into()), ..Default::default() },
        MessageFilter { status: Some(Status::Queued), ..Default::default() },
    ] {
        assert_eq!(store.messages(ORG, &filter, None, 10).unwrap().items.len(), 1, "{filter:?}");
        assert_eq!(store.messages(OTHER, &filter, None, 10).unwrap().items.len(), 0, "{filter:?}");
    }
    assert_eq!(store.message(OTHER, message.id).unwrap(), None);
    assert_eq!(store.idempotency(OTHER, "key-1").unwrap(), None);
}

fn a_long_message_comes_back_whole(store: &Store) {
    let (mut message, state) = message(2);
    message.payload = (0..900_000u32).map(|n| n.to_be_bytes()[3]).collect();
    accept(store, ORG, &message, &state);
    assert!(store.message(ORG, message.id).unwrap().unwrap() == message);
}

fn due(store: &Store, lane: Lane) -> Vec<(MessageId, u64)> {
    let mut found = Vec::new();
    store
        .due(ORG, SenderNo(1), lane, &mut |entry| {
            found.push((entry.id, entry.at.as_millis()));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn the_due_index_follows_the_state(store: &Store) {
    let (message, queued) = message(3);
    accept(store, ORG, &message, &queued);
    let is_in = |lane, at| due(store, lane).contains(&(message.id, at));
    assert!(is_in(Lane::Normal, 1_003));

    let mut sending = queued.clone();
    sending.phase = Phase::Sending { due: Timestamp::from_millis(9_000) };
    let mut step = Commit::new(ORG, EPOCH);
    step.moved(&message, &queued, &sending).unwrap();
    commit(store, step).unwrap();
    assert!(!is_in(Lane::Normal, 1_003) && is_in(Lane::Settle, 9_000));

    let provider_id = ProviderId::new("wamid.3");
    let mut sent = sending.clone();
    sent.phase = Phase::Sent;
    sent.attempts =
        vec![Attempt { provider_id: Some(provider_id.clone()), ..Attempt::begun(AttemptNo(1), queued.updated_at) }];
    let mut step = Commit::new(ORG, EPOCH);
    step.moved(&message, &sending, &sent).unwrap();
    let attempt = AttemptRef { message: message.id, attempt: AttemptNo(1) };
    step.named(&provider_id, attempt).unwrap();
    step.response(message.id, AttemptNo(1), b"{}".to_vec());
    commit(store, step).unwrap();
    assert!(!is_in(Lane::Settle, 9_000));
    assert_eq!(store.by_provider_id(ORG, &provider_id).unwrap(), Some(attempt));
    assert_eq!(store.by_provider_id(OTHER, &provider_id).unwrap(), None);
    assert_eq!(store.responses(ORG, message.id).unwrap(), [(AttemptNo(1), b"{}".to_vec())]);
}

fn lists_are_newest_first_and_paged(store: &Store) {
    let org = OrgNo(20);
    for n in 1..=20 {
        let (message, state) = message(n);
        accept(store, org, &message, &state);
    }
    let ids = |filter: &MessageFilter| {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = store.messages(org, filter, before, 7).unwrap();
            assert!(page.items.len() <= 7);
            found.extend(page.items.into_iter().map(|(message, _)| message.id.as_bytes()[0]));
            before = page.next;
            if before.is_none() {
                return found;
            }
        }
    };
    assert_eq!(ids(&MessageFilter::default()), (1..=20).rev().collect::<Vec<_>>());
    let odd = MessageFilter { dossier: Some("1".into()), ..Default::default() };
    assert_eq!(ids(&odd), (1..=20).rev().filter(|n| n % 2 == 1).collect::<Vec<_>>());
    let page = store.messages_by_page(org, &odd, 1, 4).unwrap();
    let Numbered::Found(page, total) = page else { panic!("{page:?} of so few") };
    assert_eq!(total, 10);
    assert_eq!(page.iter().map(|(message, _)| message.id.as_bytes()[0]).collect::<Vec<_>>(), [11, 9, 7, 5]);
}

fn the_audit_trail_reads_back_by_entity_action_and_dossier(store: &Store) {
    let org = OrgNo(21);
    let (message, mut state) = message(4);
    state.trail = vec![1, 3];
    accept(store, org, &message, &state);
    let mut step = Commit::new(org, EPOCH);
    let facts = [(1, Fact::Created), (2, Fact::OrgPut), (3, Fact::Cancelled)];
    for (seq, fact) in facts {
        let subject = if seq == 2 { Subject::Organisation } else { Subject::Message(message.id) };
        let entry = Entry { at: Timestamp::from_millis(seq), subject, by: By::System, fact };
        step.entry(seq, &Kept::new(entry.clone(), [9; 16]), message.dossier.as_ref().filter(|_| seq != 2)).unwrap();
    }
    step.head(&Head { last_seq: 3, epoch: EPOCH, ..Default::default() }).unwrap();
    commit(store, step).unwrap();

    let seqs = |filter: AuditFilter, before| {
        let page = store.audit(org, &filter, before, 2).unwrap();
        (page.items.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(seqs(AuditFilter::default(), None), (vec![3, 2], Some(2)));
    assert_eq!(seqs(AuditFilter::default(), Some(2)), (vec![1], None));
    assert_eq!(
        seqs(AuditFilter { subject: Some(Subject::Message(message.id)), ..Default::default() }, None),
        (vec![3, 1], None)
    );
    assert_eq!(seqs(AuditFilter { action: Some(Action::Created), ..Default::default() }, None), (vec![1], None));
    assert_eq!(seqs(AuditFilter { subject: Some(Subject::Organisation), ..Default::default() }, None), (vec![2], None));
    let page = store.activities(org, "0", None, 1).unwrap();
    assert_eq!((page.items[0].0, page.next), (3, Some(3)));
    assert_eq!(store.activities(org, "0", page.next, 1).unwrap().items[0].0, 1);
    assert_eq!(store.head(org).unwrap().last_seq, 3);
    assert_eq!(store.sealed_entries(org, 2, 10).unwrap().len(), 2);
}

fn commits_of_many_threads_are_all_durable(store: &Store) {
    let committer = Committer::start(store).unwrap();
    let (done, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for worker in 0..4u32 {
            let (committer, done) = (&committer, done.clone());
            scope.spawn(move || {
                for n in 0..50u8 {
                    let mut step = Commit::new(OrgNo(100 + worker), EPOCH);
                    step.head(&Head { last_seq: n.into(), ..Default::default() }).unwrap();
                    step.response(MessageId::from_bytes([n; 16]), AttemptNo(1), vec![n]);
                    let done = done.clone();
                    committer.reserve().unwrap().submit(step, move |result| done.send(result).unwrap());
                }
            });
        }
    });
    drop(done);
    assert_eq!(answers.iter().filter(Result::is_ok).count(), 200);
    committer.stop();
    assert!(committer.reserve().is_err());
    for worker in 0..4 {
        assert_eq!(store.head(OrgNo(100 + worker)).unwrap().last_seq, 49, "commits of one owner land in order");
        assert_eq!(store.responses(OrgNo(100 + worker), MessageId::from_bytes([49; 16])).unwrap().len(), 1);
    }
}

fn an_older_owner_is_fenced_off(store: &Store) {
    let org = OrgNo(22);
    let committer = Committer::inline(store);
    let write = |epoch, seq| {
        let (done, answer) = mpsc::channel();
        let mut step = Commit::new(org, Epoch(epoch));
        step.head(&Head { epoch: Epoch(epoch), last_seq: seq, ..Default::default() }).unwrap();
        committer.reserve().unwrap().submit(step, move |result| done.send(result).unwrap());
        answer.recv().unwrap()
    };
    assert!(write(2, 1).is_ok());
    assert!(write(3, 2).is_ok());
    assert!(matches!(write(2, 9), Err(CommitError::Fenced)));
    assert_eq!(store.head(org).unwrap().last_seq, 2);
    let later = Committer::inline(store);
    let (done, answer) = mpsc::channel();
    let mut old = Commit::new(org, Epoch(1));
    old.response(MessageId::from_bytes([1; 16]), AttemptNo(1), vec![]);
    later.reserve().unwrap().submit(old, move |result| done.send(result).unwrap());
    assert!(matches!(answer.recv().unwrap(), Err(CommitError::Fenced)), "the epoch outlives the process");
}

fn purging_one_organisation_leaves_the_other(store: &Store) {
    let (gone, stays) = (OrgNo(30), OrgNo(31));
    for org in [gone, stays] {
        let (message, state) = message(6);
        accept(store, org, &message, &state);
    }
    loop {
        let keys = store.data_keys(gone, 2).unwrap();
        if keys.is_empty() {
            break;
        }
        assert!(keys.len() <= 2);
        let mut step = Commit::new(gone, EPOCH);
        step.purge(keys);
        commit(store, step).unwrap();
    }
    let (message, _) = message(6);
    assert_eq!(store.message(gone, message.id).unwrap(), None);
    assert!(store.message(stays, message.id).unwrap().is_some());
}
