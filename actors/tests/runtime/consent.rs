//! Consent: what is recorded of it, what it holds back, and who wins when a revocation meets a send.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actors::{AcceptError, Clock, Manual, ManualError, News, Outbox};
use domain::audit::{Action, By, Fact, Subject};
use domain::consent::{Choice, Consent, Covers, Preference, Refusal, Source, Standing};
use domain::message::Category;
use domain::org::PutOrg;
use domain::receipt::{Receipt, ReceiptKind};
use domain::{Inbound, MessageId, OrgId, ProviderId, SenderNo, Status, Timestamp};
use serde_json::{Value, json};
use store::backend::{Backend, Order, Visit, Write};
use store::search::{AuditFilter, MessageFilter};
use store::{Committer, MemoryBackend, StoreError};
use tokio::time::Instant;
use whatsapp::classify::Origin;

use crate::provider::{Say, Script, error, wamid};
use crate::support::{
    HOUR, MINUTE, SECOND, START, World, attempt, eventually, pass, receipt, sender, settings, store_over,
};
use Choice::{Granted, Revoked};

const ADA: &str = "+4915112345678";

impl World {
    async fn told(&self, org: &OrgId, name: &str, choice: Choice, covers: Covers) -> Consent {
        let source = Source::Api { name: None, evidence: None };
        self.outbox.consent(org, name.into(), (choice, covers), source, By::ApiKey("test".into())).await.unwrap()
    }

    fn known(&self, org: &OrgId, name: &str) -> [Option<Choice>; 2] {
        let known = self.store.consent(self.org_no(org), name).unwrap();
        let standings = known.map_or([None; 2], |known| [known.transactional, known.marketing]);
        standings.map(|standing| standing.map(|standing| standing.choice))
    }

    fn history(&self, org: &OrgId, name: &str) -> usize {
        self.store.statements(self.org_no(org), name, None, 100).unwrap().items.len()
    }

    /// A text from Ada, written at some time.
    fn says(&self, name: &str, at: Timestamp, text: &str) -> Inbound {
        let now = self.outbox.clock().now();
        Inbound {
            id: self.outbox.clock().new_message_id(now),
            provider_id: ProviderId::new(name),
            sender: "1001".parse().unwrap(),
            sender_no: SenderNo(1),
            from: Some(ADA.parse().unwrap()),
            user_id: None,
            kind: "text".into(),
            opens_window: true,
            payload: json!({"type": "text", "text": {"body": text}}).to_string().into_bytes().into(),
            at,
            received_at: now,
        }
    }

    async fn hear_text(&self, org: &OrgId, name: &str, text: &str) {
        let inbound = vec![self.says(name, self.outbox.clock().now(), text).into()];
        self.outbox.webhook(org, News { inbound, ..News::default() }).await.unwrap();
    }

    async fn switched(&self, org: &OrgId, choice: Choice, at: Timestamp) {
        let preferences = vec![Preference { names: vec![ADA.into()], choice, at, detail: None }];
        self.outbox.webhook(org, News { preferences, ..News::default() }).await.unwrap();
    }

    fn blocked(&self, org: &OrgId) -> Vec<(Subject, Refusal)> {
        let filter = AuditFilter { action: Some(Action::BlockedByPolicy), ..AuditFilter::default() };
        let page = self.store.audit(self.org_no(org), &filter, None, 100).unwrap();
        let refusal = |fact| {
            let Fact::Blocked(refusal) = fact else { panic!("{fact:?}") };
            refusal
        };
        page.items.into_iter().map(|(_, entry)| (entry.subject, refusal(entry.fact))).collect()
    }

    pub(crate) async fn acme_with(&self, more: Value) -> OrgId {
        let mut body = json!({"senders": [sender("1001")]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let put = PutOrg::parse(body.as_object().unwrap()).unwrap();
        let org = "acme".parse().unwrap();
        self.outbox.put_org("acme".parse().unwrap(), actors::OrgChange::Put(put), By::Admin).await.unwrap();
        org
    }

    /// The messages of the organisation, oldest first.
    fn replies(&self, org: &OrgId) -> Vec<(MessageId, String)> {
        let page = self.store.messages(self.org_no(org), &MessageFilter::default(), None, 100).unwrap();
        let replies = page.items.into_iter().filter(|(message, _)| message.category == Category::Confirmation);
        let mut found: Vec<_> =
            replies.map(|(message, _)| (message.id, String::from_utf8(message.payload.to_vec()).unwrap())).collect();
        found.reverse();
        found
    }
}

fn marketing() -> Value {
    json!({"category": "MARKETING"})
}

#[tokio::test(start_paused = true)]
async fn a_message_that_consent_forbids_is_not_accepted_and_the_refusal_is_audited_with_its_record() {
    let world = World::new().await;
    let acme = world.acme().await;
    let refused = world.try_post(&acme, marketing()).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Blocked(Refusal { revoked: None, .. })), "{refused:?}");
    world.post(&acme, json!({})).await;
    let known = world.told(&acme, ADA, Revoked, Covers::Both).await;
    let refused = world.try_post(&acme, json!({"dossierId": "d"})).await.unwrap_err();
    let AcceptError::Blocked(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.revoked, known.transactional);
    let nothing = Refusal { category: Category::Marketing, revoked: None };
    let subjects = [(Subject::Consent(known.id), refusal), (Subject::Organisation, nothing)];
    assert_eq!(world.blocked(&acme), subjects);
    let activities = world.store.activities(world.org_no(&acme), "d", None, 9).unwrap();
    assert_eq!(activities.items[0].1.fact.activity(), "MESSAGE_BLOCKED_BY_POLICY");
    assert_eq!(world.store.head(world.org_no(&acme)).unwrap().total(), 1, "nothing else was queued");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_answered_as_before_whatever_was_said_since() {
    let world = World::new().await;
    let acme = world.acme().await;
    let first = world.post(&acme, json!({"idempotencyKey": "k"})).await;
    world.told(&acme, ADA, Revoked, Covers::Both).await;
    assert_eq!(world.post(&acme, json!({"idempotencyKey": "k"})).await, first);
}

#[tokio::test(start_paused = true)]
async fn consent_that_is_revoked_while_a_message_waits_ends_it_before_the_call() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let waits = world.post(&acme, json!({"sendAt": World::time(HOUR)})).await;
    let soon = world.post(&acme, json!({"sendAt": World::time(2 * MINUTE)})).await;
    world.told(&acme, ADA, Revoked, Covers::Both).await;
    let state = world.until(&acme, soon, Status::Failed, HOUR).await;
    assert_eq!(state.failure.unwrap().code.to_string(), "BLOCKED_BY_POLICY");
    assert!(state.attempts.is_empty());
    world.restart().await;
    world.until(&acme, waits, Status::Failed, 2 * HOUR).await;
    assert_eq!(world.provider.count(), 0);
    let subjects: Vec<_> = world.blocked(&acme).into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, [Subject::Message(waits), Subject::Message(soon)]);
    world.nobody_left(&acme).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_between_attempts_ends_the_message_before_the_next() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131000)]);
    let id = world.post(&acme, json!({})).await;
    pass(SECOND).await;
    world.told(&acme, ADA, Revoked, Covers::Transactional).await;
    let state = world.until(&acme, id, Status::Failed, HOUR).await;
    assert_eq!((state.attempts.len(), world.provider.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_revocation_is_answered_no_attempt_begins_and_what_began_before_is_finished() {
    // However many of the messages have a send permit by then.
    for head_start in 0..6 {
        let world = World::with(|settings| settings.max_concurrent = 4).await;
        let acme = world.acme().await;
        world.provider.always(Say::Accept, Duration::from_millis(1));
        let ids = world.post_many(&acme, 20, json!({})).await;
        pass(Duration::from_micros(700 * head_start)).await;
        world.told(&acme, ADA, Revoked, Covers::Both).await;
        let is_begun = |id: &&MessageId| !world.state(&acme, **id).attempts.is_empty();
        let begun: Vec<_> = ids.iter().filter(is_begun).copied().collect();
        pass(MINUTE).await;
        for id in &ids {
            let expected = if begun.contains(id) { Status::Sent } else { Status::Failed };
            assert_eq!(world.status(&acme, *id), expected);
        }
        assert_eq!(world.provider.count(), begun.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_cannot_queue_again_what_may_not_go() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.provider.next(&[Say::Refuse(131026)]);
    let id = world.post(&acme, json!({})).await;
    world.until(&acme, id, Status::Failed, SECOND).await;
    world.told(&acme, ADA, Revoked, Covers::Both).await;
    let retry = async || world.outbox.manual(&acme, id, Manual::Retry, By::ApiKey("test".into())).await;
    assert!(matches!(retry().await, Err(ManualError::Blocked(_))));
    assert_eq!((world.status(&acme, id), world.blocked(&acme).len()), (Status::Failed, 1));
    world.told(&acme, ADA, Granted, Covers::Both).await;
    retry().await.unwrap();
    world.until(&acme, id, Status::Sent, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn error_131050_in_an_answer_or_a_receipt_stops_marketing_and_nothing_else() {
    for by_receipt in [false, true] {
        let world = World::new().await;
        let acme = world.acme().await;
        world.told(&acme, ADA, Granted, Covers::Both).await;
        pass(MINUTE).await;
        if !by_receipt {
            world.provider.next(&[Say::Refuse(131050)]);
        }
        let first = world.post(&acme, marketing()).await;
        if by_receipt {
            world.until(&acme, first, Status::Sent, SECOND).await;
            let named = attempt(first, 1);
            let failed = Receipt {
                error: Some(error(131050, Origin::Receipt)),
                at: world.outbox.clock().now(),
                ..receipt(ReceiptKind::Failed, wamid(named), Some(named))
            };
            world.receive(&acme, vec![failed.clone(), failed.clone()]).await;
            world.receive(&acme, vec![failed]).await;
        }
        let state = world.until(&acme, first, Status::Failed, SECOND).await;
        assert_eq!(state.failure.unwrap().code.to_string(), "131050");
        assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Revoked)]);
        assert_eq!(world.history(&acme, ADA), 2, "once, however often it is told");
        assert!(matches!(world.try_post(&acme, marketing()).await, Err(AcceptError::Blocked(_))));
        let next = world.post(&acme, json!({})).await;
        world.until(&acme, next, Status::Sent, SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn error_130472_is_no_choice_of_the_recipients() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.told(&acme, ADA, Granted, Covers::Both).await;
    world.provider.next(&[Say::Refuse(130472)]);
    let id = world.post(&acme, marketing()).await;
    world.until(&acme, id, Status::Failed, SECOND).await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_word_revokes_and_a_start_word_grants_both_categories() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.hear_text(&acme, "wamid.1", " Stop ").await;
    assert_eq!(world.known(&acme, ADA), [Some(Revoked), Some(Revoked)]);
    world.hear_text(&acme, "wamid.2", "do not stop").await;
    assert_eq!(world.history(&acme, ADA), 1);
    world.hear_text(&acme, "wamid.3", "START").await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)]);
    let id = world.post(&acme, marketing()).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    assert!(world.replies(&acme).is_empty(), "none is answered unless the organisation wants it");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_heard_again_or_late_does_not_undo_a_later_grant() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    let early = world.outbox.clock().now();
    let stop = || News { inbound: vec![world.says("wamid.1", early, "STOP").into()], ..News::default() };
    let (first, again) = (stop(), stop());
    world.outbox.webhook(&acme, first).await.unwrap();
    world.told(&acme, ADA, Granted, Covers::Both).await;
    world.outbox.webhook(&acme, again).await.unwrap();
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)], "the same message once more");
    pass(MINUTE).await;
    world.told(&acme, ADA, Granted, Covers::Both).await;
    let late = vec![world.says("wamid.2", early, "STOP").into()];
    world.outbox.webhook(&acme, News { inbound: late, ..News::default() }).await.unwrap();
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)], "another one, written before");
    world.switched(&acme, Revoked, early).await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)]);
    world.restart().await;
    let now = world.outbox.clock().now();
    world.switched(&acme, Revoked, now).await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Revoked)]);
    world.told(&acme, ADA, Granted, Covers::Marketing).await;
    world.switched(&acme, Revoked, now).await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)], "a repeat, within the same second");
    world.switched(&acme, Revoked, now.after(SECOND)).await;
    pass(2 * SECOND).await;
    world.told(&acme, ADA, Granted, Covers::Marketing).await;
    world.switched(&acme, Revoked, now.after(SECOND)).await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)], "a repeat, whose time lay ahead at first");
}

#[tokio::test(start_paused = true)]
async fn a_time_of_metas_that_lies_ahead_does_not_outlast_what_is_said_afterwards() {
    let world = World::new().await;
    let acme = world.acme().await;
    let ahead = world.outbox.clock().now().after(24 * HOUR);
    world.switched(&acme, Revoked, ahead).await;
    pass(2 * SECOND).await;
    world.hear_text(&acme, "wamid.1", "start").await;
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)]);
}

#[tokio::test(start_paused = true)]
async fn consent_is_one_for_all_spellings_of_a_number() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.told(&acme, "+5215512345678", Revoked, Covers::Both).await;
    for to in ["+525512345678", "+5215512345678"] {
        let refused = world.try_post(&acme, json!({ "to": to })).await;
        assert!(matches!(refused, Err(AcceptError::Blocked(_))), "{to}");
        assert_eq!(world.known(&acme, to), [Some(Revoked), Some(Revoked)], "{to}");
    }
    world.post(&acme, json!({"to": "+525512345679"})).await;
}

#[tokio::test(start_paused = true)]
async fn one_who_shows_no_number_is_known_by_metas_id() {
    let world = World::new().await;
    let acme = world.acme().await;
    let now = world.outbox.clock().now();
    let hidden = Inbound { from: None, user_id: Some("US.134".into()), ..world.says("wamid.1", now, "STOP") };
    world.outbox.webhook(&acme, News { inbound: vec![hidden.into()], ..News::default() }).await.unwrap();
    assert_eq!(world.known(&acme, "US.134"), [Some(Revoked), Some(Revoked)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_confirmed_once_a_day_though_the_recipient_has_just_revoked() {
    let mut world = World::new().await;
    let acme = world.acme_with(json!({"stopReply": "You are off the list.", "startReply": "Welcome back."})).await;
    let hear = |name| {
        let inbound = vec![world.says(name, world.outbox.clock().now(), "STOP").into()];
        world.outbox.webhook(&acme, News { inbound, ..News::default() })
    };
    // Neither waits for the other to be durable.
    let (one, two) = tokio::join!(hear("a"), hear("b"));
    one.and(two).unwrap();
    let replies = world.replies(&acme);
    assert_eq!(replies.len(), 1);
    assert!(replies[0].1.contains("off the list"), "{}", replies[0].1);
    world.until(&acme, replies[0].0, Status::Sent, SECOND).await;
    world.restart().await;
    world.hear_text(&acme, "c", "stop").await;
    assert_eq!(world.replies(&acme).len(), 1);
    world.hear_text(&acme, "d", "start").await;
    assert_eq!(world.replies(&acme).len(), 2);
    pass(24 * HOUR).await;
    world.hear_text(&acme, "e", "stop").await;
    assert_eq!(world.replies(&acme).len(), 3);
    assert_eq!(world.known(&acme, ADA), [Some(Revoked), Some(Revoked)]);
}

#[tokio::test(start_paused = true)]
async fn with_consent_off_nothing_is_asked_but_all_is_recorded() {
    let world = World::new().await;
    let acme = world.acme_with(json!({"consent": "off"})).await;
    world.hear_text(&acme, "wamid.1", "STOP").await;
    let id = world.post(&acme, marketing()).await;
    world.until(&acme, id, Status::Sent, SECOND).await;
    world.acme_with(json!({"consent": "required"})).await;
    assert!(matches!(world.try_post(&acme, json!({})).await, Err(AcceptError::Blocked(_))));
    assert!(matches!(world.try_post(&acme, json!({"to": "+4915100000000"})).await, Err(AcceptError::Blocked(_))));
}

/// A store whose disk is slow as long as its gate is shut.
#[derive(Clone, Default)]
struct Gated {
    inner: MemoryBackend,
    is_shut: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn shut(&self, is_shut: bool) {
        *self.is_shut.0.lock().unwrap() = is_shut;
        self.is_shut.1.notify_all();
    }
}

/// Opens the gate when it goes.
struct Opens<'a>(&'a Gated);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.shut(false);
    }
}

impl Backend for Gated {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        drop(self.is_shut.1.wait_while(self.is_shut.0.lock().unwrap(), |is_shut| *is_shut).unwrap());
        self.inner.apply(writes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.inner.size_on_disk()
    }
}

// In real time: the commits have a thread of their own.
#[tokio::test]
async fn what_is_on_its_way_to_the_disk_counts_already() {
    let disk = Gated::default();
    let store = store_over(disk.clone());
    let committer = Committer::start(&store).unwrap();
    let began = Instant::now();
    let provider = Arc::new(Script::new(store.clone(), began));
    let clock = Clock::following_tokio(START);
    let outbox = Outbox::start(settings(), store.clone(), committer.clone(), provider.clone(), clock).await.unwrap();
    let (settings, backend, life) = (settings(), disk.inner.clone(), Arc::default());
    let world = World { began, settings, seed: 0, backend, life, store, committer, provider, outbox };
    let acme = world.acme_with(json!({"stopReply": "Bye."})).await;
    let before = world.counter(&acme, "auditEntries");
    let is_durable = || (world.store.head(world.org_no(&acme)).unwrap().last_seq == before).then_some(());
    eventually("the organisation", 10 * SECOND, is_durable).await;
    disk.shut(true);
    let hear = |name| world.hear_text(&acme, name, "STOP");
    let ((), (), refused, _, accepted, ()) = tokio::join!(
        hear("wamid.1"),
        hear("wamid.2"),
        world.try_post(&acme, json!({})),
        world.told(&acme, ADA, Granted, Covers::Both),
        world.try_post(&acme, marketing()),
        async {
            // Opened even if what is awaited does not come.
            let _gate = Opens(&disk);
            let decided = || (world.counter(&acme, "auditEntries") >= before + 8).then_some(());
            eventually("all decided while nothing is durable", 10 * SECOND, decided).await;
            assert_eq!(world.store.head(world.org_no(&acme)).unwrap().last_seq, before);
        },
    );
    assert!(matches!(refused, Err(AcceptError::Blocked(_))), "{refused:?}");
    accepted.unwrap();
    assert_eq!(world.known(&acme, ADA), [Some(Granted), Some(Granted)]);
    assert_eq!(world.replies(&acme).len(), 1, "nor is a stop confirmed twice");
}

/// A receipt with Meta's word for what the message is billed as.
fn billed(kind: ReceiptKind, message: MessageId, secs: u32, category: &str) -> Receipt {
    let pricing = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": category});
    let attempt = attempt(message, 1);
    let pricing = Some(pricing.to_string().into_bytes().into());
    Receipt { pricing, at: START.after(SECOND * secs), ..receipt(kind, wamid(attempt), Some(attempt)) }
}

#[tokio::test(start_paused = true)]
async fn a_template_that_is_billed_as_marketing_needs_consent_to_marketing_from_then_on() {
    let template = |name: &str| json!({"payloadJson": {"type": "template", "template": {"name": name, "language": {"code": "de"}}}});
    let mut world = World::new().await;
    let acme = world.acme().await;
    let first = world.post(&acme, template("offer")).await;
    let mut later = template("offer");
    later["sendAt"] = json!(World::time(HOUR));
    let held = world.post(&acme, later).await;
    world.until(&acme, first, Status::Sent, SECOND).await;
    world.receive(&acme, vec![billed(ReceiptKind::Sent, first, 10, "marketing")]).await;
    let facts = |world: &World| {
        let page = world.store.audit(world.org_no(&acme), &AuditFilter::default(), None, 100).unwrap();
        let told = page.items.into_iter().filter(|(_, entry)| matches!(entry.fact, Fact::TemplateBilled { .. }));
        told.map(|(_, entry)| entry.fact.activity()).collect::<Vec<_>>()
    };
    assert_eq!(facts(&world), ["TEMPLATE_BILLED_AS_MARKETING"]);
    // The same again is no news.
    world.receive(&acme, vec![billed(ReceiptKind::Delivered, first, 11, "marketing")]).await;
    assert_eq!(facts(&world).len(), 1);

    for _ in 0..2 {
        let AcceptError::Blocked(refusal) = world.try_post(&acme, template("offer")).await.unwrap_err() else {
            panic!()
        };
        assert_eq!(refusal.category, Category::BilledMarketing);
        assert!(
            refusal.to_string().contains("MARKETING") && refusal.to_string().contains("bills its template"),
            "{refusal}"
        );
        // What was free before is so still.
        world.post(&acme, template("news")).await;
        world.post(&acme, json!({})).await;
        let org = world.outbox.directory().org(&acme).unwrap();
        let explained = world.outbox.explain(&org, held).await.unwrap().unwrap();
        let gate = explained.gates.iter().find(|gate| gate.gate == "consent").unwrap();
        assert!(gate.detail.contains("bills its template as marketing"), "{}", gate.detail);
        world.restart().await;
    }
    // One that was accepted before is asked again before its attempt.
    pass(HOUR + MINUTE).await;
    let state = world.state(&acme, held);
    assert_eq!((state.phase.status(), &*state.failure.unwrap().code.to_string()), (Status::Failed, Refusal::CODE));
    // Whoever has agreed gets it.
    world.told(&acme, ADA, Granted, Covers::Marketing).await;
    let granted = world.post(&acme, template("offer")).await;
    world.until(&acme, granted, Status::Sent, MINUTE).await;
    // Meta may come to bill it otherwise; what is older than what is known says nothing.
    world.told(&acme, ADA, Revoked, Covers::Marketing).await;
    world.receive(&acme, vec![billed(ReceiptKind::Sent, granted, 9, "utility")]).await;
    assert!(world.try_post(&acme, template("offer")).await.is_err());
    world.receive(&acme, vec![billed(ReceiptKind::Delivered, granted, 7000, "utility")]).await;
    world.post(&acme, template("offer")).await;
    assert_eq!(facts(&world), ["TEMPLATE_NO_LONGER_BILLED_AS_MARKETING", "TEMPLATE_BILLED_AS_MARKETING"]);
    let report = store::verify::verify(&world.store, &mut |_| ());
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn meta_s_own_quick_reply_revokes_marketing_and_leaves_other_messages_and_what_stands_below_a_picture_grants_nothing()
 {
    let world = World::new().await;
    let acme = world.acme().await;
    let said = |name: &str, payload: Value| {
        let payload = payload.to_string().into_bytes().into();
        vec![Inbound { payload, ..world.says(name, world.outbox.clock().now(), "") }.into()]
    };
    let known = || {
        let known = world.store.consent(world.org_no(&acme), ADA).unwrap();
        let choice = |standing: Option<Standing>| standing.map(|standing| standing.choice);
        known.map(|known| (choice(known.transactional), choice(known.marketing)))
    };
    let caption = json!({"type": "image", "image": {"caption": "start"}});
    world.outbox.webhook(&acme, News { inbound: said("wamid.1", caption), ..News::default() }).await.unwrap();
    assert_eq!(known(), None);
    let label = json!({"type": "button", "button": {"payload": "Stop promotions", "text": "Stop promotions"}});
    world.outbox.webhook(&acme, News { inbound: said("wamid.2", label), ..News::default() }).await.unwrap();
    assert_eq!(known(), Some((None, Some(Choice::Revoked))));
    let both = json!({"type": "button", "button": {"payload": "Stop promotions", "text": "STOP"}});
    world.outbox.webhook(&acme, News { inbound: said("wamid.3", both), ..News::default() }).await.unwrap();
    assert_eq!(known(), Some((Some(Choice::Revoked), Some(Choice::Revoked))));
}
