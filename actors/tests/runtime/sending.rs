//! From accepted to sent: intents, retries, waiting, expiry, lost answers.

use std::time::Duration;

use actors::Kind;
use actors::faults::Fault;
use domain::message::OnUnknown;
use domain::{AttemptStatus, Phase, Status};
use serde_json::json;

use crate::provider::{Say, wamid};
use crate::support::{HOUR, MINUTE, SECOND, World, attempt, pass};

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_at_once_and_its_intent_is_in_the_store_when_the_provider_is_called() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    let state = world.until(&acme, id, Status::Sent, SECOND).await;

    let calls = world.provider.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].from.as_str(), calls[0].token.as_str()), ("1001", "token-1001"));
    assert_eq!(calls[0].attempt, attempt(id, 1));
    assert_eq!(calls[0].at, Duration::ZERO);
    let intent = calls[0].stored.as_ref().unwrap();
    assert_eq!(intent.phase.status(), Status::Sending);
    assert_eq!(intent.attempts.len(), 1);
    assert_eq!(intent.attempts[0].status, AttemptStatus::Sending);
    assert_eq!(state.provider_id(), Some(&wamid(attempt(id, 1))));
    assert_eq!(world.store.responses(world.org_no(&acme), id).unwrap().len(), 1, "the answer is kept");
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_intent_is_durable_does_not_wait_for_what_else_its_organisation_has_to_do() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.outbox.faults().arm("/root", Kind::Org, "recording a step", Fault::Stall(SECOND), 1);
    let id = world.post(&acme, json!({})).await;
    // After the step that records the intent, before its commit comes back.
    world.outbox.faults().arm("/root", Kind::Org, "recording receipts", Fault::Stall(MINUTE), 1);
    world.receive(&acme, Vec::new()).await;
    assert_eq!(world.provider.calls()[0].at, SECOND);
    world.until(&acme, id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn retries_follow_the_schedule_for_seven_hours_and_twenty_one_minutes_and_then_it_is_failed() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(131000), Duration::ZERO);
    let id = world.post(&acme, json!({})).await;
    let state = world.until(&acme, id, Status::Failed, 8 * HOUR).await;

    let times: Vec<_> = world.provider.calls().iter().map(|call| call.at.as_secs()).collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(times[0], 0);
    assert_eq!(gaps, [60, 300, 900, 3600, 21_600]);
    assert_eq!(times[5], 7 * 3600 + 21 * 60);
    assert_eq!(state.attempts.len(), 6);
    assert_eq!(state.failure.unwrap().code.to_string(), "131000");
    pass(24 * HOUR).await;
    assert_eq!(world.provider.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_refusal_ends_it_at_the_first_attempt() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131026)]);
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Failed, SECOND).await;
    pass(24 * HOUR).await;
    assert_eq!(world.provider.count(), 1);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_is_tried_again_at_once_and_charges_nothing() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::NotSent]);
    let id = world.post(&acme, json!({})).await;
    let state = world.until(&acme, id, Status::Sent, SECOND).await;
    assert_eq!((world.provider.count(), state.attempt_count()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_long_has_no_actor_and_is_woken_by_the_index_on_time() {
    let world = World::with(|settings| settings.passivate_after = Duration::from_secs(90)).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000), Say::Refuse(131000)]);
    let id = world.post(&acme, json!({})).await;
    pass(30 * SECOND).await;
    assert_eq!(world.actors(&acme), [id.to_string()], "it waits one minute, with its own timer");
    pass(2 * MINUTE).await;
    assert_eq!(world.provider.count(), 2);
    assert!(world.actors(&acme).is_empty(), "it waits five minutes, without an actor");
    world.until(&acme, id, Status::Sent, HOUR).await;
    assert_eq!(world.provider.calls()[2].at, 6 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_sent_before_its_send_at() {
    let world = World::new().await;
    let acme = world.acme().await;
    let at = Duration::from_secs(7200);
    let late = world.post(&acme, json!({"sendAt": World::time(2 * at)})).await;
    let id = world.post(&acme, json!({"sendAt": World::time(at)})).await;
    world.nobody_left(&acme).await;
    world.until(&acme, id, Status::Sent, 3 * HOUR).await;
    world.until(&acme, late, Status::Sent, 3 * HOUR).await;
    let times: Vec<_> = world.provider.calls().iter().map(|call| call.at).collect();
    assert_eq!(times, [at, 2 * at]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_a_retry_ends_when_it_expires() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(131000), Duration::ZERO);
    let id = world.post(&acme, json!({"expiresAt": World::time(3 * MINUTE)})).await;
    let state = world.until(&acme, id, Status::Failed, HOUR).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "EXPIRED");
    assert_eq!(world.elapsed().as_secs(), 180);
    assert_eq!(world.provider.count(), 2);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_its_turn_ends_when_it_expires() {
    let world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 30 * SECOND);
    let slow = world.post(&acme, json!({})).await;
    let id = world.post(&acme, json!({"expiresAt": World::time(10 * SECOND)})).await;
    let next = world.post(&acme, json!({})).await;
    let state = world.until(&acme, id, Status::Failed, MINUTE).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "EXPIRED");
    assert_eq!(world.elapsed().as_secs(), 10);
    world.until(&acme, slow, Status::Sent, MINUTE).await;
    world.until(&acme, next, Status::Sent, MINUTE).await;
    assert_eq!(world.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_no_known_outcome_waits_and_is_then_sent_again() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Unknown]);
    let id = world.post(&acme, json!({})).await;
    pass(9 * MINUTE).await;
    let state = world.state(&acme, id);
    assert!(matches!(state.phase, Phase::Sending { .. }));
    assert_eq!(state.attempts[0].status, AttemptStatus::Unknown);
    assert!(world.actors(&acme).is_empty());
    let state = world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!(world.provider.calls()[1].at, 10 * MINUTE);
    assert_eq!(state.attempts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_no_known_outcome_is_held_where_the_message_or_the_operator_says_so() {
    let world = World::with(|settings| settings.policy.on_unknown = OnUnknown::Hold).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Unknown, Say::Unknown]);
    let held = world.post(&acme, json!({})).await;
    let resent = world.post(&acme, json!({"onUnknown": "RESEND"})).await;
    let state = world.until(&acme, held, Status::Failed, 11 * MINUTE).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "OUTCOME_UNKNOWN");
    assert_eq!(world.elapsed().as_secs(), 600);
    world.until(&acme, resent, Status::Sent, MINUTE).await;
    pass(24 * HOUR).await;
    assert_eq!(world.provider.count(), 3);
}
