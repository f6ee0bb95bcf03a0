//! Accepting: idempotency, the queue's limit, and what happens when nothing can be kept or sent.

use std::time::Duration;

use actors::AcceptError;
use domain::{MessageId, Status};
use serde_json::json;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, World, org_id, pass};

#[tokio::test(start_paused = true)]
async fn the_same_request_sent_at_once_from_two_sides_creates_one_message() {
    let world = World::new().await;
    let acme = world.acme().await;
    let post = || world.try_post(&acme, json!({"idempotencyKey": "k"}));
    let (a, b, c) = tokio::join!(post(), post(), post());
    let answers = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(answers.each_ref().map(|answer| answer.replayed), [false, true, true]);
    assert!(answers.iter().all(|answer| answer.message.id == answers[0].message.id));
    world.until(&acme, answers[0].message.id, Status::Sent, SECOND).await;
    assert_eq!(world.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_again_finds_its_message_and_another_body_is_refused_also_after_a_restart() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({"idempotencyKey": "k"})).await;
    for life in 0..2 {
        let again = world.try_post(&acme, json!({"idempotencyKey": "k"})).await.unwrap();
        assert!(again.replayed, "life {life}");
        assert_eq!(again.message.id, id);
        let other = world.try_post(&acme, json!({"idempotencyKey": "k", "subject": "another"})).await;
        assert!(matches!(other, Err(AcceptError::KeyReused)));
        world.until(&acme, id, Status::Sent, SECOND).await;
        world.restart().await;
    }
    assert_eq!(world.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_takes_no_more_until_something_leaves_it() {
    let world = World::with(|settings| {
        settings.limits.max_queued = 3;
        settings.max_concurrent = 1;
    })
    .await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, SECOND);
    let first = world.post(&acme, json!({})).await;
    world.until(&acme, first, Status::Sending, SECOND).await;
    world.post_many(&acme, 3, json!({})).await;
    assert!(matches!(world.try_post(&acme, json!({})).await, Err(AcceptError::QueueFull)));
    world.until(&acme, first, Status::Sent, 2 * SECOND).await;
    pass(Duration::from_millis(10)).await;
    assert!(world.try_post(&acme, json!({})).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_must_name_a_sender_where_there_is_not_exactly_one() {
    let world = World::new().await;
    let acme = world.acme().await;
    let wrong = world.try_post(&acme, json!({"from": "999"})).await;
    assert!(matches!(wrong, Err(AcceptError::Invalid(fields)) if fields[0].field == "from"));
    let none = org_id("none");
    world.put("none", json!([])).await.unwrap();
    assert!(matches!(world.try_post(&none, json!({})).await, Err(AcceptError::Invalid(_))));
    assert!(matches!(world.try_post(&org_id("nobody"), json!({})).await, Err(AcceptError::NoSuchOrg)));
}

#[tokio::test(start_paused = true)]
async fn while_sending_is_switched_off_messages_only_queue() {
    let mut world = World::with(|settings| settings.enabled = false).await;
    let acme = world.acme().await;
    let ids = world.post_many(&acme, 3, json!({})).await;
    pass(HOUR).await;
    assert_eq!(world.provider.count(), 0);
    world.all_until(&acme, &ids, Status::Queued, SECOND).await;
    world.settings.enabled = true;
    world.restart().await;
    world.all_until(&acme, &ids, Status::Sent, SECOND).await;
    assert_eq!(world.provider.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn when_the_store_fails_nothing_is_accepted_or_sent_and_nothing_is_lost() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000)]);
    let waiting = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    assert_eq!(world.provider.count(), 1);

    world.backend.fail_writes(true);
    let refused = world.try_post(&acme, json!({"idempotencyKey": "k"})).await;
    assert!(matches!(refused, Err(AcceptError::Unavailable)));
    assert!(world.outbox.trouble().is_some());
    assert!(world.outbox.health().borrow().is_some());
    world.backend.fail_writes(false);
    let still = world.try_post(&acme, json!({"idempotencyKey": "k"})).await;
    assert!(matches!(still, Err(AcceptError::Unavailable)), "until it is opened again");
    pass(HOUR).await;
    assert_eq!(world.provider.count(), 1);

    world.restart().await;
    world.until(&acme, waiting, Status::Sent, SECOND).await;
    let accepted = world.try_post(&acme, json!({"idempotencyKey": "k"})).await.unwrap();
    assert!(!accepted.replayed, "what was refused was not kept");
    world.until(&acme, accepted.message.id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_recorded_does_not_become_a_second_send_before_its_time() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, SECOND);
    let id: MessageId = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sending, SECOND).await;
    world.backend.fail_writes(true);
    pass(MINUTE).await;
    assert_eq!(world.outbox.stop(HOUR).await, 1, "it does not wait for what cannot be recorded");
    assert_eq!(world.elapsed().as_secs(), 60);
    world.restart().await;
    pass(8 * MINUTE).await;
    assert_eq!((world.status(&acme, id), world.provider.count()), (Status::Sending, 1));
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!(world.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_answered_also_when_its_time_has_passed_and_a_new_one_is_refused() {
    let world = World::new().await;
    let acme = world.acme().await;
    let late = json!({"idempotencyKey": "k", "expiresAt": World::time(MINUTE)});
    let id = world.post(&acme, late.clone()).await;
    pass(HOUR).await;
    let again = world.try_post(&acme, late).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.message.id, id);
    let new = world.try_post(&acme, json!({"idempotencyKey": "other", "expiresAt": World::time(MINUTE)})).await;
    assert!(matches!(new, Err(AcceptError::Invalid(fields)) if fields[0].field == "expiresAt"));
}
