//! Any actor may panic at any kind of message: it is started again within its budget, its neighbours notice nothing, and no
//! message is lost or sent twice.

use std::collections::HashMap;
use std::time::Duration;

use actors::faults::Fault;
use actors::{AcceptError, Kind, Manual, News, OrgChange, TemplateStatus};
use domain::audit::By;
use domain::gate::TemplateKey;
use domain::org::PutOrg;
use domain::receipt::Receipt;
use domain::receipt::ReceiptKind::{Delivered, Sent};
use domain::{MessageId, OrgId, ProviderId, Status};
use serde_json::{Value, json};

use crate::provider::{Say, wamid};
use crate::support::{HOUR, MINUTE, SECOND, World, eventually, org_id, pass, receipt, sender};

/// Every kind of message that the day below brings to every kind of actor; what only a crash brings, and what only a full
/// commit queue does, is not among them.
const SORTS: &[(Kind, &[&str])] = &[
    (
        Kind::Org,
        &[
            "starting",
            "accepting a message",
            "recording receipts",
            "following a person's wish",
            "changing the organisation",
            "recording a step",
            "letting an actor go",
            "following a sender",
            "following a template",
            "explaining",
            "following a commit",
            "looking at what is due",
            "looking through parked receipts",
            "looking for work",
            "leaving",
            "following new settings",
        ],
    ),
    (
        Kind::Message,
        &[
            "starting",
            "looking at the time",
            "beginning an attempt",
            "stepping back",
            "leaving its sender",
            "acting on a commit",
            "following a change",
            "recording an answer",
        ],
    ),
    (
        Kind::Provider,
        &[
            "queueing a message",
            "letting a message go",
            "starting a call",
            "following an answer",
            "slowing down",
            "opening a template",
            "shutting a template",
            "taking back a turn",
            "refilling",
            "beginning a probe",
            "changing its settings",
            "explaining",
        ],
    ),
    (Kind::Audit, &["following the trail", "sealing", "noting a seal"]),
];

const ACME: &str = "/root/org:acme";

fn news(receipt: &Receipt) -> News {
    News { receipts: vec![receipt.clone().into()], ..News::default() }
}

fn senders() -> Value {
    let mut senders = [sender("1001"), sender("1002")];
    for sender in &mut senders {
        sender["wabaId"] = json!("waba");
    }
    senders[0]["messagesPerSecond"] = json!(5);
    json!(senders)
}

/// One day of an organisation, with a bit of everything, beside a neighbour with a quiet one.
struct Day {
    world: World,
    acme: OrgId,
    neighbour: OrgId,
    ids: Vec<MessageId>,
    /// What the messages that do not reach their recipients are expected to end as.
    otherwise: HashMap<MessageId, Status>,
    /// Calls whose receipts have come.
    reported: usize,
}

impl Day {
    async fn begin(armed: Option<(Kind, &'static str, u32)>) -> Self {
        let world = World::with(|settings| {
            settings.pair_limit.interval = SECOND;
            settings.pair_limit.burst = 4;
        })
        .await;
        world.put("neighbour", json!([sender("2001")])).await.unwrap();
        if let Some((kind, what, times)) = armed {
            world.outbox.faults().arm(ACME, kind, what, Fault::Panic, times);
        }
        let (acme, neighbour) = (org_id("acme"), org_id("neighbour"));
        let mut day = Self { world, acme, neighbour, ids: Vec::new(), otherwise: HashMap::new(), reported: 0 };
        day.persist(async |day| day.world.put("acme", senders()).await.ok()).await;
        day
    }

    /// Asks until it is done, as clients do.
    async fn persist<T>(&mut self, mut ask: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        for _ in 0..600 {
            if let Some(done) = ask(self).await {
                return done;
            }
            pass(Duration::from_millis(200)).await;
        }
        panic!("not done within two minutes");
    }

    async fn post(&mut self, mut extra: Value) -> MessageId {
        let n = self.ids.len();
        extra["idempotencyKey"] = json!(format!("key-{n}"));
        if extra.get("to").is_none() {
            extra["to"] = json!(format!("+49151000000{n:02}"));
        }
        let id = self
            .persist(async |day| day.world.try_post(&day.acme, extra.clone()).await.ok().map(|done| done.message.id))
            .await;
        self.ids.push(id);
        id
    }

    async fn change(&mut self, change: OrgChange) {
        self.persist(async |day| day.world.outbox.change_org(&day.acme, change.clone(), By::Admin).await.ok()).await;
    }

    async fn wish(&mut self, id: MessageId, wish: Manual) {
        self.persist(async |day| match day.world.outbox.manual(&day.acme, id, wish, By::Admin).await {
            Ok(_) | Err(actors::ManualError::WrongState) => Some(()),
            Err(_) => None,
        })
        .await;
    }

    /// Meta reports whatever it took.
    async fn report(&mut self) {
        let calls = self.world.provider.calls();
        for call in calls.iter().skip(self.reported).filter(|call| call.say == Say::Accept && call.from != "2001") {
            let done = receipt(Delivered, wamid(call.attempt), Some(call.attempt));
            self.persist(async |day| day.world.outbox.webhook(&day.acme, news(&done)).await.ok()).await;
        }
        self.reported = calls.len();
    }

    async fn pass(&mut self, time: Duration) {
        let step = (time / 20).max(SECOND);
        let mut passed = Duration::ZERO;
        while passed < time {
            pass(step).await;
            passed += step;
            self.report().await;
        }
    }

    async fn live(&mut self) {
        let script = self.world.provider.clone();
        script.always(Say::Accept, Duration::from_millis(20));
        // A crowd beyond the rate, one that expires in it, more to one recipient than its limit, one that is to wait.
        for _ in 0..6 {
            self.post(json!({"from": "1001"})).await;
        }
        let now = self.world.elapsed();
        let late =
            self.post(json!({"from": "1001", "priority": "LOW", "expiresAt": World::time(now + SECOND / 2)})).await;
        for _ in 0..6 {
            self.post(json!({"from": "1002", "to": "+4915111111111"})).await;
        }
        let timed = self.post(json!({"from": "1002", "sendAt": World::time(now + 2 * MINUTE)})).await;
        let recalled = self.post(json!({"from": "1002", "sendAt": World::time(now + HOUR)})).await;
        let org = self.world.outbox.directory().org(&self.acme).unwrap();
        let _ = self.world.outbox.explain(&org, self.ids[5]).await;
        self.wish(recalled, Manual::Cancel).await;
        self.otherwise.insert(recalled, Status::Cancelled);
        self.otherwise.insert(late, Status::Failed);
        self.pass(5 * SECOND).await;
        // Errors of every scope.
        script.next(&[Say::Refuse(131000)]);
        self.post(json!({"from": "1002"})).await;
        self.pass(SECOND).await;
        script.next(&[Say::Refuse(131000)]);
        let resting = self.post(json!({"from": "1002"})).await;
        self.pass(SECOND).await;
        self.wish(resting, Manual::Cancel).await;
        self.otherwise.insert(resting, Status::Cancelled);
        script.next(&[Say::Refuse(131026)]);
        let again = self.post(json!({"from": "1002"})).await;
        self.pass(SECOND).await;
        self.wish(again, Manual::Retry).await;
        self.pass(2 * SECOND).await;
        script.next(&[Say::Refuse(80007)]);
        self.post(json!({"from": "1002"})).await;
        self.pass(3 * SECOND).await;
        let template = json!({"from": "1002", "templateCode": "hello", "payloadJson": {"language": "en"}});
        script.next(&[Say::Refuse(132015)]);
        self.post(template.clone()).await;
        self.pass(SECOND).await;
        self.post(template).await;
        self.pass(SECOND).await;
        for is_usable in [false, true] {
            let template = TemplateKey { name: "hello".into(), language: "en".into() };
            let news = TemplateStatus { waba_id: "waba".into(), template, is_usable };
            self.world.outbox.template_status(&self.acme, news);
            self.pass(SECOND).await;
        }
        script.next(&[Say::Refuse(190)]);
        for _ in 0..3 {
            self.post(json!({"from": "1001"})).await;
        }
        self.pass(2 * MINUTE).await;
        // News: settings, a change, somebody else's receipt.
        self.world.outbox.reconfigure(self.world.settings.clone());
        let put = PutOrg::parse(json!({"name": "Acme", "senders": senders()}).as_object().unwrap()).unwrap();
        self.change(OrgChange::Put(put)).await;
        let theirs = receipt(Sent, ProviderId::new("theirs"), None);
        self.persist(async |day| day.world.outbox.webhook(&day.acme, news(&theirs)).await.ok()).await;
        self.pass(2 * MINUTE).await;
        let state = self.world.state(&self.acme, timed);
        assert_ne!(state.phase.status(), Status::Queued, "it was due two minutes ago");
        self.pass(2 * HOUR).await;
    }

    /// No message is lost, none was taken twice, and the neighbour has noticed nothing.
    async fn check(&self, what: &str) {
        for id in &self.ids {
            let status = self.world.status(&self.acme, *id);
            let expected = self.otherwise.get(id).copied().unwrap_or(Status::Delivered);
            // What a crash held up may have found its time sooner or later than planned.
            assert!(status == expected || status == Status::Delivered, "{what}: {id} is {status}, not {expected}");
            let calls = self.world.provider.calls();
            let taken = calls.iter().filter(|call| call.attempt.message == *id && call.say == Say::Accept).count();
            assert!(taken <= 1, "{what}: {id} was sent {taken} times");
        }
        let fine = self.world.post(&self.neighbour, json!({})).await;
        self.world.until(&self.neighbour, fine, Status::Sent, SECOND).await;
        let node = self.world.org_node(&self.neighbour).unwrap();
        assert_eq!((node.restarts, node.last_exit), (0, None), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_day_brings_every_kind_of_mail_and_ends_well() {
    let mut day = Day::begin(None).await;
    day.live().await;
    day.check("nothing crashed").await;
    let seen = day.world.outbox.faults().seen();
    for (kind, sorts) in SORTS {
        for what in *sorts {
            assert!(seen.contains(&(*kind, *what)), "the day has no {what} of {}", kind.as_str());
        }
    }
}

async fn a_panic_at_each_mail_of(kind: Kind) {
    let (_, sorts) = SORTS.iter().find(|(known, _)| *known == kind).unwrap();
    for what in *sorts {
        let mut day = Day::begin(Some((kind, what, 1))).await;
        day.live().await;
        assert!(!day.world.outbox.faults().is_armed(), "{what} of {} never came", kind.as_str());
        day.check(&format!("a panic at {what} of {}", kind.as_str())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_organisation_may_panic_at_any_mail() {
    a_panic_at_each_mail_of(Kind::Org).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_may_panic_at_any_mail() {
    a_panic_at_each_mail_of(Kind::Message).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_may_panic_at_any_mail() {
    a_panic_at_each_mail_of(Kind::Provider).await;
}

#[tokio::test(start_paused = true)]
async fn an_audit_trail_may_panic_at_any_mail() {
    a_panic_at_each_mail_of(Kind::Audit).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_beyond_its_budget_fails_with_the_panics_words_and_others_go_on() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.outbox.faults().arm(ACME, Kind::Message, "beginning an attempt", Fault::Panic, 4);
    let bad = world.post(&acme, json!({})).await;
    let state = world.until(&acme, bad, Status::Failed, MINUTE).await;
    let failure = state.failure.unwrap();
    assert_eq!(failure.code.to_string(), "CRASHED");
    assert!(failure.message.contains("a fault on purpose"), "{}", failure.message);
    let good = world.post(&acme, json!({})).await;
    world.until(&acme, good, Status::Sent, SECOND).await;
    assert_eq!((world.provider.count(), world.org_node(&acme).unwrap().restarts), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_organisation_beyond_its_budget_is_quarantined_ever_longer_says_so_and_comes_back() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.put("neighbour", json!([sender("2001")])).await.unwrap();
    let kept = world.post(&acme, json!({"sendAt": World::time(10 * SECOND)})).await;
    world.outbox.faults().arm(ACME, Kind::Org, "starting", Fault::Panic, 8);
    world.outbox.faults().arm(ACME, Kind::Org, "explaining", Fault::Panic, 1);
    let org = world.outbox.directory().org(&acme).unwrap();
    let _ = world.outbox.explain(&org, kept).await;
    let refused = eventually("quarantine", MINUTE, || {
        let node = world.org_node(&acme)?;
        (node.status == "QUARANTINED").then_some(node)
    })
    .await;
    assert!(refused.last_exit.unwrap().contains("a fault on purpose"));
    assert!(refused.counters["retryAt"].is_string());
    let down = world.try_post(&acme, json!({})).await;
    let Err(AcceptError::Down(reason)) = down else { panic!("{down:?}") };
    assert!(reason.contains("quarantined") && reason.contains("2026-"), "{reason}");
    let fine = world.post(&org_id("neighbour"), json!({})).await;
    world.until(&org_id("neighbour"), fine, Status::Sent, SECOND).await;
    // Five restarts, then tries after 1, 2 and 4 minutes, each of which fails, and one after 8.
    let began = world.elapsed();
    world.until(&acme, kept, Status::Sent, HOUR).await;
    let minutes = (world.elapsed() - began).as_secs() / 60;
    assert!((7..=15).contains(&minutes), "{minutes}");
    assert!(world.try_post(&acme, json!({})).await.is_ok());
    assert_eq!(world.org_node(&acme).unwrap().status, "RUNNING");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_get_on_is_shown_as_stuck_and_counted_once() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.outbox.faults().arm(ACME, Kind::Provider, "starting a call", Fault::Stall(MINUTE), 1);
    let id = world.post(&acme, json!({})).await;
    let provider = || world.org_node(&acme)?.children.into_iter().find(|node| node.kind == "provider");
    let stuck =
        eventually("a stuck sender", 10 * SECOND, || provider().filter(|provider| provider.status == "STUCK")).await;
    assert!(stuck.doing.unwrap().starts_with("starting a call"));
    pass(30 * SECOND).await;
    assert_eq!(world.tree().counters["stuck"], 1);
    world.until(&acme, id, Status::Sent, 2 * MINUTE).await;
    assert_eq!(provider().unwrap().status, "RUNNING");
}
