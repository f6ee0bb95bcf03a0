//! What the table cannot say in a row: lives of several steps, and the data of a step.

use std::time::Duration;

use domain::audit::Fact;
use domain::lifecycle::Decision;
use domain::lifecycle::Event::{Cancel, OutcomeTimeout, Requeue, SendPermit};
use domain::lifecycle::Ignored::{NotCancellable, Overtaken};
use domain::outcome::Class::{Permanent, Transient};
use domain::retry::RetryPolicy;
use domain::state::Status::{Delivered, Failed, Queued, Read, Sending, Sent};
use domain::{AttemptNo, AttemptStatus, FailureCode, OurCode};

use crate::given::*;

const EXPIRED: FailureCode = FailureCode::Ours(OurCode::Expired);

#[test]
fn a_message_that_is_always_refused_ends_as_failed_after_the_printed_schedule() {
    let mut message = queued();
    let mut waits = Vec::new();
    while let Some(due) = message.state.due() {
        waits.push(due.since(message.now).as_secs());
        message = message.on(SendPermit);
        let latest = message.state.latest().unwrap();
        message = message.on(refused(latest.0, Transient));
    }
    assert_eq!(waits, [0, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR]);
    assert_eq!(message.now.since(START).as_secs(), 7 * HOUR + 21 * MINUTE);
    assert_eq!(message.status(), Failed);
    assert_eq!(message.state.attempt_count(), RetryPolicy::default().max_attempts());
    assert_eq!(message.state.failure.unwrap().code, FailureCode::Meta(131_000));
}

#[test]
fn a_manual_retry_gets_a_fresh_budget_and_counts_on() {
    let mut message = last_try().on(refused(6, Transient)).on(Requeue);
    assert_eq!((message.state.budget_start, message.state.max_attempts, &message.state.failure), (6, 12, &None));
    let mut waits = Vec::new();
    for no in 7..=12 {
        waits.push(message.state.due().unwrap().since(message.now).as_secs());
        message = message.on(SendPermit);
        assert_eq!(message.state.latest(), Some(AttemptNo(no)));
        message = message.on(refused(no, Transient));
    }
    assert_eq!(waits, [0, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR]);
    assert_eq!(message.status(), Failed);
}

#[test]
fn read_without_delivered_fills_both_times() {
    let message = sent().later(30).on(read_receipt(1));
    let read_at = Some(message.now);
    assert_eq!(
        (message.state.sent_at, message.state.delivered_at, message.state.read_at),
        (Some(START), read_at, read_at)
    );
    let unsettled = sending().later(30).on(read_receipt(1));
    assert_eq!(unsettled.state.sent_at, read_at, "nothing earlier is known");
}

#[test]
fn a_proof_of_delivery_overrules_the_end_and_clears_its_reason() {
    for ended in [failed(), held(), cancelled(), sent().on(failed_receipt(1, Permanent))] {
        let delivered = ended.on(delivered_receipt(1));
        assert_eq!((delivered.status(), &delivered.state.failure), (Delivered, &None));
        assert_eq!(delivered.state.attempts[0].status, AttemptStatus::Accepted);
        assert_eq!(delivered.state.provider_id(), Some(&wamid(1)));
        assert!(matches!(delivered.decide(&SendPermit), Decision::Ignore(Overtaken)), "and it is not sent again");
    }
}

#[test]
fn failed_after_delivered_is_an_anomaly_that_changes_neither_status_nor_times() {
    let before = delivered();
    let after = before.clone().later(5).on(failed_receipt(1, Permanent));
    let shown = |it: &Given| (it.status(), it.state.sent_at, it.state.delivered_at, it.state.failure.clone());
    assert_eq!(shown(&after), shown(&before));
    assert_eq!(after.state.attempts[0].status, AttemptStatus::Accepted);
}

#[test]
fn a_message_that_a_receipt_ends_or_sends_back_no_longer_counts_as_sent() {
    for class in [Transient, Permanent] {
        let message = sent().on(failed_receipt(1, class));
        let code = message.state.failure.unwrap().code;
        assert_eq!((message.state.sent_at, code), (None, FailureCode::Meta(131_000)));
        assert_eq!(message.state.attempts[0].status, AttemptStatus::Failed);
    }
}

#[test]
fn what_expires_while_it_waits_is_due_at_its_expiry_and_not_later() {
    let waiting =
        expiring_in(HOUR).on(SendPermit).on(not_sent(1)).on(SendPermit).on(not_sent(2)).on(SendPermit).on(not_sent(3));
    assert_eq!(
        waiting.state.due(),
        Some(START.after(Duration::from_secs(6 * MINUTE + 15 * MINUTE))),
        "before it expires"
    );
    let waiting = waiting.on(SendPermit).on(not_sent(4));
    assert_eq!(waiting.state.due(), waiting.message.expires_at, "the next attempt would come after it");
    let ended = waiting.on(SendPermit);
    assert_eq!((ended.status(), ended.state.attempt_count()), (Failed, 4));
    assert_eq!(ended.state.failure.unwrap().code, EXPIRED);
}

#[test]
fn a_retry_after_the_expiry_is_announced_for_the_expiry() {
    let given = expiring_in(9).on(SendPermit);
    let Decision::Move(step) = given.decide(&not_sent(1)) else { panic!("nothing happens") };
    let expires_at = given.message.expires_at;
    assert_eq!((step.next.attempts[0].next_retry_at, step.next.next_retry_at()), (expires_at, expires_at));
    assert!(matches!(&step.facts[..], [Fact::RetryScheduled { due, .. }] if Some(*due) == expires_at));
}

#[test]
fn what_expires_names_the_last_error_if_there_was_one() {
    let expired = |waiting: Given| waiting.on(SendPermit).state.failure.unwrap();
    let never_tried = expired(expiring_in(9).later(9));
    assert_eq!((never_tried.code, never_tried.message.contains("error")), (EXPIRED, false));
    let tried = expired(expiring_in(9).on(SendPermit).on(refused(1, Transient)));
    assert_eq!((tried.code, tried.message.contains("131000")), (EXPIRED, true));
}

#[test]
fn a_time_is_the_earliest_that_fits_what_came() {
    let message = sending().later(50).on(accepted(1)).later(30).on(read_receipt(1));
    assert_eq!(times(&message), [50, 80, 80]);
    let told = |message: Given, event, secs| message.told(event, START.after(Duration::from_secs(secs)));
    let message = told(message, delivered_receipt(1), 60);
    assert_eq!(times(&message), [50, 60, 80]);
    assert_eq!(times(&told(message.clone(), sent_receipt(1), 70)), [50, 60, 80], "never later");
    assert_eq!(times(&told(message, sent_receipt(1), 40)), [40, 60, 80]);
    let started = scheduled_in(MINUTE).on(SendPermit);
    assert_eq!(times(&told(started, read_receipt(1), 59)), [60, 60, 60], "not before it began");
}

/// SENT, DELIVERED and READ, in seconds since the start.
fn times(message: &Given) -> [u64; 3] {
    let state = &message.state;
    [state.sent_at, state.delivered_at, state.read_at].map(|at| at.unwrap().since(START).as_secs())
}

#[test]
fn a_receipt_of_an_earlier_attempt_settles_the_message_while_a_later_one_is_under_way() {
    let sent = second_try().on(sent_receipt(1));
    assert_eq!((sent.status(), sent.state.due()), (Sent, None), "the wait for the later one is over");
    assert_eq!(sent.state.attempts[1].status, AttemptStatus::Sending);
    let closed = sent.on(accepted(2));
    assert_eq!(closed.state.attempts[1].status, AttemptStatus::Accepted);
    assert_eq!(closed.state.provider_id(), Some(&wamid(2)), "each attempt keeps its own id; the latest one's is shown");
    assert_eq!(closed.on(delivered_receipt(1)).on(read_receipt(2)).status(), Read);
}

#[test]
fn of_a_cancel_and_a_turn_exactly_one_wins() {
    let cancelled = queued().on(Cancel);
    assert_eq!(cancelled.decide(&SendPermit), Decision::Ignore(Overtaken));
    let sending = queued().on(SendPermit);
    assert_eq!(sending.decide(&Cancel), Decision::Ignore(NotCancellable));
}

#[test]
fn an_acceptance_that_follows_an_unknown_outcome_ends_the_wait() {
    assert_eq!(unanswered().on(accepted(1)).status(), Sent);
}

#[test]
fn a_message_whose_attempts_have_all_failed_does_not_stay_sent() {
    let message = second_try().on(sent_receipt(1)).on(failed_receipt(1, Permanent)).on(refused(2, Permanent));
    assert_eq!(message.status(), Failed);
}

#[test]
fn a_message_whose_proof_is_withdrawn_waits_for_the_attempt_that_is_under_way() {
    let message = first_sent().later(4).on(failed_receipt(1, Permanent));
    assert_eq!((message.status(), message.state.sent_at), (Sending, None));
    assert_eq!(message.state.due(), Some(message.state.attempts[1].started_at.after(Duration::from_secs(STALE))));
    let timed_out = message.clone().on(OutcomeTimeout);
    assert_eq!((timed_out.status(), timed_out.state.attempts[1].status), (Queued, AttemptStatus::Unknown));
    let lost = message.clone().on(unknown(2)).on(OutcomeTimeout);
    assert_eq!((lost.status(), lost.state.attempts[1].status), (Queued, AttemptStatus::Unknown));
    assert_eq!(message.clone().on(accepted(2)).status(), Sent);
    let retried = message.on(refused(2, Transient));
    assert_eq!((retried.status(), retried.state.sent_at), (Queued, None));
}

#[test]
fn a_failed_receipt_of_another_attempt_than_the_delivered_one_is_no_anomaly() {
    for delivered in [both_sent(), first_sent()].map(|message| message.on(delivered_receipt(1))) {
        let after = delivered.on(failed_receipt(2, Permanent));
        assert_eq!((after.status(), &after.state.failure), (Delivered, &None));
        assert_eq!([0, 1].map(|no| after.state.attempts[no].status), [AttemptStatus::Accepted, AttemptStatus::Failed]);
    }
}

#[test]
fn a_message_queued_again_still_waits_for_its_send_at() {
    let message = scheduled_in(HOUR).on(crash()).on(Requeue);
    assert_eq!(message.state.due(), message.message.send_at);
}

#[test]
fn a_receipt_that_changes_nothing_does_not_erase_why_its_attempt_failed() {
    for message in [refused_by_receipt().on(sent_receipt(1)), failed().on(failed_receipt_without_code(1))] {
        let attempt = &message.state.attempts[0];
        assert_eq!((attempt.status, attempt.failure.is_some()), (AttemptStatus::Failed, true));
    }
}
