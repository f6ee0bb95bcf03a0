//! What a message costs the store: building its commit, making many durable together, and finding one among many.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use domain::intake::NewMessage;
use domain::{Epoch, Message, MessageId, OrgNo, SenderNo, State, Timestamp};
use store::{Backend, Commit, Committer, Head, MemoryBackend, SledBackend, Store};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const ORG: OrgNo = OrgNo(1);
/// Commits that wait for one batch together.
const GROUP: u64 = 256;
const CACHE: u64 = 256 * 1024 * 1024;

fn id(n: u64) -> MessageId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    MessageId::from_bytes(id)
}

fn message(n: u64) -> (Message, State) {
    let body = serde_json::json!({"dossierId": n / 10, "to": format!("+4915{n:09}"), "templateCode": "welcome_message",
        "payloadJson": {"language": "en", "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "x".repeat(200)}]}]},
        "idempotencyKey": format!("bench-{n}")});
    let new = NewMessage::parse(body.as_object().unwrap(), None, NOW).unwrap();
    let message = new.into_message(id(n), "1065".parse().unwrap(), SenderNo(1), NOW);
    (message, State::accepted(NOW, 6, NOW))
}

fn accepted(message: &Message, state: &State) -> Commit {
    let mut commit = Commit::new(ORG, Epoch(1));
    commit.accepted(message, state, &[3; 32]).unwrap();
    commit.head(&Head::default()).unwrap();
    commit
}

/// Hands all in and waits until the last is durable.
fn write(committer: &Committer, commits: Vec<Commit>) {
    let (done, answers) = mpsc::channel();
    let count = commits.len();
    for commit in commits {
        let done = done.clone();
        committer.reserve().unwrap().submit(commit, move |result| done.send(result.is_ok()).unwrap());
    }
    assert!(answers.into_iter().take(count).all(|is_durable| is_durable));
}

fn codec(criterion: &mut Criterion) {
    let (message, state) = message(1);
    criterion.bench_function("encode/an accepted message", |bencher| {
        bencher.iter(|| accepted(black_box(&message), black_box(&state)));
    });
    let store = Store::new(Arc::new(MemoryBackend::default()));
    write(&Committer::start(&store).unwrap(), vec![accepted(&message, &state)]);
    criterion.bench_function("decode/a message", |bencher| bencher.iter(|| store.message(ORG, message.id)));
    criterion.bench_function("decode/a state", |bencher| bencher.iter(|| store.state(ORG, message.id)));
}

fn groups(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let sled: Arc<dyn Backend> = Arc::new(SledBackend::open_at(folder.path(), CACHE).unwrap());
    let memory: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let mut group = criterion.benchmark_group("group commit");
    group.sample_size(10).throughput(Throughput::Elements(GROUP));
    for (name, backend) in [("memory", memory), ("sled", sled)] {
        let committer = Committer::start(&Store::new(backend)).unwrap();
        let mut next = 0;
        group.bench_function(name, |bencher| {
            let commits = || {
                next += GROUP;
                (next - GROUP..next).map(message).map(|(message, state)| accepted(&message, &state)).collect()
            };
            bencher.iter_batched(commits, |commits| write(&committer, commits), BatchSize::PerIteration);
        });
        committer.stop();
    }
    group.finish();
}

/// Messages in the store, some of which are looked for.
const KEPT: u64 = 200_000;

fn lookups(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(SledBackend::open_at(folder.path(), CACHE).unwrap());
    let store = Store::new(Arc::<SledBackend>::clone(&backend));
    let committer = Committer::start(&store).unwrap();
    for first in (0..KEPT).step_by(1000) {
        let made = (first..first + 1000).map(message);
        write(&committer, made.map(|(message, state)| accepted(&message, &state)).collect());
    }
    while backend.flush_step().unwrap() {}
    for (name, prefix) in [("there", "bench"), ("not there", "other")] {
        let mut n = 0;
        criterion.bench_function(&format!("lookup/an idempotency key that is {name}"), |bencher| {
            bencher.iter(|| {
                n = (n + 7919) % KEPT;
                store.idempotency(ORG, &format!("{prefix}-{n}")).unwrap()
            });
        });
    }
    let mut n = 0;
    criterion.bench_function("lookup/a message among many", |bencher| {
        bencher.iter(|| {
            n = (n + 7919) % KEPT;
            store.message(ORG, id(n)).unwrap().unwrap()
        });
    });
    committer.stop();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = codec, groups, lookups
}
criterion_main!(benches);
