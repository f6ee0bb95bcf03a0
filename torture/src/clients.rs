//! The clients: each posts one message after another with an idempotency key, retries what got no answer, and records
//! what was acknowledged as durable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::plan::Plan;

/// The pause before a client retries a request.
const PAUSE: Duration = Duration::from_millis(20);
/// The share of requests that a client repeats although it got an answer, like a client that crashed before it
/// recorded the answer.
const REPEATED: f64 = 0.03;
/// The most complaints that are kept.
const COMPLAINTS_MAX: usize = 50;

/// An organisation and the API key of its clients.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) org: usize,
    pub(crate) key: String,
}

/// An acknowledged message.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) org: usize,
    pub(crate) id: String,
}

/// What all clients observed.
pub(crate) struct History {
    /// The URL of the service while it runs.
    pub(crate) base: watch::Sender<Option<Arc<str>>>,
    /// The number of acknowledged messages.
    pub(crate) count: watch::Sender<u64>,
    /// The number of requests without an answer.
    pub(crate) unanswered: AtomicU64,
    /// The number of requests answered 429 or 503.
    pub(crate) put_off: AtomicU64,
    /// The number of requests answered with the message of an earlier request.
    pub(crate) replayed: AtomicU64,
    next: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    acknowledged: HashMap<u64, Acknowledged>,
    complaints: Vec<String>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            base: watch::Sender::new(None),
            count: watch::Sender::new(0),
            unanswered: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            next: AtomicU64::new(0),
            notes: Mutex::default(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The acknowledged messages by number.
    pub(crate) fn acknowledged(&self) -> HashMap<u64, Acknowledged> {
        self.notes().acknowledged.clone()
    }

    /// The answers that violate the API's contract.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.notes().complaints.clone()
    }

    fn complain(&self, complaint: String) {
        let mut notes = self.notes();
        if notes.complaints.len() < COMPLAINTS_MAX {
            notes.complaints.push(complaint);
        }
    }

    fn acknowledge(&self, n: u64, org: usize, id: String) {
        let told = id.clone();
        let before = self.notes().acknowledged.insert(n, Acknowledged { org, id });
        match before {
            None => self.count.send_modify(|count| *count += 1),
            Some(before) if before.id == told => {}
            Some(before) => self.complain(format!("message {n} had id {}; its repetition got id {told}", before.id)),
        }
    }
}

/// The recipient of message `n`.
pub(crate) fn recipient(n: u64) -> String {
    format!("+49151{n:09}")
}

/// The number of the message to `recipient`.
pub(crate) fn number(recipient: &str) -> Option<u64> {
    recipient.trim_start_matches('+').strip_prefix("49151")?.parse().ok()
}

/// The running clients.
pub(crate) struct Clients {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Clients {
    pub(crate) fn start(plan: &Plan, http: &Client, tenants: &[Tenant], history: &Arc<History>) -> Self {
        let (stop, mut tasks) = (watch::Sender::new(false), JoinSet::new());
        for (n, tenant) in (0u64..).zip(tenants.iter().flat_map(|tenant| vec![tenant; plan.clients])) {
            let client = OneClient {
                http: http.clone(),
                tenant: tenant.clone(),
                history: Arc::clone(history),
                rest: plan.rest,
                dice: StdRng::seed_from_u64(plan.seed ^ (n + 1).rotate_left(32)),
            };
            tasks.spawn(client.work(stop.subscribe()));
        }
        Self { stop, tasks }
    }

    /// Stops the clients. They finish their current requests first, so the service must be running.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

struct OneClient {
    http: Client,
    tenant: Tenant,
    history: Arc<History>,
    rest: Duration,
    dice: StdRng,
}

enum Answer {
    /// Answered 201, or 200 for a repetition.
    Taken {
        id: String,
        is_replay: bool,
    },
    Later,
    Wrong(String),
}

impl OneClient {
    async fn work(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let n = self.history.next.fetch_add(1, Ordering::Relaxed);
            let body = self.message(n);
            self.persist(n, &body).await;
            if self.dice.random_bool(REPEATED) {
                self.persist(n, &body).await;
            }
            let rest = self.rest.mul_f64(self.dice.random());
            sleep(rest).await;
        }
    }

    fn message(&mut self, n: u64) -> Value {
        let mut body = json!({
            "to": recipient(n),
            "dossierId": n / 10,
            "idempotencyKey": format!("torture-{n}"),
        });
        let mut set = |name: &str, value: Value| {
            if let Some(body) = body.as_object_mut() {
                body.insert(name.into(), value);
            }
        };
        if self.dice.random_bool(0.5) {
            set("templateCode", json!("welcome_message"));
            set("payloadJson", json!({"language": "en"}));
        } else {
            let text = format!("{n} {}", "x".repeat(self.dice.random_range(0..600)));
            set("payloadJson", json!({"type": "text", "text": {"body": text}}));
        }
        if self.dice.random_bool(0.1) {
            let ahead = Duration::from_millis(self.dice.random_range(0..3000));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            set("sendAt", json!(Timestamp::from_secs(now.as_secs()).after(ahead).to_string()));
        }
        if self.dice.random_bool(0.2) {
            set("priority", json!(if self.dice.random_bool(0.5) { "HIGH" } else { "LOW" }));
        }
        body
    }

    /// Posts the message until it is answered, and records the answer.
    async fn persist(&self, n: u64, body: &Value) {
        loop {
            match self.post(body).await {
                Answer::Taken { id, is_replay } => {
                    self.history.replayed.fetch_add(u64::from(is_replay), Ordering::Relaxed);
                    return self.history.acknowledge(n, self.tenant.org, id);
                }
                Answer::Wrong(what) => return self.history.complain(format!("message {n} was answered {what}")),
                Answer::Later => sleep(PAUSE).await,
            }
        }
    }

    async fn post(&self, body: &Value) -> Answer {
        let mut bases = self.history.base.subscribe();
        let base = bases.wait_for(Option::is_some).await.ok().and_then(|base| base.clone());
        let Some(base) = base else { return Answer::Later };
        let request = self.http.post(format!("{base}/api/v1/outbound/messages")).bearer_auth(&self.tenant.key);
        let unanswered = || {
            self.history.unanswered.fetch_add(1, Ordering::Relaxed);
            Answer::Later
        };
        let Ok(response) = request.json(body).send().await else { return unanswered() };
        let status = response.status();
        let Ok(text) = response.text().await else { return unanswered() };
        match status {
            StatusCode::CREATED | StatusCode::OK => {
                let message: Option<Value> = serde_json::from_str(&text).ok();
                match message.as_ref().and_then(|message| message.get("id")?.as_str()) {
                    Some(id) => Answer::Taken { id: id.to_owned(), is_replay: status == StatusCode::OK },
                    None => Answer::Wrong(format!("{status} without an id")),
                }
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                self.history.put_off.fetch_add(1, Ordering::Relaxed);
                Answer::Later
            }
            _ => Answer::Wrong(format!("{status}: {text}")),
        }
    }
}
