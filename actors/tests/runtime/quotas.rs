//! Quotas: what is beyond them waits and goes by itself, and a restart forgets nothing of what was used.

use std::time::Duration;

use actors::{AcceptError, News};
use domain::{Inbound, MessageId, OrgId, ProviderId, SenderNo, Status, Wait};
use serde_json::json;

use crate::support::{DAY, HOUR, MINUTE, SECOND, START, World, eventually, pass};

/// A message to the nth recipient.
async fn to(world: &World, acme: &OrgId, n: usize) -> MessageId {
    world.post(acme, json!({"to": format!("+4915100000{n:02}")})).await
}

/// Waits until the message is held.
async fn held(world: &World, acme: &OrgId, id: MessageId, wait: Wait) -> Duration {
    let look = || Some(world.state(acme, id)).filter(|state| state.wait == wait);
    let state = eventually(&format!("{wait:?}"), SECOND, look).await;
    assert_eq!((state.phase.status(), state.attempts.len()), (Status::Queued, 0), "no attempt is charged");
    state.due().unwrap().since(START)
}

async fn wrote(world: &World, acme: &OrgId, n: usize) {
    let now = world.outbox.clock().now();
    let inbound = Inbound {
        id: world.outbox.clock().new_message_id(now),
        provider_id: ProviderId::new("wamid.in"),
        sender: "1001".parse().unwrap(),
        sender_no: SenderNo(1),
        from: Some(format!("+4915100000{n:02}").parse().unwrap()),
        user_id: None,
        kind: "text".into(),
        opens_window: true,
        payload: b"{}".as_slice().into(),
        at: now,
        received_at: now,
    };
    world.outbox.webhook(acme, News { inbound: vec![inbound.into()], ..News::default() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn beyond_the_messages_of_a_day_they_wait_for_midnight_and_go_then() {
    let mut world = World::new().await;
    let acme = world.acme_with_quotas(json!({"messagesPerDay": 2})).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(to(&world, &acme, n).await);
    }
    world.all_until(&acme, &ids[..2], Status::Sent, MINUTE).await;
    for id in &ids[2..] {
        assert_eq!(held(&world, &acme, *id, Wait::DailyQuota).await, DAY, "START is midnight");
    }
    world.nobody_left(&acme).await;
    let explained = world.outbox.explain(&world.outbox.directory().org(&acme).unwrap(), ids[2]).await.unwrap().unwrap();
    let gate = explained.gates.iter().find(|gate| gate.gate == "rate").unwrap();
    assert!(gate.detail.contains("messagesPerDay") && gate.until.is_some(), "{gate:?}");
    world.restart().await;
    let late = to(&world, &acme, 7).await;
    held(&world, &acme, late, Wait::DailyQuota).await;
    ids.push(late);
    pass(DAY - world.elapsed()).await;
    // Which two of the four is theirs to find out.
    let waiting = || ids.iter().copied().filter(|id| world.status(&acme, *id) == Status::Queued).collect::<Vec<_>>();
    eventually("two more sent", MINUTE, || (world.provider.calls().len() == 4 && waiting().len() == 2).then_some(()))
        .await;
    for id in waiting() {
        let look = || (world.state(&acme, id).due().unwrap().since(START) == 2 * DAY).then_some(());
        eventually("held for another day", MINUTE, look).await;
    }
    pass(2 * DAY - world.elapsed()).await;
    world.all_until(&acme, &ids, Status::Sent, MINUTE).await;
    assert_eq!(world.provider.calls().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_recipients_of_a_day_new_ones_wait_until_an_old_one_has_rested() {
    let mut world = World::new().await;
    let acme = world.acme_with_quotas(json!({"recipientsPerDay": 2})).await;
    let first = to(&world, &acme, 0).await;
    world.until(&acme, first, Status::Sent, SECOND).await;
    pass(HOUR).await;
    let second = to(&world, &acme, 1).await;
    world.until(&acme, second, Status::Sent, SECOND).await;
    let (third, fourth) = (to(&world, &acme, 2).await, to(&world, &acme, 3).await);
    let (a, b) = (
        held(&world, &acme, third, Wait::RecipientQuota).await,
        held(&world, &acme, fourth, Wait::RecipientQuota).await,
    );
    assert!(a >= DAY && a < DAY + SECOND && b >= DAY + HOUR && b < DAY + HOUR + SECOND, "a place each: {a:?}, {b:?}");
    world.restart().await;
    let known = to(&world, &acme, 1).await;
    world.until(&acme, known, Status::Sent, SECOND).await;
    wrote(&world, &acme, 5).await;
    let answer = to(&world, &acme, 5).await;
    world.until(&acme, answer, Status::Sent, SECOND).await;
    pass(DAY - world.elapsed()).await;
    world.until(&acme, third, Status::Sent, MINUTE).await;
    assert_eq!(world.status(&acme, fourth), Status::Queued);
    pass(DAY + HOUR - world.elapsed()).await;
    world.until(&acme, fourth, Status::Sent, MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_held_goes_at_once_when_the_quota_is_raised() {
    let world = World::new().await;
    let acme = world.acme_with_quotas(json!({"messagesPerDay": 1, "recipientsPerDay": 1})).await;
    let first = to(&world, &acme, 0).await;
    let second = to(&world, &acme, 1).await;
    world.until(&acme, first, Status::Sent, SECOND).await;
    held(&world, &acme, second, Wait::DailyQuota).await;
    world.acme_with_quotas(json!({"messagesPerDay": 10, "recipientsPerDay": 1})).await;
    held(&world, &acme, second, Wait::RecipientQuota).await;
    world.acme_with_quotas(json!({})).await;
    world.until(&acme, second, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_begins_no_more_than_the_quota_and_counts_each_recipient_once() {
    let world = World::new().await;
    let acme = world.acme_with_quotas(json!({"recipientsPerDay": 10})).await;
    let mut ids = Vec::new();
    for n in 0..90 {
        ids.push(to(&world, &acme, n % 30).await);
    }
    let settled = || {
        let mut states = ids.iter().map(|id| world.state(&acme, *id));
        let done = |state: &domain::State| state.phase.status() == Status::Sent || state.wait == Wait::RecipientQuota;
        states.all(|state| done(&state)).then_some(())
    };
    eventually("all sent or held", MINUTE, settled).await;
    assert_eq!(world.provider.calls().len(), 30, "three to each of ten");
    for days in 1..=4 {
        pass(DAY * days + MINUTE - world.elapsed()).await;
    }
    world.all_until(&acme, &ids, Status::Sent, DAY).await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_organisations_own_bound_of_the_queue_nothing_is_accepted() {
    let world = World::with(|settings| settings.enabled = false).await;
    let acme = world.acme_with_quotas(json!({"maxQueued": 2})).await;
    to(&world, &acme, 0).await;
    to(&world, &acme, 1).await;
    assert!(matches!(world.try_post(&acme, json!({})).await, Err(AcceptError::QueueFull)));
    world.acme_with_quotas(json!({"maxQueued": 3})).await;
    to(&world, &acme, 2).await;
}
