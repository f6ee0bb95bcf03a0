//! Receipts: by attempt, by provider id, early, in masses.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::audit::{By, Fact, Subject};
use domain::receipt::ReceiptKind::{Delivered, Failed, Read, Sent};
use domain::{AttemptRef, AttemptStatus, OrgId, Phase, ProviderId, Status};
use serde_json::json;
use store::search::AuditFilter;
use whatsapp::classify::Origin;

use crate::provider::{Say, error, wamid};
use crate::support::{HOUR, MINUTE, SECOND, World, attempt, pass, receipt};

#[tokio::test(start_paused = true)]
async fn a_receipt_that_names_the_attempt_settles_a_lost_answer() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Unknown]);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    let named = attempt(id, 1);
    world.receive(&acme, vec![receipt(Delivered, wamid(named), Some(named))]).await;
    let state = world.state(&acme, id);
    assert_eq!(state.phase, Phase::Delivered);
    assert_eq!(state.attempts[0].status, AttemptStatus::Accepted);
    pass(24 * HOUR).await;
    assert_eq!(world.provider.count(), 1);
    // The provider's id is known now: a receipt that has nothing else finds it.
    world.receive(&acme, vec![receipt(Read, wamid(named), None)]).await;
    assert_eq!(world.status(&acme, id), Status::Read);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn after_the_process_stood_still_a_receipt_that_came_meanwhile_is_heard_before_the_message_is_sent_again() {
    for stopped in [MINUTE, HOUR] {
        let world = World::with(|settings| settings.policy.stale_after = MINUTE).await;
        let acme = world.acme().await;
        world.provider.next(&[Say::Unknown, Say::Unknown]);
        let (heard, silent) = (world.post(&acme, json!({})).await, world.post(&acme, json!({})).await);
        pass(SECOND).await;
        // Nothing runs meanwhile; then all that was due is late.
        tokio::time::advance(stopped).await;
        pass(SECOND).await;
        let named = attempt(heard, 1);
        world.receive(&acme, vec![receipt(Delivered, wamid(named), Some(named))]).await;
        world.until(&acme, silent, Status::Sent, 2 * MINUTE).await;
        assert_eq!(world.state(&acme, heard).phase, Phase::Delivered);
        let calls = world.provider.calls();
        assert_eq!(calls.len(), 3, "only the other one is sent again");
        assert!(calls[2].at >= stopped + MINUTE, "{:?}: it is given the time in which nobody listened", calls[2].at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_comes_while_the_call_is_under_way_is_applied_and_the_answer_is_still_recorded() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    let named = attempt(id, 1);
    world.receive(&acme, vec![receipt(Sent, wamid(named), Some(named))]).await;
    assert_eq!(world.status(&acme, id), Status::Sent);
    pass(MINUTE).await;
    assert_eq!(world.state(&acme, id).provider_id(), Some(&wamid(named)));
    assert_eq!(world.provider.count(), 1);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_by_provider_id_only_is_applied() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    world.receive(&acme, vec![receipt(Read, wamid(attempt(id, 1)), None)]).await;
    assert_eq!(world.status(&acme, id), Status::Read);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_beats_our_record_of_the_send_is_parked_and_joined() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 5 * SECOND);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.receive(&acme, vec![receipt(Delivered, wamid(attempt(id, 1)), None)]).await;
    assert_eq!(world.status(&acme, id), Status::Sending);
    assert_eq!(world.counter(&acme, "parkedReceipts"), 1);
    assert_eq!(world.store.parked(world.org_no(&acme)).unwrap().len(), 1);
    world.until(&acme, id, Status::Delivered, 10 * SECOND).await;
    world.nobody_left(&acme).await;
    assert_eq!(world.counter(&acme, "parkedReceipts"), 0);
    assert_eq!(world.store.parked(world.org_no(&acme)).unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_beats_our_record_of_the_send_is_tried_again() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 5 * SECOND);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    let mut failed = receipt(Failed, wamid(attempt(id, 1)), None);
    failed.error = Some(error(131000, Origin::Receipt));
    world.receive(&acme, vec![failed]).await;
    world.until(&acme, id, Status::Queued, 10 * SECOND).await;
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!(world.provider.calls()[1].at, 65 * SECOND);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_minutes_later_is_tried_again() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    world.nobody_left(&acme).await;
    pass(5 * MINUTE).await;
    let mut failed = receipt(Failed, wamid(attempt(id, 1)), None);
    failed.error = Some(error(131000, Origin::Receipt));
    world.receive(&acme, vec![failed]).await;
    assert_eq!(world.status(&acme, id), Status::Queued);
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!(world.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_receipts_are_one_commit() {
    let world = World::with(|settings| settings.messages_per_second = 1000).await;
    let acme = world.acme().await;
    let ids = world.post_many(&acme, 500, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, 2 * SECOND).await;
    // The audit trail has been sealed: no block comes between.
    pass(10 * SECOND).await;
    let before = world.committer.stats().batches.load(Ordering::Relaxed);
    let all = ids.iter().flat_map(|id| [Delivered, Read].map(|kind| receipt(kind, wamid(attempt(*id, 1)), None)));
    world.receive(&acme, all.collect()).await;
    assert_eq!(world.committer.stats().batches.load(Ordering::Relaxed) - before, 1);
    assert!(ids.iter().all(|id| world.status(&acme, *id) == Status::Read));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_receipt_changes_nothing() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    let delivered = receipt(Delivered, wamid(attempt(id, 1)), None);
    world.receive(&acme, vec![delivered.clone(), delivered.clone()]).await;
    world.receive(&acme, vec![delivered]).await;
    let (no, state) = (world.org_no(&acme), world.state(&acme, id));
    let facts = state.trail.iter().map(|seq| world.store.entry(no, *seq).unwrap().unwrap().fact);
    assert_eq!(facts.filter(|fact| matches!(fact, Fact::Receipt { .. })).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn receipts_of_other_apps_are_kept_for_a_while_and_never_beyond_the_limit() {
    let mut world = World::with(|settings| settings.limits.max_parked = 10).await;
    let acme = world.acme().await;
    for n in 0..25 {
        let id = ProviderId::new(&format!("theirs-{n}"));
        world.receive(&acme, vec![receipt(Sent, id.clone(), None), receipt(Read, id, None)]).await;
        assert!(world.counter(&acme, "parkedReceipts") <= 10);
        pass(SECOND).await;
    }
    let no = world.org_no(&acme);
    assert_eq!(world.store.parked(no).unwrap().len(), 10);
    world.restart().await;
    pass(world.settings.limits.parked_for + 2 * MINUTE).await;
    assert_eq!((world.counter(&acme, "parkedReceipts"), world.store.parked(no).unwrap().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn receipts_that_were_claimed_leave_no_trace_that_lets_the_limit_slip() {
    let world = World::with(|settings| settings.limits.max_parked = 3).await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, SECOND);
    for _ in 0..10 {
        let id = world.post(&acme, json!({})).await;
        pass(Duration::from_millis(100)).await;
        world.receive(&acme, vec![receipt(Delivered, wamid(attempt(id, 1)), None)]).await;
        world.until(&acme, id, Status::Delivered, 2 * SECOND).await;
    }
    for n in 0..20 {
        world.receive(&acme, vec![receipt(Sent, ProviderId::new(&format!("theirs-{n}")), None)]).await;
        assert!(world.counter(&acme, "parkedReceipts") <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_of_other_apps_are_bounded_by_their_bytes_too_and_the_oldest_go_first() {
    let mut world = World::with(|settings| settings.limits.max_parked_bytes = 100_000).await;
    let acme = world.acme().await;
    let large = |n: u32| ProviderId::new(&format!("{n}-{}", "x".repeat(10_000)));
    for n in 0..20 {
        world.receive(&acme, vec![receipt(Sent, large(n), None)]).await;
    }
    let (no, mut left) = (world.org_no(&acme), Vec::new());
    for _ in 0..2 {
        left = world.store.parked(no).unwrap();
        assert_eq!(left.len(), 3, "an id counts for each place that it stands in");
        world.restart().await;
    }
    assert!(left.iter().any(|parked| parked.reported.receipt.provider_id == large(19)), "the last one came last");
    world.receive(&acme, vec![receipt(Sent, ProviderId::new("y"), None)]).await;
    assert_eq!(world.store.parked(no).unwrap().len(), 4);
}

/// The attempts that took an id which others have, as the trail tells, with those.
fn taken(world: &World, acme: &OrgId) -> Vec<(AttemptRef, AttemptRef)> {
    let page = world.store.audit(world.org_no(acme), &AuditFilter::default(), None, 1000).unwrap();
    let told = page.items.into_iter().rev().filter_map(|(_, entry)| match (entry.subject, entry.fact) {
        (Subject::Message(message), Fact::IdTaken { attempt, holder }) => {
            Some((AttemptRef { message, attempt }, holder))
        }
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn an_id_of_two_attempts_leads_to_the_one_that_had_it_first_and_both_go_on() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let id = ProviderId::new("wamid.one-for-two");
    let [first, second] = [world.post(&acme, json!({})).await, world.post(&acme, json!({})).await];
    world.all_until(&acme, &[first, second], Status::Sent, SECOND).await;
    // They have ids of their own; two more have lost their answers.
    world.provider.next(&[Say::Unknown, Say::Unknown]);
    let [third, fourth] = [world.post(&acme, json!({})).await, world.post(&acme, json!({})).await];
    pass(SECOND).await;
    let [one, two] = [attempt(third, 1), attempt(fourth, 1)];
    let both = [one, two].map(|named| receipt(Delivered, id.clone(), Some(named)));
    world.receive(&acme, both.to_vec()).await;
    assert_eq!([world.status(&acme, third), world.status(&acme, fourth)], [Status::Delivered; 2]);
    assert_eq!(taken(&world, &acme), [(two, one)]);
    // What tells the id alone is of the first, also after a crash.
    world.crash().await;
    world.receive(&acme, vec![receipt(Read, id.clone(), None)]).await;
    assert_eq!([world.status(&acme, third), world.status(&acme, fourth)], [Status::Read, Status::Delivered]);
    // So does Meta's own answer to a call, and a receipt that waited for it.
    world.provider.next(&[Say::AcceptById("wamid.one-for-two")]);
    let fifth = world.post(&acme, json!({})).await;
    world.until(&acme, fifth, Status::Sent, SECOND).await;
    assert_eq!(taken(&world, &acme), [(two, one), (attempt(fifth, 1), one)]);
}

#[tokio::test(start_paused = true)]
async fn of_two_attempts_with_one_id_either_may_go_and_the_other_is_found_as_before() {
    for gone in 0..2 {
        let world = World::new().await;
        let acme = world.acme().await;
        world.provider.next(&[Say::AcceptById("wamid.one-for-two"), Say::AcceptById("wamid.one-for-two")]);
        let names = ["+4915112345678", "+4915187654321"];
        let mut ids = Vec::new();
        for name in names {
            let id = world.post(&acme, json!({ "to": name })).await;
            world.until(&acme, id, Status::Sent, SECOND).await;
            ids.push(id);
        }
        let record = world.outbox.directory().org(&acme).unwrap();
        world.outbox.erase(&record, names[gone].into(), By::Admin).await.unwrap();
        world.receive(&acme, vec![receipt(Read, ProviderId::new("wamid.one-for-two"), None)]).await;
        let expected = if gone == 0 { Status::Sent } else { Status::Read };
        assert_eq!(world.status(&acme, ids[0]), expected, "the first has it, until it is gone");
        assert_eq!(world.status(&acme, ids[1]), Status::Sent);
        let named = receipt(Delivered, ProviderId::new("wamid.one-for-two"), Some(attempt(ids[1 - gone], 1)));
        world.receive(&acme, vec![named]).await;
        assert_ne!(world.status(&acme, ids[1 - gone]), Status::Sent);
    }
}
