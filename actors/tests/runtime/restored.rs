//! A copy that was restored from a backup, and what Meta tells it of the original's doings since.

use actors::HeldWish;
use domain::audit::By;
use domain::receipt::ReceiptKind::{self, Delivered, Failed, Sent};
use domain::{MessageId, OrgId, Status, Wait};
use whatsapp::classify::Origin;

use crate::provider::{error, wamid};
use crate::support::{DAY, SECOND, World, attempt, copy, eventually, pass, receipt};

/// Two messages in a copy, which the original sent after its backup.
async fn copy_of_what_was_sent_since() -> (World, OrgId, [MessageId; 2]) {
    let mut world = World::with(|settings| settings.enabled = false).await;
    let org = world.acme().await;
    let ids = [world.post(&org, serde_json::json!({})).await, world.post(&org, serde_json::json!({})).await];
    let (backup, at) = (copy(&world.backend), world.elapsed());
    world.settings.enabled = true;
    world.outbox.reconfigure(world.settings.clone());
    world.all_until(&org, &ids, Status::Sent, SECOND).await;
    assert_eq!(world.restore(&backup, at).await, 2);
    (world, org, ids)
}

async fn told(world: &World, org: &OrgId, id: MessageId, kind: ReceiptKind) {
    let attempt = attempt(id, 1);
    let mut receipt = receipt(kind, wamid(attempt), Some(attempt));
    receipt.at = world.outbox.clock().now();
    receipt.error = (kind == Failed).then(|| error(131_000, Origin::Receipt));
    world.receive(org, vec![receipt]).await;
}

#[tokio::test(start_paused = true)]
async fn what_meta_tells_of_settles_what_the_copy_holds_and_only_the_rest_is_sent_again() {
    let (world, org, [delivered, untold]) = copy_of_what_was_sent_since().await;
    told(&world, &org, delivered, Delivered).await;
    let state = world.state(&org, delivered);
    assert_eq!((state.phase.status(), state.attempt_count()), (Status::Delivered, 0));
    let released = world.outbox.release_held(&org, HeldWish::Send, By::Admin).await.unwrap();
    assert_eq!(released.messages, 1);
    world.until(&org, untold, Status::Sent, SECOND).await;
    let sent: Vec<_> = world.provider.calls().iter().skip(2).map(|call| call.attempt.message).collect();
    assert_eq!(sent, [untold]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_what_the_original_sent_is_known_and_leaves_it_to_a_person() {
    let (world, org, [failed, failed_after_sent]) = copy_of_what_was_sent_since().await;
    told(&world, &org, failed, Failed).await;
    told(&world, &org, failed_after_sent, Sent).await;
    assert_eq!(world.status(&org, failed_after_sent), Status::Sent);
    told(&world, &org, failed_after_sent, Failed).await;
    for id in [failed, failed_after_sent] {
        let state = world.state(&org, id);
        assert_eq!((state.phase.status(), state.wait), (Status::Queued, Wait::Restored));
    }
    pass(DAY).await;
    assert_eq!(world.provider.count(), 2, "the copy sends nothing by itself");
    world.outbox.release_held(&org, HeldWish::Send, By::Admin).await.unwrap();
    let all_sent = || (world.provider.count() == 4).then_some(());
    eventually("both are sent", SECOND, all_sent).await;
}
