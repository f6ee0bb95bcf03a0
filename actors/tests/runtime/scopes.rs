//! What holds for more than one message: pauses, probes, shared limits, held recipients.

use std::time::Duration;

use actors::{News, OrgChange};
use domain::audit::{By, Fact};
use domain::org::{Pause, PausedBy};
use domain::{OrgId, SenderNo, Status};
use serde_json::{Value, json};
use store::search::AuditFilter;
use whatsapp::webhook::parse;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, START, World, eventually, org_id, pass, sender, sender_at};

fn pause_of(world: &World, org: &OrgId, number: &str) -> Option<Pause> {
    let org = world.outbox.directory().org(org).unwrap();
    org.sender(&number.parse().unwrap()).unwrap().paused.clone()
}

async fn until_paused(world: &World, org: &OrgId, number: &str) -> Pause {
    eventually("a pause", SECOND, || pause_of(world, org, number)).await
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_meta_refuses_pauses_and_is_probed_ever_more_rarely() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(190), Duration::ZERO);
    let ids = world.post_many(&acme, 50, json!({})).await;
    let pause = until_paused(&world, &acme, "1001").await;
    assert_eq!(pause.by, PausedBy::Meta);
    assert!(pause.reason.contains("190"), "{}", pause.reason);
    let before = world.provider.count();
    pass(HOUR).await;
    let probes: Vec<u64> = world.provider.calls().iter().skip(before).map(|call| call.at.as_secs()).collect();
    assert_eq!(probes, [30, 90, 210, 450, 930, 1890]);
    assert!(ids.iter().all(|id| world.status(&acme, *id) == Status::Queued));
    assert!(ids.iter().all(|id| world.state(&acme, *id).attempt_count() == 0));

    world.provider.always(Say::Accept, Duration::ZERO);
    world.all_until(&acme, &ids, Status::Sent, HOUR).await;
    assert_eq!(pause_of(&world, &acme, "1001"), None);
    assert!(ids.iter().all(|id| world.state(&acme, *id).attempt_count() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_resumes_at_once_and_late_refusals_of_the_old_one_say_nothing() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(190), 5 * SECOND);
    let late = world.post_many(&acme, 3, json!({})).await;
    eventually("calls under way", SECOND, || (world.provider.count() == 3).then_some(())).await;
    world.provider.always(Say::Refuse(190), Duration::ZERO);
    let first = world.post(&acme, json!({})).await;
    until_paused(&world, &acme, "1001").await;
    let mut repaired = sender("1001");
    repaired["accessToken"] = "another-token".into();
    world.provider.always(Say::Accept, Duration::ZERO);
    world.put("acme", json!([repaired])).await.unwrap();
    world.until(&acme, first, Status::Sent, SECOND).await;
    world.all_until(&acme, &late, Status::Sent, 10 * SECOND).await;
    assert_eq!(pause_of(&world, &acme, "1001"), None);
}

#[tokio::test(start_paused = true)]
async fn a_locked_account_pauses_all_of_its_numbers_and_no_other() {
    let world = World::new().await;
    let in_account = |number: &str, waba: &str| {
        let mut sender = sender(number);
        sender["wabaId"] = waba.into();
        sender
    };
    let senders = json!([in_account("1001", "a"), in_account("1002", "a"), in_account("1003", "b")]);
    world.put("acme", senders).await.unwrap();
    let acme = org_id("acme");
    world.provider.next(&[Say::Refuse(131031)]);
    world.post(&acme, json!({"from": "1001"})).await;
    until_paused(&world, &acme, "1001").await;
    assert!(pause_of(&world, &acme, "1002").is_some());
    assert!(pause_of(&world, &acme, "1003").is_none());
    let other = world.post(&acme, json!({"from": "1003"})).await;
    world.until(&acme, other, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_paused_only_a_person_resumes() {
    let world = World::new().await;
    let acme = world.acme().await;
    let numbers = vec!["1001".parse().unwrap()];
    let pause = Pause { reason: "a test".into(), by: PausedBy::Operator, since: START };
    world.outbox.change_org(&acme, OrgChange::Pause(numbers.clone(), pause), By::Admin).await.unwrap();
    let id = world.post(&acme, json!({})).await;
    pass(24 * HOUR).await;
    assert_eq!((world.provider.count(), world.status(&acme, id)), (0, Status::Queued));
    world.outbox.change_org(&acme, OrgChange::Resume(numbers, PausedBy::Operator), By::Admin).await.unwrap();
    world.until(&acme, id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_still_made_after_a_restart() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(190), Duration::ZERO);
    let id = world.post(&acme, json!({})).await;
    until_paused(&world, &acme, "1001").await;
    world.restart().await;
    world.provider.always(Say::Accept, Duration::ZERO);
    world.until(&acme, id, Status::Sent, MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn many_messages_to_one_recipient_leave_memory_and_go_one_by_one() {
    let world = World::with(|settings| {
        settings.pair_limit.interval = 6 * SECOND;
        settings.pair_limit.burst = 3;
        settings.limits.max_resident = 10;
    })
    .await;
    world.put("acme", json!([sender_at("1001", 1000)])).await.unwrap();
    let acme = org_id("acme");
    let ids = world.post_many(&acme, 40, json!({})).await;
    let other = world.post(&acme, json!({"to": "+4915199999999"})).await;
    world.until(&acme, other, Status::Sent, SECOND).await;
    world.all_until(&acme, &ids, Status::Sent, 5 * MINUTE).await;
    let times: Vec<u64> = world.provider.calls().iter().map(|call| call.at.as_secs()).collect();
    assert!((216..=240).contains(times.last().unwrap()), "37 intervals of 6 s: {times:?}");
    assert!(ids.iter().all(|id| world.state(&acme, *id).attempt_count() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_expires_on_time_while_its_sender_is_paused() {
    let world = World::new().await;
    let acme = world.acme().await;
    let pause = Pause { reason: "a test".into(), by: PausedBy::Operator, since: START };
    world.outbox.change_org(&acme, OrgChange::Pause(vec![], pause), By::Admin).await.unwrap();
    let id = world.post(&acme, json!({"expiresAt": World::time(10 * MINUTE)})).await;
    pass(9 * MINUTE).await;
    assert_eq!(world.status(&acme, id), Status::Queued);
    let state = world.until(&acme, id, Status::Failed, 2 * MINUTE).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "EXPIRED");
    assert!(state.updated_at.since(START) < 10 * MINUTE + SECOND, "{}", state.updated_at);
}

#[tokio::test(start_paused = true)]
async fn low_priority_is_not_starved_by_a_steady_stream_of_high() {
    let world = World::new().await;
    world.put("acme", json!([sender_at("1001", 10)])).await.unwrap();
    let acme = org_id("acme");
    let low = world.post(&acme, json!({"priority": "LOW"})).await;
    let high: Value = json!({"priority": "HIGH"});
    world.post_many(&acme, 200, high).await;
    world.until(&acme, low, Status::Sent, 5 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_account_in_a_webhook_pauses_as_in_an_answer_and_is_on_the_trail_once_a_day() {
    let world = World::new().await;
    let acme = world.acme().await;
    let news = |code: i64| {
        let body = json!({"object": "x", "entry": [{"changes": [{"field": "messages", "value": {
            "metadata": {"phone_number_id": "1001"}, "errors": [{"code": code, "title": "x"}]}}]}]});
        let change = parse(body.to_string().as_bytes(), START).unwrap().changes.remove(0);
        let of_sender = |notice| (SenderNo(1), notice);
        News { notices: change.notices.into_iter().map(of_sender).collect(), ..News::default() }
    };
    let noticed = || {
        let page = world.store.audit(world.org_no(&acme), &AuditFilter::default(), None, 100).unwrap();
        page.items.iter().filter(|(_, entry)| matches!(entry.fact, Fact::Noticed(_))).count()
    };
    for _ in 0..3 {
        world.outbox.webhook(&acme, news(130_429)).await.unwrap();
    }
    assert_eq!((noticed(), pause_of(&world, &acme, "1001")), (1, None));
    // The next send tells whether it is still so: Meta repeats webhooks for days.
    world.outbox.webhook(&acme, news(131_031)).await.unwrap();
    assert_eq!((noticed(), pause_of(&world, &acme, "1001")), (2, None));
    pass(24 * HOUR).await;
    world.outbox.webhook(&acme, news(130_429)).await.unwrap();
    assert_eq!(noticed(), 3);
}
