//! What recipients write: once, on the right timeline, and the window that it opens.

use actors::News;
use domain::audit::{Fact, Subject};
use domain::{Inbound, OrgId, ProviderId, SenderNo};
use serde_json::json;
use store::search::AuditFilter;

use crate::support::{START, World, sender};

impl World {
    fn wrote(&self, name: &str, from: &str) -> Inbound {
        let now = self.outbox.clock().now();
        Inbound {
            id: self.outbox.clock().new_message_id(now),
            provider_id: ProviderId::new(name),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: Some(from.parse().unwrap()),
            user_id: None,
            kind: "text".into(),
            opens_window: true,
            payload: b"{}".as_slice().into(),
            at: now,
            received_at: now,
        }
    }

    async fn hear(&self, org: &OrgId, inbound: Vec<Inbound>) {
        let inbound = inbound.into_iter().map(Into::into).collect();
        self.outbox.webhook(org, News { inbound, ..News::default() }).await.unwrap();
    }

    fn heard(&self, org: &OrgId) -> Vec<Inbound> {
        self.store.inbound_page(self.org_no(org), None, None, 100).unwrap().items
    }

    fn activity(&self, org: &OrgId, dossier: &str) -> Vec<(Subject, &'static str)> {
        let page = self.store.activities(self.org_no(org), dossier, None, 100).unwrap();
        page.items.into_iter().map(|(_, entry)| (entry.subject, entry.fact.activity())).collect()
    }
}

const ADA: &str = "+4915112345678";

#[tokio::test(start_paused = true)]
async fn an_inbound_message_is_kept_once_however_often_it_comes() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let first = world.wrote("wamid.1", ADA);
    let again = || world.wrote("wamid.1", ADA);
    world.hear(&acme, vec![first.clone(), again()]).await;
    world.hear(&acme, vec![again()]).await;
    // None of these waits for another to be durable.
    let (one, other) = (world.wrote("wamid.2", ADA), world.wrote("wamid.2", ADA));
    tokio::join!(world.hear(&acme, vec![one.clone()]), world.hear(&acme, vec![other]));
    world.restart().await;
    world.hear(&acme, vec![world.wrote("wamid.1", ADA)]).await;
    assert_eq!(world.heard(&acme), [one, first]);
    let filter = AuditFilter::default();
    let page = world.store.audit(world.org_no(&acme), &filter, None, 100).unwrap();
    let received = page.items.iter().filter(|(_, entry)| matches!(entry.fact, Fact::Received { .. }));
    assert_eq!(received.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_id_at_another_number_is_another_message() {
    let world = World::new().await;
    world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
    let acme = "acme".parse().unwrap();
    let other = Inbound { sender: "1002".parse().unwrap(), sender_no: SenderNo(2), ..world.wrote("wamid.1", ADA) };
    world.hear(&acme, vec![world.wrote("wamid.1", ADA), other]).await;
    assert_eq!(world.heard(&acme).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_is_on_the_timeline_of_the_dossier_of_the_last_message_to_its_author() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.post(&acme, json!({"dossierId": 1})).await;
    world.post(&acme, json!({"dossierId": 2})).await;
    world.post(&acme, json!({"dossierId": 3, "to": "+4915187654321"})).await;
    let inbound = world.wrote("wamid.1", ADA);
    world.hear(&acme, vec![inbound.clone(), world.wrote("wamid.2", "+4915100000000")]).await;
    let expected = (Subject::Inbound(inbound.id), "MESSAGE_RECEIVED");
    assert!(world.activity(&acme, "2").contains(&expected));
    for dossier in ["1", "3"] {
        assert!(world.activity(&acme, dossier).iter().all(|(_, kind)| *kind != "MESSAGE_RECEIVED"), "{dossier}");
    }
    assert_eq!(world.heard(&acme).len(), 2, "one from a stranger is kept as well");
}

#[tokio::test(start_paused = true)]
async fn an_author_whose_number_whatsapp_spells_otherwise_is_the_same() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.post(&acme, json!({"dossierId": "mx", "to": "+525512345678"})).await;
    world.hear(&acme, vec![world.wrote("wamid.1", "+5215512345678")]).await;
    assert!(world.activity(&acme, "mx").iter().any(|(_, kind)| *kind == "MESSAGE_RECEIVED"));
    let last = world.store.last_inbound(world.org_no(&acme), SenderNo(1), "+525512345678").unwrap();
    assert_eq!(last, Some(START));
}

#[tokio::test(start_paused = true)]
async fn one_who_shows_no_number_is_kept_too() {
    let world = World::new().await;
    let acme = world.acme().await;
    let hidden = Inbound { from: None, user_id: Some("US.134".into()), ..world.wrote("wamid.1", ADA) };
    world.hear(&acme, vec![hidden.clone()]).await;
    assert_eq!(world.store.inbound_page(world.org_no(&acme), Some("US.134"), None, 9).unwrap().items, [hidden]);
}
