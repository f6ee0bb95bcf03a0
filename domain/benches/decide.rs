//! What one decision costs: each step of a message's usual life, and reading a request.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use domain::intake::NewMessage;
use domain::lifecycle::{Decision, Event, Policy, decide};
use domain::outcome::Outcome;
use domain::receipt::{Receipt, ReceiptKind};
use domain::retry::RetryPolicy;
use domain::{AttemptNo, Message, MessageId, OnUnknown, ProviderId, SenderNo, State, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn policy() -> Policy {
    Policy { retry: RetryPolicy::default(), stale_after: Duration::from_secs(600), on_unknown: OnUnknown::Resend }
}

fn request() -> NewMessage {
    let body = serde_json::json!({"dossierId": 456, "to": "+1234567890", "templateCode": "welcome_message",
        "payloadJson": {"language": "en", "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "x".repeat(200)}]}]},
        "idempotencyKey": "unique-123"});
    NewMessage::parse(body.as_object().unwrap(), None, NOW).unwrap()
}

fn message() -> Message {
    request().into_message(MessageId::from_bytes([7; 16]), "1065".parse().unwrap(), SenderNo(0), NOW)
}

fn receipt(kind: ReceiptKind) -> Event {
    let receipt =
        Receipt { provider_id: ProviderId::new("wamid.1"), attempt: None, kind, at: NOW, error: None, pricing: None };
    Event::Receipt { attempt: AttemptNo(1), receipt: Box::new(receipt) }
}

/// Each event of a usual life with the state that it meets.
fn life(message: &Message) -> Vec<(&'static str, State, Event)> {
    let policy = policy();
    let accepted = Outcome::Accepted(ProviderId::new("wamid.1"));
    let events = [
        ("send permit", Event::SendPermit),
        ("settled", Event::Settled { attempt: AttemptNo(1), outcome: accepted, wait: None }),
        ("delivered", receipt(ReceiptKind::Delivered)),
        ("read", receipt(ReceiptKind::Read)),
    ];
    let mut state = State::accepted(NOW, policy.retry.max_attempts(), NOW);
    let mut steps = Vec::new();
    for (name, event) in events {
        steps.push((name, state.clone(), event.clone()));
        if let Decision::Move(step) = decide(message, &state, &event, &policy, NOW, 0.5) {
            state = step.next;
        }
    }
    steps
}

fn decisions(criterion: &mut Criterion) {
    let (message, policy) = (message(), policy());
    let mut group = criterion.benchmark_group("decide");
    for (name, state, event) in life(&message) {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decide(black_box(&message), &state, black_box(&event), &policy, NOW, 0.5));
        });
    }
    group.finish();
}

fn intake(criterion: &mut Criterion) {
    criterion.bench_function("intake/into_message", |bencher| {
        let id = MessageId::from_bytes([7; 16]);
        let from: domain::PhoneNumberId = "1065".parse().unwrap();
        bencher.iter_batched(
            || (request(), from.clone()),
            |(request, from)| request.into_message(id, from, SenderNo(0), NOW),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("intake/parse", |bencher| bencher.iter(request));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = decisions, intake
}
criterion_main!(benches);
