//! Rates, slots, lanes and room in memory.

use std::time::Duration;

use actors::faults::Fault;
use actors::{AcceptError, Kind, News};
use domain::{MessageId, Status};
use futures_util::future::join_all;
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

#[tokio::test(start_paused = true)]
async fn where_there_is_room_for_few_a_slow_number_does_not_keep_out_another_of_its_organisation() {
    let world = World::with(|settings| settings.limits.max_resident_in_all = 1).await;
    world.put("acme", json!([sender_at("1001", 1), sender_at("1002", 80)])).await.unwrap();
    let acme = org_id("acme");
    let slow = world.post_many(&acme, 60, json!({"from": "1001", "priority": "HIGH"})).await;
    let fast = world.post_many(&acme, 12, json!({"from": "1002"})).await;
    world.all_until(&acme, &fast, Status::Sent, 10 * SECOND).await;
    world.all_until(&acme, &slow, Status::Sent, 2 * MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_room_of_all_each_organisation_still_gets_on() {
    let world = World::with(|settings| settings.limits.max_resident_in_all = 10).await;
    let orgs = ["a", "b", "c", "d"];
    world.provider.always(Say::Accept, Duration::from_millis(20));
    let mut ids = Vec::new();
    for (org, number) in orgs.iter().zip(["1", "2", "3", "4"]) {
        world.put(org, json!([sender(number)])).await.unwrap();
        ids.extend(world.post_many(&org_id(org), 100, json!({})).await.into_iter().map(|id| (*org, id)));
    }
    let mut most = 0;
    eventually("all sent", MINUTE, || {
        most = most.max(world.tree().counters["resident"].as_u64().unwrap());
        ids.iter().all(|(org, id)| world.status(&org_id(org), *id) == Status::Sent).then_some(())
    })
    .await;
    let floor = u64::try_from(orgs.len() * actors::Limits::MIN_RESIDENT).unwrap();
    assert!(most <= 10 + floor, "{most} at once");
    eventually("nobody left", SECOND, || (world.tree().counters["resident"] == 0).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn while_requests_wait_long_only_a_few_more_are_let_in_until_it_goes_fast_again() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.outbox.faults().arm("/root", Kind::Org, "accepting a message", Fault::Stall(SECOND / 20), 400);
    let burst = async || {
        let answers = join_all((0..200).map(|_| world.try_post(&acme, json!({})))).await;
        answers.iter().filter(|answer| answer.is_ok()).count()
    };
    assert_eq!(burst().await, 200, "nobody knew that it would take long");
    assert_eq!(burst().await, actors::Limits::ALWAYS_ACCEPTING);
    // Whose own actor is quick has not to wait for the others.
    world.put("other", json!([sender("2001")])).await.unwrap();
    let other = org_id("other");
    let few = join_all((0..actors::Limits::ALWAYS_ACCEPTING_OF_EACH).map(|_| world.try_post(&other, json!({}))));
    let (taken, few) = tokio::join!(burst(), few);
    assert_eq!(taken, actors::Limits::ALWAYS_ACCEPTING);
    assert!(few.iter().all(Result::is_ok), "{few:?}");
    world.outbox.faults().arm("/root", Kind::Org, "accepting a message", Fault::Stall(SECOND / 1000), 64);
    burst().await;
    assert_eq!(burst().await, 200, "it goes fast again");
}

#[tokio::test(start_paused = true)]
async fn requests_that_find_too_many_waiting_are_turned_away_and_take_nothing_with_them() {
    let world = World::with(|settings| {
        settings.limits.max_accepting = 4;
        settings.limits.max_accepting_in_all = 6;
        settings.limits.max_asking = 3;
    })
    .await;
    let acme = world.acme().await;
    world.put("other", json!([sender("2001")])).await.unwrap();
    let other = org_id("other");
    // An actor that does not get on: whatever is asked of it waits.
    for path in ["/root/org:acme", "/root/org:other"] {
        let sorts = ["accepting a message", "recording receipts"];
        let stall = Fault::Stall(SECOND);
        sorts.into_iter().for_each(|what| world.outbox.faults().arm(path, Kind::Org, what, stall, 1));
        let org = if path.ends_with("acme") { &acme } else { &other };
        let posts = join_all((0..10).map(|_| world.try_post(org, json!({})))).await;
        let (taken, refused): (Vec<_>, Vec<_>) = posts.into_iter().partition(Result::is_ok);
        assert_eq!(taken.len(), 4, "per organisation");
        assert!(refused.iter().all(|refused| matches!(refused, Err(AcceptError::Overloaded))));
        let webhooks = join_all((0..10).map(|_| world.outbox.webhook(org, News::default()))).await;
        assert_eq!(webhooks.iter().filter(|answer| answer.is_ok()).count(), 3);
    }
    world.outbox.faults().arm("/root", Kind::Org, "accepting a message", Fault::Stall(SECOND), 2);
    let both = (0..10).map(|n| world.try_post(if n % 2 == 0 { &acme } else { &other }, json!({})));
    let taken = join_all(both).await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken, 6, "in all");
    assert!(world.try_post(&acme, json!({})).await.is_ok(), "there is room again");
}
