//! Each invariant is broken once, and found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::time::Duration;

use domain::intake::NewMessage;
use domain::invariants::{Violation, check, check_call, check_step};
use domain::lifecycle::{Decision, Event, Move, Policy, decide};
use domain::outcome::Outcome;
use domain::receipt::{Receipt, ReceiptKind, Receipts};
use domain::retry::RetryPolicy;
use domain::{
    Attempt, AttemptNo, AttemptStatus, Failure, Message, MessageId, OnUnknown, Phase, ProviderId, SenderNo, State,
    Timestamp,
};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const LATER: Timestamp = Timestamp::from_secs(1_767_225_700);
const FIRST: AttemptNo = AttemptNo(1);

fn message() -> Message {
    let body = serde_json::json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
    let new = NewMessage::parse(body.as_object().unwrap(), None, NOW).unwrap();
    let message = new.into_message(MessageId::from_bytes([7; 16]), "1065".parse().unwrap(), SenderNo(0), NOW);
    Message { expires_at: Some(LATER), ..message }
}

fn policy() -> Policy {
    Policy { retry: RetryPolicy::default(), stale_after: Duration::from_secs(60), on_unknown: OnUnknown::Resend }
}

fn step(state: &State, event: &Event) -> Move {
    match decide(&message(), state, event, &policy(), NOW, 0.0) {
        Decision::Move(step) => *step,
        Decision::Ignore(reason) => panic!("{event:?} is ignored: {reason:?}"),
    }
}

fn wamid() -> ProviderId {
    ProviderId::new("wamid.1")
}

fn receipt(kind: ReceiptKind) -> Event {
    let receipt = Receipt { provider_id: wamid(), attempt: None, kind, at: NOW, error: None, pricing: None };
    Event::Receipt { attempt: FIRST, receipt: Box::new(receipt) }
}

fn queued() -> State {
    State::accepted(NOW, 6, NOW)
}

fn after(events: &[Event]) -> State {
    events.iter().fold(queued(), |state, event| step(&state, event).next)
}

fn sending() -> State {
    after(&[Event::SendPermit])
}

fn sent() -> State {
    after(&[Event::SendPermit, Event::Settled { attempt: FIRST, outcome: Outcome::Accepted(wamid()), wait: None }])
}

fn read() -> State {
    after(&[Event::SendPermit, receipt(ReceiptKind::Read)])
}

/// An attempt that Meta refused for no fault of its message.
fn refused(no: u16) -> Attempt {
    Attempt {
        charged: false,
        status: AttemptStatus::Failed,
        finished_at: Some(NOW),
        failure: Some(Failure::meta(190, "token")),
        ..Attempt::begun(AttemptNo(no), NOW)
    }
}

fn bent(mut state: State, bend: impl FnOnce(&mut State)) -> State {
    assert_eq!(check(&message(), &state), Ok(()));
    bend(&mut state);
    state
}

#[test]
fn a_state_that_cannot_be_is_told_by_the_rule_that_it_breaks() {
    let restored = || after(&[Event::Restored]);
    let cancelled = || after(&[Event::Cancel]);
    let rows = [
        (bent(restored(), |it| it.phase = Phase::Queued { due: NOW }), Violation::HeldButDue),
        (bent(queued(), |it| it.phase = Phase::Queued { due: Timestamp::MAX }), Violation::WaitsTooLong),
        (bent(queued(), |it| it.max_attempts = 0), Violation::WaitsInVain),
        (bent(queued(), |it| it.phase = Phase::Sending { due: NOW }), Violation::SendWithoutIntent),
        (bent(sent(), |it| it.phase = Phase::Sending { due: NOW }), Violation::SendWithoutIntent),
        (bent(sent(), |it| it.max_attempts = 0), Violation::TooManyAttempts),
        (bent(sent(), |it| it.budget_start = 2), Violation::Budget),
        (bent(sent(), |it| it.attempts[0].no = AttemptNo(0)), Violation::Numbers),
        (bent(sent(), |it| it.attempts.push(it.attempts[0].clone())), Violation::Numbers),
        (bent(sending(), |it| it.attempts[0].finished_at = Some(NOW)), Violation::Attempt),
        (bent(sent(), |it| it.attempts[0].provider_id = None), Violation::Attempt),
        (bent(queued(), |it| it.attempts = vec![Attempt { failure: None, ..refused(1) }]), Violation::Attempt),
        (bent(queued(), |it| it.attempts = vec![refused(1), refused(2)]), Violation::Verbose),
        (bent(sent(), |it| it.attempts.clear()), Violation::Unproved),
        (bent(sent(), |it| it.phase = Phase::Delivered), Violation::Unproved),
        (bent(read(), |it| it.attempts[0].receipts = Receipts::default()), Violation::Unproved),
        (bent(queued(), |it| it.phase = Phase::Failed), Violation::FailedWithoutReason),
        (bent(sent(), |it| it.failure = Some(Failure::meta(131_000, ""))), Violation::SentWithError),
        (bent(sent(), |it| it.sent_at = None), Violation::Times),
        (bent(cancelled(), |it| it.sent_at = Some(NOW)), Violation::Times),
        (bent(read(), |it| it.sent_at = Some(LATER)), Violation::Times),
        (bent(sent(), |it| it.trail = vec![3, 3]), Violation::Trail),
    ];
    for (n, (state, violation)) in rows.into_iter().enumerate() {
        assert_eq!(check(&message(), &state), Err(violation), "row {n}: {state:?}");
    }
}

#[test]
fn a_step_that_cannot_be_is_told_by_the_rule_that_it_breaks() {
    let failed = || after(&[Event::SendPermit, receipt(ReceiptKind::Failed)]);
    let called_back = || after(&[Event::Cancel]);
    let permit = || step(&queued(), &Event::SendPermit);
    let unchanged = |state: State| Move {
        next: State { version: state.version + 1, ..state },
        facts: Vec::new(),
        call: None,
        opt_out: None,
    };
    let queue = |state: State| unchanged(State { phase: Phase::Queued { due: NOW }, failure: None, ..state });
    let rows = [
        (queued(), unchanged(State { version: 7, ..queued() }), Violation::Version),
        (queued(), unchanged(State { max_attempts: 7, ..queued() }), Violation::TooManyAttempts),
        (sent(), queue(State { sent_at: None, ..sent() }), Violation::Backwards),
        (read(), unchanged(State { sent_at: Some(NOW), ..sent() }), Violation::Backwards),
        (called_back(), queue(called_back()), Violation::Backwards),
        (sent(), unchanged(State { sent_at: Some(LATER), ..sent() }), Violation::Later),
        (queued(), Move { call: None, ..permit() }, Violation::Call),
        (State { phase: Phase::Queued { due: LATER }, ..queued() }, permit(), Violation::Call),
        (failed(), permit(), Violation::Call),
        (failed(), unchanged(State { attempts: Vec::new(), ..failed() }), Violation::Forgotten),
        (failed(), unchanged(State { attempts: vec![refused(1)], ..failed() }), Violation::Forgotten),
        (
            State { attempts: vec![refused(1)], ..queued() },
            unchanged(State { attempts: vec![Attempt { charged: true, ..refused(1) }], ..queued() }),
            Violation::Charged,
        ),
    ];
    for (n, (before, mut step, violation)) in rows.into_iter().enumerate() {
        if violation != Violation::Version {
            step.next.version = before.version + 1;
        }
        assert_eq!(check_step(&message(), &before, &step), Err(violation), "row {n}: {before:?} {step:?}");
    }
}

#[test]
fn only_an_attempt_whose_intent_is_recorded_may_be_called() {
    assert_eq!(check_call(&sending(), FIRST), Ok(()));
    for (state, no) in [(queued(), FIRST), (sent(), FIRST), (sending(), AttemptNo(2))] {
        assert_eq!(check_call(&state, no), Err(Violation::SendWithoutIntent), "{state:?}");
    }
}
