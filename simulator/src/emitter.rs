//! Sends receipts and inbound messages: one task gathers all receipts that are due into few webhook calls, another tells
//! inbound messages one by one. A call is repeated until it is answered with 200, as by Meta.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use domain::receipt::ReceiptKind;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use whatsapp::signature;
use whatsapp::webhook::{StatusError, StatusUpdate};

use crate::codes::describe;
use crate::ledger::{Accepted, Stats, count};
use crate::shared::{Control, Shared};

/// The most calls at a time.
const CALLS_MAX: usize = 8;
/// What is due so soon after the first goes with it: a call per receipt would cost more than all the rest.
const GATHER: Duration = Duration::from_millis(2);
/// The first pause before a call is repeated; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After so many pauses the receipts are given up.
const GIVE_UP: Duration = Duration::from_secs(600);
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What all receipts of a message say.
#[derive(Debug)]
pub(crate) struct About {
    /// The recipient's digits, its id, or the group's.
    pub(crate) recipient: String,
    /// Whether that is a group.
    pub(crate) group: bool,
    /// What Meta charges the message as.
    pub(crate) category: &'static str,
}

/// A receipt that waits for its time.
#[derive(Debug)]
pub(crate) struct Due {
    /// When it is sent.
    pub(crate) at: Instant,
    /// Its place among those of the same time.
    pub(crate) no: u64,
    /// What it says.
    pub(crate) kind: ReceiptKind,
    /// Whether it says `played`.
    pub(crate) played: bool,
    /// Meta's code, if it failed.
    pub(crate) error: Option<i64>,
    /// When it happened.
    pub(crate) happened: Timestamp,
    /// Whether it carries the opaque text.
    pub(crate) with_opaque: bool,
    /// What it has in common with the message's others.
    pub(crate) about: Arc<About>,
    /// The message.
    pub(crate) message: Arc<Accepted>,
}

impl Due {
    fn update(&self) -> StatusUpdate<'_> {
        StatusUpdate {
            phone_number_id: &self.message.phone_number_id,
            provider_id: &self.message.wamid,
            recipient: &self.about.recipient,
            group: self.about.group,
            kind: self.kind,
            played: self.played,
            category: self.about.category,
            at: self.happened,
            opaque: self.message.opaque.as_deref().filter(|_| self.with_opaque),
            error: self.error.map(|code| {
                let described = describe(code);
                StatusError { code, title: described.title, details: described.details.unwrap_or(described.title) }
            }),
        }
    }
}

impl Ord for Due {
    /// The earliest is the greatest, so that the heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.no).cmp(&(self.at, self.no))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

/// The client of the webhook. Where the system has no certificates it still speaks HTTP, which is all that most tests
/// and containers need.
pub(crate) fn client() -> reqwest::Result<Client> {
    // Fails only if the process has chosen its provider before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || Client::builder().timeout(TIMEOUT).no_proxy().tcp_nodelay(true).pool_max_idle_per_host(CALLS_MAX);
    builder().build().or_else(|error| {
        tracing::debug!(%error, "no system certificates: webhooks over HTTPS will fail");
        let no_roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder().with_root_certificates(no_roots).with_no_client_auth();
        builder().tls_backend_preconfigured(tls).build()
    })
}

/// Runs until it is aborted; the calls in flight end with it.
pub(crate) async fn run(shared: Arc<Shared>, client: Client) {
    let mut calls = JoinSet::new();
    let mut lanes = Lanes::default();
    let mut control = shared.control.subscribe();
    loop {
        let free = calls.len() < CALLS_MAX && control.borrow_and_update().receipts;
        let next = if free { shared.next_due() } else { None };
        tokio::select! {
            () = until(next) => {
                let (batch, era) = shared.take_due(Instant::now(), shared.batch);
                let lane = batch.first().filter(|_| shared.batch == 1).map(|due| due.message.wamid.clone());
                let call = (!batch.is_empty()).then(|| Call::of_receipts(&shared, &batch, era));
                if let Some(call) = call.and_then(|call| lanes.enter(lane, call)) {
                    calls.spawn(in_lane(call, Arc::clone(&shared), client.clone()));
                }
            }
            () = shared.wake.notified() => {}
            Some(ended) = calls.join_next() => {
                if let Some(call) = ended.ok().and_then(|lane| lanes.leave(lane)) {
                    calls.spawn(in_lane(call, Arc::clone(&shared), client.clone()));
                }
            }
            changed = control.changed() => if changed.is_err() { return },
        }
    }
}

/// The message whose lane a call is in, if it is in one.
type Lane = Option<String>;

/// With a single status in each call, those of a message wait for each other: clients that read one status at a time take the
/// last that came for what is so, and of eight calls at once any may be the last. By message, the calls that wait.
#[derive(Default)]
struct Lanes(HashMap<String, VecDeque<Call>>);

impl Lanes {
    /// The call to be made now, if it need not wait.
    fn enter(&mut self, lane: Lane, call: Call) -> Option<(Lane, Call)> {
        let Some(message) = &lane else { return Some((None, call)) };
        if let Some(waiting) = self.0.get_mut(message) {
            waiting.push_back(call);
            return None;
        }
        self.0.insert(message.clone(), VecDeque::new());
        Some((lane, call))
    }

    /// The next call of a lane whose call has ended.
    fn leave(&mut self, lane: Lane) -> Option<(Lane, Call)> {
        let message = lane?;
        let next = self.0.get_mut(&message).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.0.remove(&message);
        }
        next.map(|call| (Some(message), call))
    }
}

/// Makes a call, and tells whose lane is free then.
async fn in_lane((lane, call): (Lane, Call), shared: Arc<Shared>, client: Client) -> Lane {
    call.deliver(shared, client).await;
    lane
}

/// Tells inbound messages one after the other, so that they come in order. Runs until it is aborted.
pub(crate) async fn tell_inbound(shared: Arc<Shared>, client: Client) {
    loop {
        match shared.take_inbound() {
            Some((body, era)) => {
                Call::new(&shared, body, Told::Inbound, era).deliver(Arc::clone(&shared), client.clone()).await;
            }
            None => shared.inbound.notified().await,
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(at) => sleep_until(at + GATHER).await,
        None => std::future::pending().await,
    }
}

/// What a call tells.
#[derive(Clone, Copy)]
enum Told {
    /// So many receipts.
    Receipts(u64),
    /// An inbound message.
    Inbound,
}

impl Told {
    /// Counts it as no longer waiting.
    fn settle(self, stats: &mut Stats, taken: bool) {
        let (waiting, settled, n) = match self {
            Self::Receipts(n) if taken => (&mut stats.receipts_waiting, &mut stats.receipts_sent, n),
            Self::Receipts(n) => (&mut stats.receipts_waiting, &mut stats.receipts_given_up, n),
            Self::Inbound if taken => (&mut stats.inbound_waiting, &mut stats.inbound_sent, 1),
            Self::Inbound => (&mut stats.inbound_waiting, &mut stats.inbound_given_up, 1),
        };
        *waiting = waiting.saturating_sub(n);
        *settled += n;
    }
}

/// One webhook call, repeated until it succeeds.
struct Call {
    body: Bytes,
    signature: String,
    told: Told,
    era: u64,
}

impl Call {
    fn new(shared: &Shared, body: Bytes, told: Told, era: u64) -> Self {
        let signature = signature::sign(&shared.app_secret, &body);
        Self { body, signature, told, era }
    }

    fn of_receipts(shared: &Shared, batch: &[Due], era: u64) -> Self {
        let updates: Vec<StatusUpdate<'_>> = batch.iter().map(Due::update).collect();
        let body = StatusUpdate::compose_for(&shared.waba_id(), &updates);
        Self::new(shared, body.into(), Told::Receipts(count(batch.len())), era)
    }

    async fn deliver(self, shared: Arc<Shared>, client: Client) {
        let mut control = shared.control.subscribe();
        let mut pause = PAUSE;
        let mut waited = Duration::ZERO;
        loop {
            let Control { webhook, receipts, era } = control.borrow_and_update().clone();
            if era != self.era {
                return;
            }
            let Some(url) = webhook else { break };
            if !receipts {
                if control.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if self.post(&client, &url).await {
                shared.count_in(self.era, |stats| {
                    stats.webhooks_delivered += 1;
                    self.told.settle(stats, true);
                });
                return;
            }
            shared.count_in(self.era, |stats| stats.webhooks_failed += 1);
            if waited >= GIVE_UP {
                break;
            }
            if !rest(pause, &mut control).await {
                return;
            }
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        tracing::debug!("a webhook call is given up");
        shared.count_in(self.era, |stats| self.told.settle(stats, false));
    }

    /// Whether the webhook took the receipts.
    async fn post(&self, client: &Client, url: &str) -> bool {
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(signature::HEADER, &self.signature)
            .body(self.body.clone());
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                // Read to its end, so that the connection can be used again.
                let _ = answer.bytes().await;
                true
            }
            Ok(answer) => {
                tracing::debug!(status = answer.status().as_u16(), "the webhook refused");
                false
            }
            Err(error) => {
                // Without the address: it may hold a token.
                tracing::debug!(error = %error.without_url(), "the webhook cannot be reached");
                false
            }
        }
    }
}

/// Waits before a repetition, less if the webhook changes or there is a reset. `false`: the simulator is gone.
async fn rest(pause: Duration, control: &mut watch::Receiver<Control>) -> bool {
    tokio::select! {
        () = sleep(pause) => true,
        changed = control.changed() => changed.is_ok(),
    }
}
