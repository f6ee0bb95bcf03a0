//! Erasing a person: what goes, what stays, what it waits for, and that it goes on after a crash.

use std::ops::ControlFlow;

use actors::{Arrival, Manual, ManualError, News};
use domain::audit::{Block, By, Fact};
use domain::consent::{Choice, Covers, Source};
use domain::erasure::Erased;
use domain::people::IdentityLink;
use domain::receipt::{ReceiptKind, Reported};
use domain::{Inbound, MessageId, OrgId, ProviderId, SenderNo, Status, Timestamp};
use serde_json::json;
use store::Commit;
use store::backend::{Backend, Order};
use store::search::{AuditFilter, MessageFilter};

use crate::provider::{Say, wamid};
use crate::support::{DAY, HOUR, MINUTE, SECOND, World, attempt, eventually, pass, receipt};

/// One number in both of its spellings.
const ADA: [&str; 2] = ["+525512345678", "+5215512345678"];
const USER: &str = "MX.13491208655302741918";

impl World {
    async fn erase(&self, org: &OrgId, name: &str) -> Erased {
        let record = self.outbox.directory().org(org).unwrap();
        self.outbox.erase(&record, name.into(), By::ApiKey("test".into())).await.unwrap()
    }

    /// Whether any value of the store holds the text.
    fn holds(&self, text: &str) -> bool {
        let mut found = false;
        self.backend
            .scan(&[0]..&[u8::MAX], Order::Ascending, &mut |key, value| {
                let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
                found |= has(key) || has(value);
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    async fn they_wrote(&self, org: &OrgId, name: &str, from: Option<&str>, user_id: Option<&str>) {
        let now = self.outbox.clock().now();
        let inbound = Inbound {
            id: self.outbox.clock().new_message_id(now),
            provider_id: ProviderId::new(name),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: from.map(|from| from.parse().unwrap()),
            user_id: user_id.map(str::to_owned),
            kind: "text".into(),
            opens_window: true,
            payload: json!({"text": {"body": "a secret of Ada"}}).to_string().into_bytes().into(),
            at: now,
            received_at: now,
        };
        let names: Vec<_> = inbound.names().collect();
        let link = IdentityLink::new(&names, &[], now);
        let inbound = vec![Arrival { inbound, link }];
        self.outbox.webhook(org, News { inbound, ..News::default() }).await.unwrap();
    }

    async fn sent_to(&self, org: &OrgId, to: &str, n: usize) -> MessageId {
        let body = json!({"to": to, "subject": "secret subject", "idempotencyKey": format!("key of Ada {n}"),
            "dossierId": "d", "payloadJson": {"type": "text", "text": {"body": "a secret of Ada"}}});
        self.post(org, body).await
    }

    fn facts(&self, org: &OrgId) -> Vec<Fact> {
        let page = self.store.audit(self.org_no(org), &AuditFilter::default(), None, 10_000).unwrap();
        page.items.into_iter().rev().map(|(_, entry)| entry.fact).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_goes_from_everything_and_counts_and_the_sealed_trail_stay() {
    let world = World::new().await;
    let acme = world.acme().await;
    let no = world.org_no(&acme);
    let other = world.post(&acme, json!({"to": "+4915100000000", "subject": "of another"})).await;
    world.provider.next(&[Say::Accept, Say::Accept, Say::Refuse(131_026), Say::Accept]);
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.sent_to(&acme, ADA[n % 2], n).await);
        pass(SECOND).await;
    }
    world.all_until(&acme, &[ids[0], ids[1], ids[3]], Status::Sent, MINUTE).await;
    world.until(&acme, ids[2], Status::Failed, MINUTE).await;
    world.receive(&acme, vec![receipt(ReceiptKind::Delivered, wamid(attempt(ids[0], 1)), None)]).await;
    let waiting = world.sent_to(&acme, ADA[0], 9).await;
    world.they_wrote(&acme, "in-1", Some(ADA[1]), Some(USER)).await;
    world.they_wrote(&acme, "in-2", None, Some(USER)).await;
    let evidence = Some(br#""a secret of Ada""#.to_vec());
    for (choice, covers) in [(Choice::Granted, Covers::Transactional), (Choice::Revoked, Covers::Marketing)] {
        let source = Source::Api { name: Some("secret form".into()), evidence: evidence.clone() };
        world.outbox.consent(&acme, ADA[0].into(), (choice, covers), source, By::Admin).await.unwrap();
    }
    // The trail is sealed before, and seals are checked by whoever verifies the store.
    eventually("sealed", MINUTE, || {
        let last = world.store.last_block(no).unwrap().map_or(0, |block: Block| block.last);
        (last == world.store.head(no).unwrap().last_seq).then_some(())
    })
    .await;
    world.until(&acme, waiting, Status::Sent, MINUTE).await;
    let (before, blocks) = (world.store.head(no).unwrap(), world.store.blocks(no).unwrap());
    let trail = world.facts(&acme).len();

    let erased = world.erase(&acme, ADA[1]).await;
    // Each statement stands under both names.
    assert_eq!(erased, Erased { messages: 5, inbound: 2, statements: 4, receipts: 0 });
    for text in ["5512345678", "secret", "key of Ada", USER, wamid(attempt(ids[0], 1)).as_str()] {
        assert!(!world.holds(text), "{text} is still there");
    }
    assert!(world.holds("of another"));
    assert_eq!(world.status(&acme, ids[0]), Status::Delivered);
    let after = world.store.head(no).unwrap();
    assert!(Status::ALL.iter().all(|status| before.count(*status) == after.count(*status)));
    assert_eq!(&world.store.blocks(no).unwrap()[..blocks.len()], blocks);
    let facts = world.facts(&acme);
    assert_eq!(&facts[facts.len() - 2..], [Fact::ErasureBegun, Fact::Erased(erased)]);
    assert!(facts.len() >= trail + 2);
    let to = MessageFilter { to: Some(ADA[0].into()), ..MessageFilter::default() };
    assert!(world.store.messages(no, &to, None, 10).unwrap().items.is_empty());
    assert_eq!(world.store.message(no, other).unwrap().unwrap().subject.as_deref(), Some("of another"));
    assert_eq!(world.erase(&acme, ADA[0]).await.messages, 0, "a second time there is nothing left");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_outlives_the_person_and_a_grant_does_not() {
    let world = World::new().await;
    let acme = world.acme().await;
    let source = || Source::Api { name: None, evidence: None };
    let say = async |choice, covers| {
        world.outbox.consent(&acme, ADA[0].into(), (choice, covers), source(), By::Admin).await.unwrap()
    };
    say(Choice::Granted, Covers::Marketing).await;
    say(Choice::Revoked, Covers::Transactional).await;
    world.erase(&acme, ADA[0]).await;
    let known = world.store.consent(world.org_no(&acme), ADA[1]).unwrap().unwrap();
    assert_eq!((known.recipient.as_str(), known.marketing), ("", None));
    assert_eq!(known.transactional.map(|standing| standing.choice), Some(Choice::Revoked));
    assert!(world.try_post(&acme, json!({"to": ADA[1]})).await.is_err(), "still nobody writes to them");
    // They come back, and say so.
    assert_eq!(say(Choice::Granted, Covers::Both).await.recipient, ADA[0]);
    world.try_post(&acme, json!({"to": ADA[1]})).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_called_back_and_a_send_under_way_is_waited_for() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.always(Say::Accept, 10 * SECOND);
    let under_way = world.sent_to(&acme, ADA[0], 1).await;
    world.until(&acme, under_way, Status::Sending, SECOND).await;
    let later = world.post(&acme, json!({"to": ADA[0], "sendAt": World::time(HOUR)})).await;
    let began = world.elapsed();
    let erased = world.erase(&acme, ADA[0]).await;
    assert_eq!(erased.messages, 2);
    assert!(world.elapsed() - began >= 9 * SECOND);
    assert_eq!((world.status(&acme, under_way), world.status(&acme, later)), (Status::Sent, Status::Cancelled));
    pass(2 * HOUR).await;
    assert_eq!(world.provider.calls().len(), 1, "what was cancelled never went");
    // A receipt that comes after all brings nothing back.
    let late = receipt(ReceiptKind::Read, ProviderId::new("an id that names Ada"), Some(attempt(under_way, 1)));
    world.receive(&acme, vec![late]).await;
    assert_eq!(world.status(&acme, under_way), Status::Sent);
    assert!(!world.holds("names Ada"));
}

#[tokio::test(start_paused = true)]
async fn an_erased_message_is_never_sent_again_neither_by_a_retry_nor_by_its_key() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131_026)]);
    let id = world.sent_to(&acme, ADA[0], 1).await;
    world.until(&acme, id, Status::Failed, MINUTE).await;
    world.erase(&acme, ADA[0]).await;
    let refused = world.outbox.manual(&acme, id, Manual::Retry, By::Admin).await;
    assert!(matches!(refused, Err(ManualError::WrongState)), "{refused:?}");
    assert_eq!(world.sent_to(&acme, ADA[0], 1).await, id, "the key still stands for it");
    assert_eq!(world.provider.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_erasure_is_done_in_steps_and_goes_on_after_a_crash() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Never]);
    let lost = world.sent_to(&acme, ADA[0], 0).await;
    world.until(&acme, lost, Status::Sending, SECOND).await;
    for n in 1..180 {
        world.post(&acme, json!({"to": ADA[n % 2], "sendAt": World::time(HOUR)})).await;
    }
    let left = |world: &World| {
        let filter = MessageFilter { to: Some(ADA[1].into()), ..MessageFilter::default() };
        world.store.messages(world.org_no(&acme), &filter, None, 1000).unwrap().items.len()
    };
    let (outbox, record) = (world.outbox.clone(), world.outbox.directory().org(&acme).unwrap());
    let erasing = tokio::spawn(async move { outbox.erase(&record, ADA[0].into(), By::Admin).await });
    eventually("all but one are erased", MINUTE, || (left(&world) == 1).then_some(())).await;
    world.crash().await;
    assert!(erasing.await.unwrap().is_err());
    assert_eq!(left(&world), 1);
    eventually("it is done", HOUR, || world.store.erasures(world.org_no(&acme)).unwrap().is_empty().then_some(()))
        .await;
    assert!(matches!(world.facts(&acme).last(), Some(Fact::Erased(Erased { messages: 180, .. }))));
    assert_eq!((left(&world), world.status(&acme, lost)), (0, Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_what_was_erased_does_not_bring_the_person_back_and_is_known_for_a_month() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let no = world.org_no(&acme);
    for n in 0..250 {
        world.they_wrote(&acme, &format!("in-{n}"), Some(ADA[1]), None).await;
    }
    assert_eq!(world.erase(&acme, ADA[0]).await.inbound, 250);
    let listed = |world: &World| world.store.inbound_page(no, None, None, 10).unwrap().items.len();
    world.they_wrote(&acme, "in-7", Some(ADA[1]), None).await;
    assert_eq!(listed(&world), 0);
    tokio::time::advance(29 * DAY).await;
    world.restart().await;
    world.they_wrote(&acme, "in-8", Some(ADA[1]), None).await;
    assert_eq!(listed(&world), 0);
    tokio::time::advance(DAY).await;
    eventually("nothing of them is left", 2 * HOUR, || {
        world.store.first_name_until(no).unwrap().is_none().then_some(())
    })
    .await;
    world.they_wrote(&acme, "in-7", Some(ADA[1]), None).await;
    assert_eq!(listed(&world), 1, "it is a message like any other");
}

#[tokio::test(start_paused = true)]
async fn a_late_receipt_of_an_erased_person_leaves_nothing_of_them() {
    const NUMBER: &str = "+4915112345678";
    const WAMID: &str = "wamid.HBgNNDkxNTExMjM0NTY3OBUCABEYEjVGNDI1QTc0RjEzMDMzNDkyQQA=";
    for is_known in [true, false] {
        let mut world = World::new().await;
        let acme = world.acme().await;
        let no = world.org_no(&acme);
        // Of an answer that was lost, the id is known only once a receipt tells it.
        world.provider.next(&[if is_known { Say::AcceptById(WAMID) } else { Say::Unknown }]);
        world.post(&acme, json!({"to": NUMBER, "onUnknown": "HOLD"})).await;
        pass(20 * MINUTE).await;
        world.erase(&acme, NUMBER).await;
        let late = |names: &[&str]| Reported {
            receipt: receipt(ReceiptKind::Delivered, ProviderId::new(WAMID), None),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        for n in 0..2 {
            let receipts = vec![late(&[NUMBER]), late(&[]), late(&[NUMBER, "DE.1"])];
            world.outbox.webhook(&acme, News { receipts, ..News::default() }).await.unwrap();
            assert_eq!(world.store.parked(no).unwrap().len(), 0, "known: {is_known}");
            assert!(!world.holds(&NUMBER[1..]) && !world.holds(WAMID), "known: {is_known}");
            if n == 0 {
                world.crash().await;
            }
        }
        // Once they are written to again, what overtakes our record of it is kept as ever. After a restart, ids of one millisecond
        // have no order.
        pass(SECOND).await;
        world.provider.next(&[Say::Unknown]);
        world.post(&acme, json!({ "to": NUMBER })).await;
        let other = Reported {
            receipt: receipt(ReceiptKind::Delivered, ProviderId::new("wamid.new"), None),
            names: vec![NUMBER.into()],
        };
        world.outbox.webhook(&acme, News { receipts: vec![other], ..News::default() }).await.unwrap();
        assert_eq!(world.store.parked(no).unwrap().len(), 1);
        // For a month it is known what went.
        tokio::time::advance(31 * DAY).await;
        world.restart().await;
        eventually("nothing is left of what was noted", 2 * HOUR, || {
            world.store.first_name_until(no).unwrap().is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_number_changed_hands_goes_with_who_wrote_it_however_late_it_came() {
    const OLD: &str = "+4915112345678";
    const NEW: &str = "+4915187654321";
    let world = World::new().await;
    let acme = world.acme().await;
    let no = world.org_no(&acme);
    let second = world.outbox.clock().now();
    let wrote = async |name: &str, from: &str, at: Timestamp, link: Option<IdentityLink>| {
        let now = world.outbox.clock().now();
        let inbound = Inbound {
            id: world.outbox.clock().new_message_id(now),
            provider_id: ProviderId::new(name),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: Some(from.parse().unwrap()),
            user_id: None,
            kind: "text".into(),
            opens_window: link.is_none(),
            payload: b"{}".as_slice().into(),
            at,
            received_at: now,
        };
        world
            .outbox
            .webhook(&acme, News { inbound: vec![Arrival { inbound, link }], ..News::default() })
            .await
            .unwrap();
    };
    // Two in one second, of which one comes after the change; and one of who has the number then.
    wrote("in-1", OLD, second, None).await;
    pass(5 * SECOND).await;
    let then = world.outbox.clock().now();
    wrote("changed", NEW, then, IdentityLink::new(&[NEW], &[OLD], then)).await;
    pass(5 * SECOND).await;
    wrote("in-2", OLD, second, None).await;
    wrote("anothers", OLD, world.outbox.clock().now(), None).await;
    assert_eq!(world.erase(&acme, NEW).await.inbound, 3);
    let left = world.store.inbound_page(no, None, None, 10).unwrap().items;
    assert_eq!(left.iter().map(|inbound| inbound.provider_id.as_str()).collect::<Vec<_>>(), ["anothers"]);
    assert!(world.store.last_inbound(no, SenderNo(1), OLD).unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn of_two_messages_of_one_second_one_may_go_and_the_window_of_the_other_stays() {
    let world = World::new().await;
    let acme = world.acme().await;
    let no = world.org_no(&acme);
    // One under both names of a person, one under one of them.
    world.they_wrote(&acme, "in-1", Some(ADA[0]), None).await;
    world.they_wrote(&acme, "in-2", Some(ADA[1]), Some(USER)).await;
    let mut commit = Commit::new(no, world.store.head(no).unwrap().epoch);
    let first = world.store.inbound_page(no, None, None, 10).unwrap().items.pop().unwrap();
    commit.forget_inbound(&first, None).unwrap();
    let (done, answer) = tokio::sync::oneshot::channel();
    world.committer.reserve().unwrap().submit(commit, move |result| done.send(result).unwrap());
    answer.await.unwrap().unwrap();
    assert!(world.store.last_inbound(no, SenderNo(1), ADA[0]).unwrap().is_some());
}
