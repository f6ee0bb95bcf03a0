//! The harness: an outbox over a store in memory, started and started again while one clock goes on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use actors::{AcceptError, Accepted, ChangeError, Clock, News, Node, OrgChange, Outbox, Settings, TreeQuery};
use domain::audit::By;
use domain::intake::NewMessage;
use domain::org::{Org, PutOrg};
use domain::receipt::{Receipt, ReceiptKind};
use domain::{AttemptNo, AttemptRef, MessageId, OrgId, OrgNo, ProviderId, State, Status, Timestamp};
use serde_json::{Value, json};
use store::backend::{Backend, Order, Write};
use store::verify::verify;
use store::{Committer, MemoryBackend, Restored, Store};
use tokio::time::Instant;
use whatsapp::Provider;

use crate::crash_point::{Life, Mortal};
use crate::provider::Script;

pub(crate) const START: Timestamp = Timestamp::from_secs(1_767_225_600);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// One outbox and all around it.
pub(crate) struct World {
    pub(crate) began: Instant,
    pub(crate) settings: Settings,
    /// What the rolls and ids of each life come from.
    pub(crate) seed: u64,
    pub(crate) backend: MemoryBackend,
    pub(crate) life: Arc<Life>,
    pub(crate) store: Store,
    pub(crate) committer: Committer,
    pub(crate) provider: Arc<Script>,
    pub(crate) outbox: Outbox,
}

/// A store under a master key.
pub(crate) fn store_over(backend: impl Backend) -> Store {
    Store::new(Arc::new(backend)).with_key("5e".repeat(32).parse().unwrap())
}

/// The defaults without jitter, so that times can be foretold.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.policy.retry.jitter = 0.0;
    // All go to one recipient, and pairs are limited in tests of their own.
    settings.pair_limit.interval = Duration::ZERO;
    settings
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::over(MemoryBackend::new(), settings).await
    }

    pub(crate) async fn over(backend: MemoryBackend, settings: Settings) -> Self {
        Self::seeded(0, backend, settings).await
    }

    /// All that it draws comes from `seed`.
    pub(crate) async fn seeded(seed: u64, backend: MemoryBackend, settings: Settings) -> Self {
        let began = Instant::now();
        let (life, store) = begin_life(&backend);
        let provider = Arc::new(Script::new(store.clone(), began));
        provider.serve(&life);
        let clock = Clock::following_tokio(START).seeded(seed);
        let (committer, outbox) = start(&settings, &store, &provider, clock).await;
        Self { began, settings, seed, backend, life, store, committer, provider, outbox }
    }

    /// Ends this life without waiting for anything, and begins the next over the same store.
    pub(crate) async fn restart(&mut self) {
        self.outbox.stop(Duration::ZERO).await;
        self.next_life().await;
    }

    /// A crash: the next life begins with what was in the store at this moment, or when this life was over; what it still
    /// does is lost.
    pub(crate) async fn crash(&mut self) {
        self.backend = self.life.image().unwrap_or_else(|| copy(&self.backend));
        self.outbox.stop(Duration::ZERO).await;
        self.next_life().await;
    }

    /// The original ends, and `backup`, a copy of its store at a moment of before, is restored and goes on in its place; how
    /// many messages are held.
    pub(crate) async fn restore(&mut self, backup: &MemoryBackend, taken_at: Duration) -> u64 {
        self.outbox.stop(Duration::ZERO).await;
        // Whatever is called from now on is called by the copy.
        pass(Duration::from_millis(1)).await;
        self.backend = copy(backup);
        let at = START.after(self.elapsed());
        let mark = Restored { backup: "backup".into(), taken_at: START.after(taken_at), at, held: 0 };
        let held = store_over(self.backend.clone()).hold_unfinished(&mark, &self.settings.policy, &mut |_| ()).unwrap();
        self.next_life().await;
        held
    }

    async fn next_life(&mut self) {
        self.backend.fail_writes(false);
        (self.life, self.store) = begin_life(&self.backend);
        self.provider.look_into(self.store.clone());
        self.provider.serve(&self.life);
        self.seed = self.seed.wrapping_add(1 << 32);
        let clock = Clock::following_tokio(START.after(self.elapsed())).seeded(self.seed);
        (self.committer, self.outbox) = start(&self.settings, &self.store, &self.provider, clock).await;
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The time `after` the test's beginning, as clients write it.
    pub(crate) fn time(after: Duration) -> String {
        START.after(after).to_string()
    }

    pub(crate) async fn put(&self, id: &str, senders: Value) -> Result<Arc<Org>, ChangeError> {
        let put = PutOrg::parse(json!({ "senders": senders }).as_object().unwrap()).unwrap();
        self.outbox.put_org(org_id(id), OrgChange::Put(put), By::Admin).await
    }

    /// The organisation `acme` with one sender and these quotas.
    pub(crate) async fn acme_with_quotas(&self, quotas: Value) -> OrgId {
        let body = json!({"senders": [sender("1001")], "quotas": quotas});
        let put = PutOrg::parse(body.as_object().unwrap()).unwrap();
        self.outbox.put_org(org_id("acme"), OrgChange::Put(put), By::Admin).await.unwrap();
        org_id("acme")
    }

    /// An organisation `acme` with one sender.
    pub(crate) async fn acme(&self) -> OrgId {
        self.put("acme", json!([sender("1001")])).await.unwrap();
        org_id("acme")
    }

    pub(crate) async fn try_post(&self, org: &OrgId, extra: Value) -> Result<Accepted, AcceptError> {
        let mut body = json!({"to": "+4915112345678", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let request = NewMessage::parse(body.as_object().unwrap(), None, self.outbox.clock().now()).unwrap();
        self.outbox.accept(self.outbox.admit(org)?, org, request, By::ApiKey("test".into())).await
    }

    pub(crate) async fn post(&self, org: &OrgId, extra: Value) -> MessageId {
        self.try_post(org, extra).await.unwrap().message.id
    }

    pub(crate) async fn post_many(&self, org: &OrgId, count: usize, extra: Value) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.post(org, extra.clone()).await);
        }
        ids
    }

    pub(crate) fn org_no(&self, org: &OrgId) -> OrgNo {
        self.outbox.directory().org(org).unwrap().no
    }

    pub(crate) fn state(&self, org: &OrgId, id: MessageId) -> State {
        self.store.state(self.org_no(org), id).unwrap().unwrap()
    }

    pub(crate) fn status(&self, org: &OrgId, id: MessageId) -> Status {
        self.state(org, id).phase.status()
    }

    /// The message's state once its status is `wanted`, at the latest `within` from now.
    pub(crate) async fn until(&self, org: &OrgId, id: MessageId, wanted: Status, within: Duration) -> State {
        let look = || Some(self.state(org, id)).filter(|state| state.phase.status() == wanted);
        eventually(&format!("{wanted}"), within, look).await
    }

    pub(crate) async fn all_until(&self, org: &OrgId, ids: &[MessageId], wanted: Status, within: Duration) {
        let done = || ids.iter().all(|id| self.status(org, *id) == wanted).then_some(());
        eventually(&format!("all {wanted}"), within, done).await;
    }

    pub(crate) fn tree(&self) -> Node {
        self.outbox.tree(&TreeQuery { limit: 10_000, ..TreeQuery::default() })
    }

    /// The organisation's actor, if it is in memory.
    pub(crate) fn org_node(&self, org: &OrgId) -> Option<Node> {
        self.tree().children.into_iter().find(|node| node.id == org.as_str())
    }

    pub(crate) fn counter(&self, org: &OrgId, name: &str) -> u64 {
        self.org_node(org).map_or(0, |node| node.counters[name].as_u64().unwrap())
    }

    /// The messages that have an actor now.
    pub(crate) fn actors(&self, org: &OrgId) -> Vec<String> {
        let children = self.org_node(org).map(|node| node.children).unwrap_or_default();
        children.into_iter().filter(|node| node.kind == "message").map(|node| node.id).collect()
    }

    /// No message of the organisation has an actor, or will soon have none.
    pub(crate) async fn nobody_left(&self, org: &OrgId) {
        eventually("no message actor", SECOND, || self.actors(org).is_empty().then_some(())).await;
        assert_eq!(self.counter(org, "resident"), 0);
    }

    pub(crate) async fn receive(&self, org: &OrgId, receipts: Vec<Receipt>) {
        let receipts = receipts.into_iter().map(Into::into).collect();
        self.outbox.webhook(org, News { receipts, ..News::default() }).await.unwrap();
    }
}

impl Drop for World {
    /// Whatever a test did, the store agrees with itself at its end.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let report = verify(&self.store, &mut |_| ());
            let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
            assert!(report.is_clean(), "{findings:#?}");
        }
    }
}

fn begin_life(backend: &MemoryBackend) -> (Arc<Life>, Store) {
    let life = Arc::<Life>::default();
    let mortal = Mortal { backend: backend.clone(), life: Arc::clone(&life) };
    (life, store_over(mortal))
}

async fn start(settings: &Settings, store: &Store, provider: &Arc<Script>, clock: Clock) -> (Committer, Outbox) {
    let committer = Committer::inline(store);
    let provider: Arc<dyn Provider> = Arc::<Script>::clone(provider);
    let outbox = Outbox::start(settings.clone(), store.clone(), committer.clone(), provider, clock).await.unwrap();
    (committer, outbox)
}

/// Every key of a backend, in a new one.
pub(crate) fn copy(backend: &MemoryBackend) -> MemoryBackend {
    let mut all = Vec::new();
    backend
        .scan(&[0]..&[u8::MAX], Order::Ascending, &mut |key, value| {
            all.push(Write::Put(key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let copy = MemoryBackend::new();
    copy.apply(all).unwrap();
    copy
}

pub(crate) fn org_id(id: &str) -> OrgId {
    id.parse().unwrap()
}

pub(crate) fn sender(id: &str) -> Value {
    json!({"phoneNumberId": id, "accessToken": format!("token-{id}"), "appSecret": "s", "verifyToken": "v"})
}

pub(crate) fn sender_at(id: &str, messages_per_second: u32) -> Value {
    let mut sender = sender(id);
    sender["messagesPerSecond"] = json!(messages_per_second);
    sender
}

pub(crate) const fn attempt(message: MessageId, no: u16) -> AttemptRef {
    AttemptRef { message, attempt: AttemptNo(no) }
}

pub(crate) fn receipt(kind: ReceiptKind, provider_id: ProviderId, attempt: Option<AttemptRef>) -> Receipt {
    Receipt { provider_id, attempt, kind, at: START, error: None, pricing: None }
}

/// Waits, in virtual time, until `look` sees something.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    let step = (within / 5000).max(Duration::from_millis(1));
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() <= until, "not seen within {within:?}: {what}");
        tokio::time::sleep(step).await;
    }
}

/// Lets virtual time pass.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
