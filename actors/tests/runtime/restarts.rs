//! Ends and beginnings: restart, crash, drain.

use std::time::Duration;

use actors::AcceptError;
use domain::receipt::ReceiptKind::Delivered;
use domain::{AttemptStatus, Status};
use serde_json::json;

use crate::provider::{Say, wamid};
use crate::support::{HOUR, MINUTE, SECOND, World, attempt, pass, receipt};

#[tokio::test(start_paused = true)]
async fn after_a_restart_every_message_goes_on_where_it_was() {
    let mut world = World::with(|settings| settings.max_concurrent = 3).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000), Say::Unknown, Say::Never]);
    let waiting = world.post(&acme, json!({})).await;
    let lost = world.post(&acme, json!({})).await;
    let calling = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.provider.always(Say::Never, Duration::ZERO);
    let blockers = world.post_many(&acme, 2, json!({})).await;
    pass(SECOND).await;
    let queued = world.post(&acme, json!({})).await;
    let timed = world.post(&acme, json!({"sendAt": World::time(HOUR)})).await;
    pass(SECOND).await;
    let before = [waiting, lost, calling, queued, timed].map(|id| world.status(&acme, id));
    let is = [Status::Queued, Status::Sending, Status::Sending, Status::Queued, Status::Queued];
    assert_eq!(before, is);
    assert_eq!(world.provider.count(), 5);

    world.restart().await;
    world.provider.always(Say::Accept, Duration::ZERO);
    world.until(&acme, queued, Status::Sent, SECOND).await;
    world.until(&acme, waiting, Status::Sent, MINUTE).await;
    assert_eq!(world.elapsed().as_secs(), 60);
    world.all_until(&acme, &[lost, calling], Status::Sent, 10 * MINUTE).await;
    assert_eq!(world.elapsed().as_secs(), 600);
    world.all_until(&acme, &blockers, Status::Sent, MINUTE).await;
    world.until(&acme, timed, Status::Sent, HOUR).await;
    assert_eq!(world.elapsed().as_secs(), 3600);
    assert_eq!(world.provider.count(), 12);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_between_intent_and_answer_a_receipt_settles_it_without_a_second_send() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let ids = world.post_many(&acme, 2, json!({})).await;
    pass(SECOND).await;
    world.crash().await;
    let named = attempt(ids[0], 1);
    world.receive(&acme, vec![receipt(Delivered, wamid(named), Some(named))]).await;
    assert_eq!(world.status(&acme, ids[0]), Status::Delivered);
    pass(9 * MINUTE).await;
    assert_eq!(world.status(&acme, ids[1]), Status::Sending, "the answer to the old life is lost");
    world.until(&acme, ids[1], Status::Sent, 2 * MINUTE).await;
    assert_eq!(world.provider.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_loses_no_message() {
    for step in 0..40 {
        let mut world = World::with(|settings| settings.max_concurrent = 2).await;
        let acme = world.acme().await;
        world.provider.always(Say::Accept, Duration::from_millis(10));
        world.provider.next(&[Say::Refuse(131000), Say::Accept, Say::Unknown, Say::NotSent]);
        let ids = world.post_many(&acme, 8, json!({})).await;
        pass(Duration::from_millis(2) * step).await;
        world.crash().await;
        world.all_until(&acme, &ids, Status::Sent, HOUR).await;
        world.nobody_left(&acme).await;
        let most = ids.iter().map(|id| world.state(&acme, *id).attempts.len()).max();
        assert!(most <= Some(3), "crash after {step} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_begins_no_send_and_records_those_under_way() {
    let mut world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let under_way = world.post(&acme, json!({})).await;
    let queued = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.outbox.drain();
    assert!(matches!(world.try_post(&acme, json!({})).await, Err(AcceptError::Unavailable)));
    assert_eq!(world.outbox.stop(MINUTE).await, 0);
    assert_eq!(world.elapsed().as_secs(), 10);
    assert_eq!(world.store.state(world.org_no(&acme), under_way).unwrap().unwrap().phase.status(), Status::Sent);
    pass(HOUR).await;
    assert_eq!(world.provider.count(), 1);
    world.restart().await;
    world.until(&acme, queued, Status::Sent, MINUTE).await;
    assert_eq!(world.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_longer_than_its_grace_and_says_what_is_left() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, MINUTE);
    world.post_many(&acme, 2, json!({})).await;
    pass(SECOND).await;
    assert_eq!(world.outbox.stop(10 * SECOND).await, 2);
    assert_eq!(world.elapsed().as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_drain_cuts_off_is_of_unknown_outcome_and_charges_its_message_nothing() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, MINUTE);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    let no = world.org_no(&acme);
    assert_eq!(world.outbox.stop(SECOND).await, 1);
    let state = world.store.state(no, id).unwrap().unwrap();
    assert_eq!((state.phase.status(), state.attempt_count()), (Status::Sending, 0));
    assert_eq!((state.attempts[0].status, state.attempts[0].charged), (AttemptStatus::Unknown, false));
    world.provider.always(Say::Accept, Duration::ZERO);
    world.restart().await;
    let state = world.until(&acme, id, Status::Sent, 10 * MINUTE).await;
    assert_eq!((state.attempts.len(), state.attempt_count()), (2, 1));
}
