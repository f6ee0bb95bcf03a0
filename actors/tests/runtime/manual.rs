//! What a person does: cancel and retry.

use actors::{Manual, ManualError};
use domain::audit::By;
use domain::{MessageId, OrgId, Status};
use serde_json::json;

use crate::provider::Say;
use crate::support::{HOUR, MINUTE, SECOND, World, pass};

async fn wish(world: &World, org: &OrgId, id: MessageId, wish: Manual) -> Result<Status, ManualError> {
    let done = world.outbox.manual(org, id, wish, By::ApiKey("test".into())).await;
    done.map(|(_, state)| state.phase.status())
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_can_be_called_back_and_is_never_sent() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({"sendAt": World::time(HOUR)})).await;
    assert_eq!(wish(&world, &acme, id, Manual::Cancel).await, Ok(Status::Cancelled));
    assert_eq!(world.status(&acme, id), Status::Cancelled);
    pass(24 * HOUR).await;
    assert_eq!(world.provider.count(), 0);
    assert_eq!(wish(&world, &acme, id, Manual::Cancel).await, Err(ManualError::WrongState));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_its_turn_can_be_called_back_and_the_next_gets_the_turn() {
    let world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let ids = world.post_many(&acme, 3, json!({})).await;
    pass(SECOND).await;
    assert_eq!(wish(&world, &acme, ids[1], Manual::Cancel).await, Ok(Status::Cancelled));
    world.until(&acme, ids[2], Status::Sent, MINUTE).await;
    assert_eq!(world.provider.count(), 2);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_called_back_at_once_is_not_sent() {
    let world = World::with(|settings| settings.max_concurrent = 1).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    world.post(&acme, json!({})).await;
    let id = world.post(&acme, json!({})).await;
    assert_eq!(wish(&world, &acme, id, Manual::Cancel).await, Ok(Status::Cancelled));
    pass(MINUTE).await;
    assert_eq!(world.provider.count(), 1);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_being_sent_cannot_be_called_back() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    assert_eq!(wish(&world, &acme, id, Manual::Cancel).await, Err(ManualError::WrongState));
    world.until(&acme, id, Status::Sent, MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_can_be_queued_again_with_a_new_budget() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131026), Say::Refuse(131000)]);
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Failed, SECOND).await;
    world.nobody_left(&acme).await;
    assert_eq!(wish(&world, &acme, id, Manual::Retry).await, Ok(Status::Queued));
    let state = world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!((state.attempts.len(), state.max_attempts), (3, 7));
    assert_eq!(wish(&world, &acme, id, Manual::Retry).await, Err(ManualError::WrongState));
    let nobody = MessageId::from_bytes([7; 16]);
    assert_eq!(wish(&world, &acme, nobody, Manual::Retry).await, Err(ManualError::NotFound));
}
