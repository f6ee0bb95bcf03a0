//! One person, several names: what is told of them at once, on its way to the disk, before a crash, and by the dice.

use std::time::Duration;

use actors::{Arrival, News};
use domain::audit::By;
use domain::consent::{Choice, Covers, Preference, Source};
use domain::people::IdentityLink;
use domain::{Inbound, OrgId, ProviderId, SenderNo, Status};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::provider::Say;
use crate::support::{SECOND, World, pass};

const NUMBER: &str = "+4915112345678";
const ID: &str = "DE.1";

impl World {
    async fn told_of(&self, org: &OrgId, names: &[&str], before: &[&str]) {
        let now = self.outbox.clock().now();
        let id = self.outbox.clock().new_message_id(now);
        let inbound = Inbound {
            id,
            provider_id: ProviderId::new(&id.to_string()),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: None,
            user_id: None,
            kind: "system".into(),
            opens_window: false,
            payload: b"{}".as_slice().into(),
            at: now,
            received_at: now,
        };
        let inbound = vec![Arrival { inbound, link: IdentityLink::new(names, before, now) }];
        self.outbox.webhook(org, News { inbound, ..News::default() }).await.unwrap();
    }

    async fn says_under(&self, org: &OrgId, name: &str, choice: Choice) {
        let source = Source::Api { name: None, evidence: None };
        self.outbox.consent(org, name.into(), (choice, Covers::Both), source, By::Admin).await.unwrap();
    }

    fn said_under(&self, org: &OrgId, name: &str) -> Option<Choice> {
        Some(self.store.consent(self.org_no(org), name).unwrap()?.transactional?.choice)
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_and_a_revocation_that_are_on_their_way_together_hold_for_each_other() {
    let world = World::new().await;
    let acme = world.acme().await;
    let waiting = world.post(&acme, json!({"to": ID, "sendAt": World::time(10 * SECOND)})).await;
    // None waits for the one before to be durable.
    tokio::join!(
        world.told_of(&acme, &[NUMBER, ID], &[]),
        world.told_of(&acme, &[ID, "DE.ENT.1"], &[]),
        world.says_under(&acme, NUMBER, Choice::Revoked),
    );
    for name in [NUMBER, ID, "DE.ENT.1"] {
        assert_eq!(world.said_under(&acme, name), Some(Choice::Revoked), "{name}");
    }
    world.until(&acme, waiting, Status::Failed, 20 * SECOND).await;
    assert!(world.provider.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_the_recipients_id_links_it_and_that_outlives_a_crash() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::AcceptAs("DE.1")]);
    let id = world.post(&acme, json!({"to": NUMBER})).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    world.crash().await;
    world.says_under(&acme, ID, Choice::Revoked).await;
    assert_eq!(world.said_under(&acme, NUMBER), Some(Choice::Revoked));
    assert!(world.try_post(&acme, json!({"to": NUMBER})).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_meta_limits_under_one_name_waits_under_the_others() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.told_of(&acme, &[NUMBER, ID], &[]).await;
    world.provider.next(&[Say::Refuse(131_056), Say::Refuse(131_056), Say::Refuse(131_056)]);
    let first = world.post(&acme, json!({"to": ID})).await;
    // Left alone for 1 s, 4 s and 16 s; of these, ten are over.
    pass(10 * SECOND).await;
    assert_eq!(world.provider.calls().len(), 3);
    let second = world.post(&acme, json!({"to": NUMBER})).await;
    pass(5 * SECOND).await;
    assert_eq!(world.provider.calls().len(), 3, "the person is left alone");
    for id in [first, second] {
        world.until(&acme, id, Status::Sent, 10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_counts_once_for_a_quota_and_one_who_wrote_under_another_name_does_not() {
    let world = World::new().await;
    let acme = world.acme_with(json!({"quotas": {"recipientsPerDay": 1}})).await;
    world.told_of(&acme, &[NUMBER, ID], &[]).await;
    for to in [NUMBER, ID] {
        let id = world.post(&acme, json!({ "to": to })).await;
        world.until(&acme, id, Status::Sent, SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_undoes_nothing_under_a_name_that_was_linked_since() {
    for (told, linked) in [(NUMBER, ID), (ID, NUMBER)] {
        let world = World::new().await;
        let acme = world.acme().await;
        let at = world.outbox.clock().now();
        let switched = async |choice| {
            let preferences = vec![Preference { names: vec![told.into()], choice, at, detail: None }];
            world.outbox.webhook(&acme, News { preferences, ..News::default() }).await.unwrap();
        };
        switched(Choice::Granted).await;
        switched(Choice::Revoked).await;
        world.told_of(&acme, &[told, linked], &[]).await;
        let source = Source::Api { name: None, evidence: None };
        let of_others = (Choice::Granted, Covers::Transactional);
        world.outbox.consent(&acme, linked.into(), of_others, source, By::Admin).await.unwrap();
        switched(Choice::Granted).await;
        for name in [told, linked] {
            let known = world.store.consent(world.org_no(&acme), name).unwrap().unwrap();
            assert_eq!(known.marketing.map(|standing| standing.choice), Some(Choice::Revoked), "{told}, {name}");
        }
    }
}

/// Whatever is told and said, in whatever order: [`World`]'s end checks that every name leads to its person and back and
/// that all names of one person say the same.
#[tokio::test(start_paused = true)]
async fn whatever_is_told_of_names_all_of_one_person_agree() {
    const NAMES: [&str; 7] = [NUMBER, "+525512345678", "+5215512345678", ID, "DE.2", "DE.3", "DE.ENT.1"];
    for seed in 0..40 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::new().await;
        let acme = world.acme().await;
        for _ in 0..30 {
            let mut name = || NAMES[dice.random_range(0..NAMES.len())];
            let (one, two, three) = (name(), name(), name());
            match dice.random_range(0..10) {
                0..4 => world.told_of(&acme, &[one, two], &[]).await,
                4 => world.told_of(&acme, &[one], &[two, three]).await,
                5 => world.says_under(&acme, one, Choice::Granted).await,
                6 => world.says_under(&acme, one, Choice::Revoked).await,
                7 => {
                    let (first, last) = ([one, two], [two, three]);
                    tokio::join!(
                        world.told_of(&acme, &first, &[]),
                        world.says_under(&acme, two, Choice::Revoked),
                        world.told_of(&acme, &last, &[]),
                    );
                    assert_eq!(world.said_under(&acme, two), Some(Choice::Revoked), "seed {seed}");
                }
                8 => {
                    let record = world.outbox.directory().org(&acme).unwrap();
                    world.outbox.erase(&record, one.into(), By::Admin).await.unwrap();
                    let known = world.store.known_names(world.org_no(&acme), one).unwrap();
                    assert_eq!((known.names.len(), known.former.len()), (1, 0), "seed {seed}");
                }
                _ => world.crash().await,
            }
            pass(Duration::from_millis(dice.random_range(0..1500))).await;
        }
    }
}
