//! Organisations that have nothing to do are passivated, and nothing is lost between one actor and the next.

use std::time::Duration;

use actors::{Kind, Manual, News, OrgChange};
use domain::Status;
use domain::audit::By;
use domain::org::{Pause, PausedBy};
use domain::receipt::ReceiptKind::{Delivered, Read};
use serde_json::json;

use crate::provider::{Say, wamid};
use crate::support::{HOUR, MINUTE, SECOND, START, World, attempt, eventually, org_id, pass, receipt, sender};

async fn until_away(world: &World, id: &str) {
    eventually("away", 15 * MINUTE, || world.org_node(&org_id(id)).is_none().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn an_organisation_without_work_leaves_and_comes_back_for_whatever_comes() {
    let world = World::new().await;
    let acme = world.acme().await;
    let first = world.post(&acme, json!({"idempotencyKey": "k"})).await;
    until_away(&world, "acme").await;
    let root = world.tree();
    assert_eq!((&root.counters["organisations"], &root.counters["running"]), (&json!(1), &json!(0)));

    world.receive(&acme, vec![receipt(Delivered, wamid(attempt(first, 1)), None)]).await;
    assert_eq!(world.status(&acme, first), Status::Delivered, "a receipt");
    until_away(&world, "acme").await;
    let again = world.try_post(&acme, json!({"idempotencyKey": "k"})).await.unwrap();
    assert!(again.replayed, "a repeated request");
    until_away(&world, "acme").await;
    let second = world.post(&acme, json!({})).await;
    world.until(&acme, second, Status::Sent, SECOND).await;
    until_away(&world, "acme").await;
    let wrong = world.outbox.manual(&acme, second, Manual::Cancel, By::Admin).await;
    assert!(wrong.is_err(), "it was sent long ago");
    until_away(&world, "acme").await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    assert_eq!(world.outbox.directory().org(&acme).unwrap().senders.len(), 2, "a change");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_something_to_do_later_is_back_in_time() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let timed = world.post(&acme, json!({"sendAt": World::time(3 * HOUR)})).await;
    let ending =
        world.post(&acme, json!({"sendAt": World::time(4 * HOUR), "expiresAt": World::time(4 * HOUR + MINUTE)})).await;
    for _ in 0..2 {
        until_away(&world, "acme").await;
        // Also where it begins away.
        world.restart().await;
    }
    pass(3 * HOUR - world.elapsed() - SECOND).await;
    assert_eq!((world.provider.count(), world.org_node(&acme).is_none()), (0, true));
    world.until(&acme, timed, Status::Sent, 2 * SECOND).await;
    let pause = Pause { reason: "a test".into(), by: PausedBy::Operator, since: START };
    world.outbox.change_org(&acme, OrgChange::Pause(vec![], pause), By::Admin).await.unwrap();
    let state = world.until(&acme, ending, Status::Failed, 2 * HOUR).await;
    assert!(state.updated_at.since(START) < 4 * HOUR + MINUTE + SECOND, "{}", state.updated_at);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_by_policy_although_its_organisation_had_left() {
    let world = World::with(|settings| settings.policy.stale_after = 2 * HOUR).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Unknown]);
    let id = world.post(&acme, json!({})).await;
    until_away(&world, "acme").await;
    world.until(&acme, id, Status::Sent, 2 * HOUR).await;
    assert!(world.elapsed() < 2 * HOUR + 2 * SECOND, "{:?}", world.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_a_person_paused_leaves_with_its_queue_and_sends_at_once_when_resumed() {
    let world = World::new().await;
    let acme = world.acme().await;
    let pause = Pause { reason: "a test".into(), by: PausedBy::Operator, since: START };
    world.outbox.change_org(&acme, OrgChange::Pause(vec![], pause), By::Admin).await.unwrap();
    let ids = world.post_many(&acme, 50, json!({})).await;
    until_away(&world, "acme").await;
    world.outbox.change_org(&acme, OrgChange::Resume(vec![], PausedBy::Operator), By::Admin).await.unwrap();
    world.all_until(&acme, &ids, Status::Sent, 2 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_meta_paused_stays_to_probe_while_messages_wait() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Refuse(190), Duration::ZERO);
    let id = world.post(&acme, json!({})).await;
    pass(HOUR).await;
    assert!(world.org_node(&acme).is_some());
    world.provider.always(Say::Accept, Duration::ZERO);
    world.until(&acme, id, Status::Sent, HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_switch_sending_on_bring_back_those_who_had_left() {
    let world = World::with(|settings| settings.enabled = false).await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    until_away(&world, "acme").await;
    let mut settings = world.settings.clone();
    settings.enabled = true;
    world.outbox.reconfigure(settings);
    world.until(&acme, id, Status::Sent, SECOND).await;
}

/// Messages of every kind, sent at every moment around the passivation of the actor that they are for.
#[tokio::test(start_paused = true)]
async fn nothing_that_comes_while_it_leaves_is_lost() {
    for step in 0..40 {
        let world = World::with(|settings| settings.limits.passivate_org_after = SECOND).await;
        let acme = world.acme().await;
        let id = world.post(&acme, json!({})).await;
        world.until(&acme, id, Status::Sent, SECOND).await;
        // The moment at which it looks for work is slowed down, so that messages meet each of its steps.
        for (kind, what) in
            [(Kind::Org, "leaving"), (Kind::Org, "looking for work"), (Kind::Root, "letting an organisation leave")]
        {
            let stall = actors::faults::Fault::Stall(Duration::from_millis(10));
            world.outbox.faults().arm("/root", kind, what, stall, 1000);
        }
        pass(SECOND + Duration::from_millis(950) + Duration::from_millis(4) * step).await;
        let post = world.try_post(&acme, json!({}));
        let receipts = vec![receipt(Read, wamid(attempt(id, 1)), None)];
        let news = News { receipts: receipts.into_iter().map(Into::into).collect(), ..News::default() };
        let (posted, received) = tokio::join!(post, world.outbox.webhook(&acme, news));
        received.unwrap();
        assert_eq!(world.status(&acme, id), Status::Read, "step {step}");
        world.until(&acme, posted.unwrap().message.id, Status::Sent, SECOND).await;
    }
}
