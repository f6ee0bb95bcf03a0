//! Messages that wait for something beyond them: what it costs them, and how it ends.

use std::time::Duration;

use domain::audit::Fact;
use domain::lifecycle::Event::{DueNow, OutcomeTimeout, Requeue, SendPermit, WindowClosed};
use domain::lifecycle::Ignored::{NotRetryable, Overtaken, TooEarly, UnknownAttempt};
use domain::lifecycle::{Decision, Event};
use domain::outcome::Class::{Blocked, Deferred, Permanent, Throttled, Transient};
use domain::outcome::Scope::{Number, Pair, Template};
use domain::retry::RetryPolicy;
use domain::state::Status::{Delivered, Failed, Queued, Sent};
use domain::{AttemptNo, AttemptStatus, FailureCode, OurCode, Wait};

use crate::given::*;

/// The numbers of the attempts that are kept.
fn kept(message: &Given) -> Vec<u16> {
    message.state.attempts.iter().map(|attempt| attempt.no.0).collect()
}

/// Makes attempt `no`, which Meta refuses because the token has expired.
fn refused_for_its_token(message: Given, no: u16) -> Given {
    message.on(SendPermit).on(refused_for(no, Blocked, Number))
}

#[test]
fn five_hundred_refusals_by_an_expired_token_charge_nothing_and_keep_one_attempt() {
    let mut message = queued();
    for no in 1..=500 {
        message = refused_for_its_token(message.later(MINUTE), no);
        assert_eq!((message.status(), kept(&message)), (Queued, vec![no]));
        assert_eq!((message.state.attempt_count(), message.state.attempts[0].charged), (0, false));
        assert_eq!(message.state.next_retry_at(), None, "nobody knows when its sender is repaired");
    }
    assert_eq!(message.state.failure.as_ref().unwrap().code, FailureCode::Meta(131_000), "it says what it waits for");
    let repaired = message.on(SendPermit).on(accepted(501));
    assert_eq!((repaired.status(), repaired.state.attempt_count(), kept(&repaired)), (Sent, 1, vec![500, 501]));
}

#[test]
fn a_throttled_message_keeps_its_budget_and_its_place_in_the_schedule() {
    let mut message = queued();
    let (mut waits, mut no) = (Vec::new(), 0);
    while let Some(due) = message.state.due() {
        waits.push(due.since(message.now).as_secs());
        message = message.on(SendPermit);
        no += 1;
        message = message.on(refused_for(no, Throttled, Pair));
        assert_eq!(message.state.due(), Some(message.now), "it is its ProviderActor that holds it");
        message = message.on(postpone_for(4, Wait::Pair)).on(SendPermit);
        no += 1;
        message = message.on(refused(no, Transient));
    }
    assert_eq!(waits, [0, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR]);
    assert_eq!((message.status(), message.state.attempt_count()), (Failed, RetryPolicy::default().max_attempts()));
    assert_eq!(kept(&message), (1..=12).collect::<Vec<_>>(), "each tells something that the others do not");
}

#[test]
fn what_meta_holds_back_is_tried_once_more_a_day_later_and_then_fails() {
    let by_answer = |message: Given, no| message.on(SendPermit).on(refused(no, Deferred));
    let by_receipt =
        |message: Given, no| message.on(SendPermit).on(accepted(no)).later(4).on(failed_receipt(no, Deferred));
    for refuse in [by_answer, by_receipt] {
        let waiting = refuse(queued(), 1);
        assert_eq!((waiting.status(), waiting.state.wait, waiting.state.attempt_count()), (Queued, Wait::Deferred, 0));
        let day = Duration::from_secs(24 * HOUR);
        assert_eq!(waiting.state.due(), Some(waiting.now.after(day)));
        assert_eq!(waiting.state.next_retry_at(), waiting.state.due());
        let early = waiting.clone().later(24 * HOUR - 1);
        assert_eq!(early.decide(&SendPermit), Decision::Ignore(TooEarly));
        assert_eq!(early.decide(&DueNow), Decision::Ignore(Overtaken), "no news of ours makes it sooner");
        let ended = refuse(waiting, 2);
        assert_eq!((ended.status(), ended.state.due(), ended.state.attempt_count()), (Failed, None, 1));
    }
}

#[test]
fn other_errors_in_between_do_not_give_a_held_back_message_a_third_day() {
    let message = deferred_try().on(refused(2, Transient)).on(SendPermit).on(refused(3, Deferred));
    assert_eq!((message.status(), message.state.attempt_count()), (Failed, 2));
}

#[test]
fn a_person_who_queues_it_again_gives_a_held_back_message_another_day() {
    let message = deferred_try().on(refused(2, Deferred)).on(Requeue).on(SendPermit).on(refused(3, Deferred));
    assert_eq!((message.status(), message.state.wait), (Queued, Wait::Deferred));
    assert_eq!(message.on(SendPermit).on(refused(4, Deferred)).status(), Failed);
}

#[test]
fn a_message_whose_template_is_repaired_early_goes_at_once() {
    let refused = sending().on(refused_for(1, Blocked, Template));
    assert_eq!((refused.state.wait, refused.state.due()), (Wait::Template, Some(START)));
    let held = refused.on(postpone_for(6 * HOUR, Wait::Template)).later(HOUR);
    assert_eq!(held.decide(&SendPermit), Decision::Ignore(TooEarly));
    let released = held.on(DueNow);
    assert_eq!(released.state.due(), Some(released.now));
    let sent = released.on(SendPermit).on(accepted(2));
    assert_eq!((sent.now, sent.status()), (START.after(Duration::from_secs(HOUR)), Sent));
}

#[test]
fn a_held_message_expires_on_time() {
    let waiting = expiring_in(HOUR).on(SendPermit).on(refused_for(1, Blocked, Template));
    let held = waiting.on(postpone_for(6 * HOUR, Wait::Template));
    assert_eq!((held.state.due(), held.state.wait), (held.message.expires_at, Wait::Template));
    let early = held.clone().later(HOUR - 1);
    assert_eq!(early.decide(&Event::Expiry), Decision::Ignore(TooEarly));
    let ended = held.later(HOUR).on(Event::Expiry);
    assert_eq!((ended.status(), ended.state.attempt_count(), ended.state.attempts.len()), (Failed, 0, 1));
    let failure = ended.state.failure.unwrap();
    assert_eq!((failure.code, failure.message.contains("131000")), (FailureCode::Ours(OurCode::Expired), true));
}

#[test]
fn holds_and_releases_leave_no_trace_but_the_wait() {
    for (given, event) in
        [(retrying(), postpone_for(MINUTE, Wait::Template)), (postponed_by(Wait::Pair).later(MINUTE), DueNow)]
    {
        let Decision::Move(step) = given.decide(&event) else { panic!("nothing happens") };
        assert_eq!((step.call, &step.facts[..]), (None, &[][..]));
        assert_eq!((&step.next.attempts, &step.next.failure), (&given.state.attempts, &given.state.failure));
    }
}

#[test]
fn a_message_that_is_postponed_says_why_and_until_when() {
    let given = expiring_in(HOUR).on(SendPermit);
    let Decision::Move(step) = given.decide(&refused(1, Deferred)) else { panic!("nothing happens") };
    let [Fact::Postponed { attempt, failure, due }] = &step.facts[..] else { panic!("{:?}", step.facts) };
    let code = &FailureCode::Meta(131_000);
    assert_eq!((*attempt, &failure.code, Some(*due)), (AttemptNo(1), code, given.message.expires_at));
}

#[test]
fn probes_of_what_does_not_work_are_told_once() {
    let facts = |given: &Given, event: &Event| match given.decide(event) {
        Decision::Move(step) => step.facts.len(),
        Decision::Ignore(ignored) => panic!("{ignored:?}"),
    };
    for refuse in [unreachable as fn(u16) -> Event, |no| refused_for(no, Throttled, Number), |no| refused(no, Blocked)]
    {
        let mut given = queued();
        for no in 1..=5 {
            given = given.on(SendPermit);
            assert_eq!(facts(&given, &refuse(no)), usize::from(no == 1), "{no}");
            given = given.on(refuse(no));
        }
        assert_eq!((given.state.attempt_count(), given.state.attempts.len()), (0, 1));
    }
}

#[test]
fn a_receipt_finds_its_attempt_by_number_after_others_are_gone() {
    let message = (2..=40).fold(resending(), refused_for_its_token);
    assert_eq!((kept(&message), message.state.attempt_count()), (vec![1, 40], 1));
    assert_eq!(message.decide(&delivered_receipt(2)), Decision::Ignore(UnknownAttempt));
    for no in [1, 40] {
        let delivered = message.clone().on(delivered_receipt(no));
        let attempt = delivered.state.attempt(AttemptNo(no)).unwrap();
        assert_eq!((delivered.status(), attempt.status), (Delivered, AttemptStatus::Accepted));
        assert_eq!(delivered.state.provider_id(), Some(&wamid(no)));
    }
    let late = message.on(accepted(1));
    assert_eq!((late.status(), late.state.provider_id()), (Sent, Some(&wamid(1))));
}

#[test]
fn the_number_of_an_attempt_that_is_gone_is_not_given_again() {
    let message = refused_for_its_token(refused_for_its_token(queued(), 1), 2).on(SendPermit);
    assert_eq!((kept(&message), message.state.latest()), (vec![2, 3], Some(AttemptNo(3))));
}

#[test]
fn a_failed_receipt_for_its_sender_queues_a_sent_message_again_and_keeps_the_attempt_that_was_accepted() {
    let queued = sent().later(4).on(failed_receipt_for(1, Blocked, Number));
    let shown = (queued.status(), queued.state.wait, queued.state.due(), queued.state.sent_at);
    assert_eq!(shown, (Queued, Wait::Sender, Some(queued.now), None));
    assert_eq!((queued.state.attempt_count(), queued.state.next_retry_at()), (0, None));
    let message = (2..=40).fold(queued, refused_for_its_token);
    assert_eq!((kept(&message), message.state.attempt_count()), (vec![1, 40], 0));
    let accepted_once = message.state.attempt(AttemptNo(1)).unwrap();
    assert_eq!((accepted_once.status, &accepted_once.provider_id), (AttemptStatus::Failed, &Some(wamid(1))));
    assert_eq!(message.clone().on(delivered_receipt(1)).status(), Delivered);
    assert_eq!(message.on(SendPermit).on(accepted(41)).state.attempt_count(), 1);
}

#[test]
fn a_message_to_a_recipient_who_has_not_written_lately_fails_before_any_call() {
    let ended = queued().on(WindowClosed);
    assert_eq!((ended.status(), ended.state.due(), ended.state.attempts.len()), (Failed, None, 0));
    assert_eq!(ended.state.failure.as_ref().unwrap().code, FailureCode::Ours(OurCode::WindowClosed));
    let again = ended.later(HOUR).on(Requeue).on(SendPermit);
    assert_eq!((again.state.latest(), again.state.attempt_count()), (Some(AttemptNo(1)), 1));
}

#[test]
fn a_window_that_closes_between_attempts_is_no_attempts_fault() {
    let given = retrying();
    let Decision::Move(step) = given.decide(&WindowClosed) else { panic!("nothing happens") };
    assert!(matches!(&step.facts[..], [Fact::Failed { attempt: None, .. }]));
    assert_eq!(step.next.attempts, given.state.attempts);
}

#[test]
fn a_message_that_meta_takes_and_fails_over_and_over_ends_after_two_hundred_attempts() {
    let mut message = queued();
    for no in 1..=200 {
        assert_eq!(message.status(), Queued);
        message = message.on(SendPermit).on(accepted(no)).on(failed_receipt_for(no, Throttled, Number));
    }
    assert_eq!((message.status(), message.state.attempts.len(), message.state.attempt_count()), (Failed, 200, 0));
    assert_eq!(message.decide(&Requeue), Decision::Ignore(NotRetryable), "nor does a person try it again");
    assert_eq!(message.on(delivered_receipt(7)).status(), Delivered);
}

#[test]
fn a_message_whose_attempts_use_up_all_numbers_ends_before_one_is_used_twice() {
    let message = (1..u16::MAX).fold(queued(), refused_for_its_token);
    assert_eq!((message.status(), kept(&message)), (Queued, vec![u16::MAX - 1]));
    let last = message.on(SendPermit);
    for ended in [
        last.clone().on(refused_for(u16::MAX, Blocked, Number)),
        last.clone().on(refused(u16::MAX, Transient)),
        last.on(OutcomeTimeout),
    ] {
        assert_eq!((ended.status(), ended.state.latest()), (Failed, Some(AttemptNo(u16::MAX))));
        assert_eq!(ended.decide(&Requeue), Decision::Ignore(NotRetryable));
    }
}

#[test]
fn an_attempt_of_an_earlier_budget_that_is_not_charged_after_all_leaves_the_schedule_in_order() {
    let message = holding()
        .on(SendPermit)
        .on(OutcomeTimeout)
        .on(Requeue)
        .on(accepted(1))
        .on(failed_receipt_for(1, Blocked, Number));
    assert_eq!((message.state.attempt_count(), message.state.budget_start), (0, 0));
    let retried = message.on(SendPermit).on(refused(2, Transient));
    assert_eq!(retried.state.due(), Some(retried.now.after(Duration::from_secs(MINUTE))));
}

#[test]
fn a_message_whose_other_attempts_have_used_up_its_budget_does_not_wait_for_one_more() {
    let mut message = sending().on(refused(1, Throttled));
    for no in 2..7 {
        message = message.on(SendPermit).on(refused(no, Transient));
    }
    let sent = message.on(SendPermit).on(sent_receipt(1)).on(refused(7, Transient));
    assert_eq!((sent.status(), sent.state.attempt_count()), (Sent, 6));
    let ended = sent.on(failed_receipt(1, Throttled));
    assert_eq!((ended.status(), ended.state.attempt_count(), ended.state.max_attempts), (Failed, 6, 6));
}

#[test]
fn a_refusal_that_no_repair_helps_ends_a_postponed_message() {
    let ended = refused_for_its_token(queued(), 1).on(SendPermit).on(refused(2, Permanent));
    assert_eq!((ended.status(), kept(&ended), ended.state.attempt_count()), (Failed, vec![1, 2], 1));
}
