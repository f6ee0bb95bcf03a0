//! What was kept long enough goes, and only that; the trail that is left still proves itself.

use actors::{News, OrgChange};
use domain::audit::{By, Fact};
use domain::org::PutOrg;
use domain::receipt::ReceiptKind;
use domain::retention::Purged;
use domain::{Inbound, MessageId, OrgId, ProviderId, SenderNo, Status};
use serde_json::{Value, json};
use store::search::AuditFilter;

use crate::provider::{Say, wamid};
use crate::support::{DAY, HOUR, MINUTE, SECOND, World, attempt, eventually, org_id, pass, receipt, sender};

impl World {
    async fn keeping(&self, retention: Value) -> OrgId {
        let put = json!({"senders": [sender("1001")], "retention": retention});
        let put = PutOrg::parse(put.as_object().unwrap()).unwrap();
        self.outbox.put_org(org_id("acme"), OrgChange::Put(put), By::Admin).await.unwrap();
        org_id("acme")
    }

    /// What a recipient writes now.
    fn written(&self, name: &str) -> Inbound {
        let now = self.outbox.clock().now();
        Inbound {
            id: self.outbox.clock().new_message_id(now),
            provider_id: ProviderId::new(name),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: Some("+4915112345678".parse().unwrap()),
            user_id: None,
            kind: "text".into(),
            opens_window: true,
            payload: b"{}".to_vec().into(),
            at: now,
            received_at: now,
        }
    }

    fn is_there(&self, org: &OrgId, id: MessageId) -> bool {
        self.store.state(self.org_no(org), id).unwrap().is_some()
    }

    fn purged(&self, org: &OrgId) -> Purged {
        self.store.upkeep(self.org_no(org)).unwrap().purged
    }

    fn entries(&self, org: &OrgId) -> usize {
        self.store.audit(self.org_no(org), &AuditFilter::default(), None, 100_000).unwrap().items.len()
    }
}

#[tokio::test(start_paused = true)]
async fn finished_messages_go_when_their_time_is_over_and_unfinished_ones_stay() {
    let world = World::new().await;
    let acme = world.keeping(json!({"messages": "10h"})).await;
    let no = world.org_no(&acme);
    let old = world.post_many(&acme, 250, json!({"dossierId": "d"})).await;
    let keyed = world.post(&acme, json!({"idempotencyKey": "key"})).await;
    let waiting = world.post(&acme, json!({"sendAt": World::time(30 * HOUR)})).await;
    world.all_until(&acme, &old, Status::Sent, HOUR).await;
    world.until(&acme, keyed, Status::Sent, HOUR).await;
    pass(9 * HOUR).await;
    // Something new about one of them: its time begins again.
    world.receive(&acme, vec![receipt(ReceiptKind::Read, wamid(attempt(old[7], 1)), None)]).await;
    assert_eq!(world.purged(&acme).messages, 0);
    eventually("all but three are gone", 2 * HOUR, || (world.purged(&acme).messages == 250).then_some(())).await;
    assert!(world.is_there(&acme, old[7]) && world.is_there(&acme, waiting) && !world.is_there(&acme, keyed));
    let head = world.store.head(no).unwrap();
    assert_eq!((head.total(), head.count(Status::Read), head.count(Status::Queued)), (2, 1, 1));
    // Their entries tell what was, and no longer to whom.
    let page = world.store.audit(no, &AuditFilter::default(), None, 100_000).unwrap();
    let mut ids = page.items.iter().filter_map(|(_, entry)| {
        let Fact::Accepted { provider_id, .. } = &entry.fact else { return None };
        Some(provider_id.as_str())
    });
    assert_eq!(ids.clone().count(), 251);
    assert_eq!(ids.find(|id| !id.is_empty()), Some(wamid(attempt(old[7], 1)).as_str()));
    assert!(page.items.iter().any(|(_, entry)| matches!(entry.fact, Fact::Purged(Purged { messages: 1.., .. }))));
    assert!(world.store.activities(no, "d", None, 100).unwrap().items.len() < 10);
    // A key whose message is gone is free.
    assert_ne!(world.post(&acme, json!({"idempotencyKey": "key"})).await, keyed);
}

#[tokio::test(start_paused = true)]
async fn what_a_message_says_goes_before_the_message() {
    let world = World::new().await;
    let acme = world.keeping(json!({"messages": "10h", "payloads": "2h"})).await;
    world.provider.next(&[Say::Refuse(131_026)]);
    let failed = world.post(&acme, json!({"subject": "of an order"})).await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, MINUTE).await;
    let message = || world.store.message(world.org_no(&acme), id).unwrap().unwrap();
    assert!(!message().is_payload_erased());
    eventually("it says nothing", 3 * HOUR, || message().is_payload_erased().then_some(())).await;
    eventually("and so the other", HOUR, || (world.purged(&acme).payloads == 2).then_some(())).await;
    assert!(world.store.responses(world.org_no(&acme), id).unwrap().is_empty());
    assert_eq!(world.status(&acme, failed), Status::Failed);
    let retried = world.outbox.manual(&acme, failed, actors::Manual::Retry, By::Admin).await;
    assert!(retried.is_err(), "nothing is left to send");
    // A later receipt still finds it.
    world.receive(&acme, vec![receipt(ReceiptKind::Read, wamid(attempt(id, 1)), None)]).await;
    assert_eq!(world.status(&acme, id), Status::Read);
    eventually("both are gone", 12 * HOUR, || (world.purged(&acme).messages == 2).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn the_trail_is_cut_at_a_sealed_block_and_what_is_left_is_still_a_chain() {
    let mut world = World::new().await;
    let acme = world.keeping(json!({"audit": "5h", "messages": "20h", "inbound": "3h"})).await;
    let no = world.org_no(&acme);
    let ids = world.post_many(&acme, 300, json!({"dossierId": "d"})).await;
    let inbound = vec![world.written("in-1").into(), world.written("in-2").into()];
    world.outbox.webhook(&acme, News { inbound, ..News::default() }).await.unwrap();
    world.all_until(&acme, &ids, Status::Sent, HOUR).await;
    let before = world.entries(&acme);
    eventually("inbound messages are gone", 4 * HOUR, || (world.purged(&acme).inbound == 2).then_some(())).await;
    assert_eq!(world.purged(&acme).entries, 0);
    eventually("the trail is cut", 6 * HOUR, || (world.purged(&acme).entries >= 600).then_some(())).await;
    assert!(world.entries(&acme) < before / 10);
    let upkeep = world.store.upkeep(no).unwrap();
    let blocks = world.store.blocks(no).unwrap();
    assert_eq!(blocks[0].last, upkeep.cut, "the anchor of what is left");
    assert!(world.is_there(&acme, ids[0]));
    assert!(world.store.activities(no, "d", None, 100).unwrap().items.is_empty());
    world.restart().await;
    world.post(&acme, json!({})).await;
    eventually("messages go without their entries", 30 * HOUR, || (world.purged(&acme).messages == 300).then_some(()))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_organisation_that_is_away_is_woken_for_it_and_leaves_again() {
    let world = World::new().await;
    let acme = world.keeping(json!({"messages": "10h"})).await;
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Sent, MINUTE).await;
    eventually("it is away", HOUR, || world.org_node(&acme).is_none().then_some(())).await;
    pass(9 * HOUR).await;
    assert!(world.org_node(&acme).is_none() && world.is_there(&acme, id), "nothing woke it in between");
    eventually("it is gone", 2 * HOUR, || (!world.is_there(&acme, id)).then_some(())).await;
    eventually("it is away again", HOUR, || world.org_node(&acme).is_none().then_some(())).await;
    pass(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn retention_goes_on_after_a_crash_and_without_it_all_is_kept() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let ids = world.post_many(&acme, 300, json!({})).await;
    world.all_until(&acme, &ids, Status::Sent, HOUR).await;
    pass(11 * HOUR).await;
    assert_eq!(world.purged(&acme), Purged::default());
    world.keeping(json!({"messages": "10h"})).await;
    world.crash().await;
    eventually("all are gone", HOUR, || (world.purged(&acme).messages == 300).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_an_inbound_message_that_went_by_retention_is_known_for_a_month_since_it_came() {
    let world = World::new().await;
    let acme = world.keeping(json!({"inbound": "1h"})).await;
    let no = world.org_no(&acme);
    let hear = async || {
        let inbound = world.written("in-1");
        world.outbox.webhook(&acme, News { inbound: vec![inbound.into()], ..News::default() }).await.unwrap();
        world.store.inbound_page(no, None, None, 10).unwrap().items.len()
    };
    assert_eq!(hear().await, 1);
    eventually("it is gone", 2 * HOUR, || (world.purged(&acme).inbound == 1).then_some(())).await;
    assert_eq!(hear().await, 0);
    tokio::time::advance(30 * DAY).await;
    eventually("its name is gone", 2 * HOUR, || world.store.first_name_until(no).unwrap().is_none().then_some(()))
        .await;
    world.keeping(json!({"inbound": "60d"})).await;
    assert_eq!(hear().await, 1);
    tokio::time::advance(60 * DAY).await;
    eventually("it is gone", 9 * HOUR, || (world.purged(&acme).inbound == 2).then_some(())).await;
    assert_eq!(world.store.first_name_until(no).unwrap(), None, "Meta has long given up");
}
