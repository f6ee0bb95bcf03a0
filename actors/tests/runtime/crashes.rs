//! Panics and poison: what crashes takes nothing else with it, and nothing is left waiting for it.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Hash;
use domain::message::Category;
use domain::{Message, MessageId, OrgId, Priority, SenderNo, State, Status};
use serde_json::json;
use store::Commit;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, START, World, pass};

#[tokio::test(start_paused = true)]
async fn a_panic_inside_a_call_leaks_no_slot_and_the_message_goes_on() {
    let world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Panic]);
    let ids = world.post_many(&acme, 2, json!({})).await;
    world.until(&acme, ids[1], Status::Sent, SECOND).await;
    assert_eq!(world.status(&acme, ids[0]), Status::Sending, "it may have been sent");
    world.until(&acme, ids[0], Status::Sent, 11 * MINUTE).await;
    assert_eq!(world.elapsed().as_secs(), 600);
    world.nobody_left(&acme).await;
    assert_eq!(world.outbox.stop(MINUTE).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_actor_that_crashes_is_started_again_and_all_who_waited_go_on() {
    let world = World::with(|settings| settings.max_concurrent = 2).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Accept, Say::PanicAtOnce]);
    let ids = world.post_many(&acme, 20, json!({})).await;
    world.all_until(&acme, &ids[2..], Status::Sent, 10 * SECOND).await;
    world.all_until(&acme, &ids, Status::Sent, 11 * MINUTE).await;
    world.nobody_left(&acme).await;
    let tree = world.tree();
    let provider = tree.children[0].children.iter().find(|node| node.kind == "provider").unwrap();
    assert_eq!(provider.restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_given_up_when_its_wait_ends() {
    let world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Never]);
    let ids = world.post_many(&acme, 2, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, 11 * MINUTE).await;
    assert_eq!(world.elapsed().as_secs(), 600);
    assert_eq!(world.outbox.stop(MINUTE).await, 0);
}

/// Puts a message into the store that no request could become: its payload is not an object.
fn poison(world: &World, org: &OrgId, n: u8) -> MessageId {
    let message = Message {
        id: MessageId::from_bytes([n; 16]),
        from: "1001".parse().unwrap(),
        sender: SenderNo(1),
        to: "+4915112345678".parse().unwrap(),
        template_code: None,
        payload: Arc::from(b"[]".as_slice()),
        dossier: None,
        subject: None,
        idempotency_key: None,
        send_at: None,
        expires_at: None,
        priority: Priority::Normal,
        category: Category::Transactional,
        on_unknown: None,
        created_at: START,
        erased: None,
    };
    let no = world.org_no(org);
    let head = world.store.head(no).unwrap();
    let mut commit = Commit::new(no, head.epoch);
    commit.accepted(&message, &State::accepted(START, 6, START), &Hash::default()).unwrap();
    world.committer.reserve().unwrap().submit(commit, |result| result.unwrap());
    message.id
}

#[tokio::test(start_paused = true)]
async fn a_message_that_crashes_its_actor_ends_as_failed_and_others_go_on() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let bad = poison(&world, &acme, 1);
    world.restart().await;
    let ids = world.post_many(&acme, 20, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, SECOND).await;
    let state = world.until(&acme, bad, Status::Failed, 2 * HOUR).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "CRASHED");
    world.nobody_left(&acme).await;
    assert_eq!(world.tree().children[0].restarts, 0);
    assert_eq!(world.provider.count(), 20);
    assert_eq!(world.outbox.stop(MINUTE).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_organisation_is_quarantined_and_visible_and_others_go_on() {
    use store::backend::{Backend, Write};
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.put("other", json!([crate::support::sender("2001")])).await.unwrap();
    let other = crate::support::org_id("other");
    let id = world.post(&acme, json!({"sendAt": World::time(Duration::from_secs(5))})).await;
    let mut key = vec![b's', 0, 0, 0, 1];
    key.extend(id.as_bytes());
    let good = world.backend.get(&key).unwrap().unwrap();
    world.backend.apply(vec![Write::Put(key.clone(), vec![1, 255])]).unwrap();
    world.restart().await;
    pass(15 * SECOND).await;
    let tree = world.tree();
    let node = tree.children.iter().find(|node| node.id == "acme").unwrap();
    assert_eq!(node.status, "QUARANTINED");
    assert!(node.last_exit.as_ref().unwrap().contains("damaged"));
    let fine = world.post(&other, json!({})).await;
    world.until(&other, fine, Status::Sent, SECOND).await;
    world.backend.apply(vec![Write::Put(key, good)]).unwrap();
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    let tree = world.tree();
    assert_eq!(tree.children.iter().find(|node| node.id == "acme").unwrap().status, "RUNNING");
    world.nobody_left(&acme).await;
}
