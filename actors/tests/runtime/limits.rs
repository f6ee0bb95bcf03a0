//! Rates, slots, lanes and room in memory.

use std::time::Duration;

use domain::{MessageId, Status};
use serde_json::json;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, World, eventually, org_id, pass, sender, sender_at};

#[tokio::test(start_paused = true)]
async fn a_number_sends_at_its_rate_and_not_slower() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 10)])).await.unwrap();
    let acme = org_id("acme");
    let ids = world.post_many(&acme, 100, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, MINUTE).await;
    let times: Vec<_> = world.provider.calls().iter().map(|call| call.at).collect();
    for (n, at) in times.iter().enumerate() {
        let earliest = Duration::from_millis(100) * u32::try_from(n).unwrap();
        assert!(*at + Duration::from_millis(1) >= earliest, "call {n} came at {at:?}");
    }
    assert!(times[99] < Duration::from_millis(10_200), "{:?}", times[99]);
}

#[tokio::test(start_paused = true)]
async fn two_numbers_do_not_slow_each_other() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 1), sender_at("1002", 100)])).await.unwrap();
    let acme = org_id("acme");
    let slow = world.post_many(&acme, 20, json!({"from": "1001"})).await;
    let fast = world.post_many(&acme, 100, json!({"from": "1002"})).await;
    world.all_until(&acme, &fast, Status::Sent, 2 * SECOND).await;
    world.all_until(&acme, &slow, Status::Sent, MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_under_way_than_allowed() {
    let world = World::with(|settings| settings.max_concurrent = 7).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, SECOND);
    let ids = world.post_many(&acme, 70, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, MINUTE).await;
    assert_eq!(world.provider.most(), 7);
    assert!(world.elapsed() < 12 * SECOND, "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn high_goes_before_normal_before_low() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 1)])).await.unwrap();
    let acme = org_id("acme");
    world.post(&acme, json!({})).await;
    let low = world.post_many(&acme, 5, json!({"priority": "LOW"})).await;
    let normal = world.post_many(&acme, 5, json!({})).await;
    let high = world.post_many(&acme, 5, json!({"priority": "HIGH"})).await;
    world.all_until(&acme, &low, Status::Sent, MINUTE).await;
    let order: Vec<MessageId> = world.provider.calls().iter().skip(1).map(|call| call.attempt.message).collect();
    assert_eq!(order, [high, normal, low].concat());
}

#[tokio::test(start_paused = true)]
async fn never_more_messages_have_an_actor_than_allowed_and_all_are_sent() {
    let world = World::with(|settings| settings.limits.max_resident = 5).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, Duration::from_millis(7));
    let ids = world.post_many(&acme, 200, json!({})).await;
    let mut most = 0;
    eventually("all sent", MINUTE, || {
        most = most.max(world.actors(&acme).len());
        ids.iter().all(|id| world.status(&acme, *id) == Status::Sent).then_some(())
    })
    .await;
    assert_eq!(most, 5);
    assert_eq!(world.provider.count(), 200);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_a_retry_do_not_hold_the_room_of_those_that_are_due() {
    let world = World::with(|settings| settings.limits.max_resident = 5).await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    let acme = org_id("acme");
    world.provider.next(&[Say::Refuse(131000); 5]);
    let waiting = world.post_many(&acme, 5, json!({"from": "1001"})).await;
    pass(SECOND).await;
    let due = world.post_many(&acme, 20, json!({"from": "1002"})).await;
    world.all_until(&acme, &due, Status::Sent, 2 * SECOND).await;
    assert!(world.actors(&acme).len() <= 5);
    world.all_until(&acme, &waiting, Status::Sent, 2 * MINUTE).await;
    let retries: Vec<_> = world.provider.calls().iter().skip(25).map(|call| call.at).collect();
    assert_eq!(retries, [MINUTE; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_is_refused_again_and_again_is_still_tried_on_time() {
    let world = World::with(|settings| settings.limits.max_resident = 5).await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(131000), Duration::from_millis(3));
    let ids = world.post_many(&acme, 50, json!({})).await;
    world.all_until(&acme, &ids, Status::Failed, 8 * HOUR).await;
    assert_eq!(world.provider.count(), 300);
    assert!(world.elapsed() < 7 * HOUR + 21 * MINUTE + 10 * SECOND, "{:?}", world.elapsed());
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_number_with_a_long_backlog_does_not_keep_out_the_messages_of_another() {
    let mut world = World::with(|settings| settings.limits.max_resident = 10).await;
    world.put("acme", json!([sender_at("1001", 1), sender_at("1002", 100)])).await.unwrap();
    let acme = org_id("acme");
    let slow = world.post_many(&acme, 100, json!({"from": "1001"})).await;
    let fast = world.post_many(&acme, 50, json!({"from": "1002"})).await;
    world.all_until(&acme, &fast, Status::Sent, 2 * SECOND).await;
    let urgent = world.post(&acme, json!({"from": "1001", "priority": "HIGH"})).await;
    world.until(&acme, urgent, Status::Sent, 4 * SECOND).await;
    world.restart().await;
    let fast = world.post_many(&acme, 50, json!({"from": "1002"})).await;
    world.all_until(&acme, &fast, Status::Sent, 2 * SECOND).await;
    assert!(world.actors(&acme).len() <= 10);
    world.all_until(&acme, &slow, Status::Sent, 3 * MINUTE).await;
    world.nobody_left(&acme).await;
}
