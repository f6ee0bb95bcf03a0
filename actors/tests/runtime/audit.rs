//! The audit trail: no gap, and a chain of blocks that covers it.

use domain::audit::{Block, By, Fact, Hash, Subject};
use domain::receipt::ReceiptKind::{Delivered, Read};
use domain::{OrgNo, ProviderId, Status};
use serde_json::json;

use crate::provider::{Say, wamid};
use crate::support::{HOUR, MINUTE, SECOND, World, attempt, pass, receipt};

/// Checks that the chain covers every entry; returns how many there are and how many blocks.
fn verify(world: &World, no: OrgNo) -> (u64, usize) {
    let last = world.store.head(no).unwrap().last_seq;
    let entries = world.store.sealed_entries(no, 1, usize::MAX).unwrap();
    assert_eq!(u64::try_from(entries.len()).unwrap(), last, "entries without a gap");
    for seq in 1..=last {
        assert!(world.store.entry(no, seq).unwrap().is_some());
    }
    let blocks = world.store.blocks(no).unwrap();
    let (mut hash, mut next) = (Hash::default(), 1);
    for block in &blocks {
        let from = usize::try_from(next - 1).unwrap();
        let count = usize::try_from(block.last - block.first + 1).unwrap();
        let sealed = Block::seal(next, hash, entries[from..from + count].iter().map(Vec::as_slice));
        assert_eq!(*block, sealed);
        (hash, next) = (block.hash, block.last + 1);
    }
    assert_eq!(next, last + 1, "all is sealed");
    (last, blocks.len())
}

#[tokio::test(start_paused = true)]
async fn every_entry_is_sealed_and_the_chain_holds_across_restarts_and_crashes() {
    let mut world = World::with(|settings| settings.messages_per_second = 1000).await;
    let acme = world.acme().await;
    let no = world.org_no(&acme);
    world.provider.next(&[Say::Refuse(131000); 20]);
    for life in 0..4 {
        let ids = world.post_many(&acme, 200, json!({"dossierId": life})).await;
        world.all_until(&acme, &ids, Status::Sent, 2 * MINUTE).await;
        let named = ids.iter().map(|id| world.state(&acme, *id).provider_id().unwrap().clone());
        let read = |id: ProviderId| [Delivered, Read].map(|kind| receipt(kind, id.clone(), None));
        world.receive(&acme, named.flat_map(read).collect()).await;
        if life % 2 == 0 {
            world.crash().await;
        } else {
            world.restart().await;
        }
    }
    pass(MINUTE).await;
    let (entries, blocks) = verify(&world, no);
    // Created, accepted, two receipts each; the retries; the organisation itself.
    assert_eq!(entries, 4 * 200 * 4 + 20 + 1);
    assert!(blocks > 4, "{blocks}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_organisation_writes_nothing() {
    let world = World::new().await;
    let acme = world.acme().await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    pass(MINUTE).await;
    let count = || world.committer.stats().commits.load(std::sync::atomic::Ordering::Relaxed);
    let before = count();
    pass(24 * HOUR).await;
    assert_eq!(count(), before);
    verify(&world, world.org_no(&acme));
}

#[tokio::test(start_paused = true)]
async fn the_trail_says_who_did_what() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000)]);
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    world.receive(&acme, vec![receipt(Delivered, wamid(attempt(id, 2)), None)]).await;
    let no = world.org_no(&acme);
    let trail: Vec<_> = world.state(&acme, id).trail;
    let entries: Vec<_> = trail.iter().map(|seq| world.store.entry(no, *seq).unwrap().unwrap()).collect();
    assert!(entries.iter().all(|entry| entry.subject == Subject::Message(id)));
    let told: Vec<_> = entries.iter().map(|entry| (entry.fact.activity(), entry.by.clone())).collect();
    assert_eq!(
        told,
        [
            ("MESSAGE_CREATED", By::ApiKey("test".into())),
            ("MESSAGE_RETRY_SCHEDULED", By::WhatsApp),
            ("MESSAGE_SENT", By::WhatsApp),
            ("MESSAGE_STATUS_UPDATE", By::WhatsApp)
        ]
    );
    assert_eq!(world.store.entry(no, 1).unwrap().unwrap().fact, Fact::OrgPut);
}
