//! Sends receipts and inbound messages. One task batches the receipts that are due into webhook calls, another sends
//! inbound messages one by one. Like Meta, both retry a call until it is answered with 200.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use whatsapp::signature;
use whatsapp::webhook::StatusUpdate;

use crate::ledger::{Stats, count};
use crate::pending::PendingReceipt;
use crate::shared::{Control, Shared};

/// The most concurrent calls.
const CALLS_MAX: usize = 8;
/// Receipts due within this time of the first join its call. A call per receipt would cost more than everything else.
const GATHER: Duration = Duration::from_millis(2);
/// The pause before the first retry of a call. Each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A call is given up after pauses of this total length.
const GIVE_UP: Duration = Duration::from_secs(600);
/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP client for the webhook. On a system without certificates it still speaks plain HTTP, which is enough for
/// most tests and containers.
pub(crate) fn client() -> reqwest::Result<Client> {
    // Fails only if the process has already installed a provider, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || Client::builder().timeout(TIMEOUT).no_proxy().tcp_nodelay(true).pool_max_idle_per_host(CALLS_MAX);
    builder().build().or_else(|error| {
        tracing::debug!(%error, "found no system certificates: webhooks over HTTPS will fail");
        let no_roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder().with_root_certificates(no_roots).with_no_client_auth();
        builder().tls_backend_preconfigured(tls).build()
    })
}

/// Sends receipts until it is aborted. The calls in flight end with it.
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

/// The id of the message whose lane a call occupies, if it occupies one.
type Lane = Option<String>;

/// The waiting calls by message. With one status per call, the calls of a message wait for each other: a client that
/// reads one status at a time believes the last that came, and any of eight concurrent calls may come last.
#[derive(Default)]
struct Lanes(HashMap<String, VecDeque<Call>>);

impl Lanes {
    /// Returns the call if it can be made now, and queues it otherwise.
    fn enter(&mut self, lane: Lane, call: Call) -> Option<(Lane, Call)> {
        let Some(message) = &lane else { return Some((None, call)) };
        if let Some(waiting) = self.0.get_mut(message) {
            waiting.push_back(call);
            return None;
        }
        self.0.insert(message.clone(), VecDeque::new());
        Some((lane, call))
    }

    /// Returns the next call of a lane whose call has ended.
    fn leave(&mut self, lane: Lane) -> Option<(Lane, Call)> {
        let message = lane?;
        let next = self.0.get_mut(&message).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.0.remove(&message);
        }
        next.map(|call| (Some(message), call))
    }
}

/// Makes a call and returns the lane that it leaves.
async fn in_lane((lane, call): (Lane, Call), shared: Arc<Shared>, client: Client) -> Lane {
    call.deliver(shared, client).await;
    lane
}

/// Sends inbound messages one after the other, so that they arrive in order, until it is aborted.
pub(crate) async fn run_inbound(shared: Arc<Shared>, client: Client) {
    loop {
        match shared.take_inbound() {
            Some((body, era)) => {
                Call::new(&shared, body, Payload::Inbound, era).deliver(Arc::clone(&shared), client.clone()).await;
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

/// What a call carries.
#[derive(Clone, Copy)]
enum Payload {
    /// This many receipts.
    Receipts(u64),
    /// An inbound message.
    Inbound,
}

impl Payload {
    /// Counts it as delivered or given up, and no longer as waiting.
    fn count_out(self, stats: &mut Stats, delivered: bool) {
        let (waiting, done, n) = match self {
            Self::Receipts(n) if delivered => (&mut stats.receipts_waiting, &mut stats.receipts_sent, n),
            Self::Receipts(n) => (&mut stats.receipts_waiting, &mut stats.receipts_given_up, n),
            Self::Inbound if delivered => (&mut stats.inbound_waiting, &mut stats.inbound_sent, 1),
            Self::Inbound => (&mut stats.inbound_waiting, &mut stats.inbound_given_up, 1),
        };
        *waiting = waiting.saturating_sub(n);
        *done += n;
    }
}

/// One webhook call, retried until it succeeds.
struct Call {
    body: Bytes,
    signature: String,
    payload: Payload,
    era: u64,
}

impl Call {
    fn new(shared: &Shared, body: Bytes, payload: Payload, era: u64) -> Self {
        let signature = signature::sign(&shared.app_secret, &body);
        Self { body, signature, payload, era }
    }

    fn of_receipts(shared: &Shared, batch: &[PendingReceipt], era: u64) -> Self {
        let updates: Vec<StatusUpdate<'_>> = batch.iter().map(PendingReceipt::update).collect();
        let body = StatusUpdate::compose_for(&shared.waba_id(), &updates);
        Self::new(shared, body.into(), Payload::Receipts(count(batch.len())), era)
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
                    self.payload.count_out(stats, true);
                });
                return;
            }
            shared.count_in(self.era, |stats| stats.webhooks_failed += 1);
            if waited >= GIVE_UP {
                break;
            }
            if !wait(pause, &mut control).await {
                return;
            }
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        tracing::debug!("gave up a webhook call");
        shared.count_in(self.era, |stats| self.payload.count_out(stats, false));
    }

    /// Makes the call once. Returns whether the webhook answered with 200.
    async fn post(&self, client: &Client, url: &str) -> bool {
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(signature::HEADER, &self.signature)
            .body(self.body.clone());
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                // Reads the body to its end so that the connection can be reused.
                let _ = answer.bytes().await;
                true
            }
            Ok(answer) => {
                tracing::debug!(status = answer.status().as_u16(), "the webhook did not answer with 200");
                false
            }
            Err(error) => {
                // Omits the URL, which may contain a token.
                tracing::debug!(error = %error.without_url(), "cannot reach the webhook");
                false
            }
        }
    }
}

/// Waits before a retry, or until the webhook changes or the simulator is reset. Returns `false` if the simulator has
/// ended.
async fn wait(pause: Duration, control: &mut watch::Receiver<Control>) -> bool {
    tokio::select! {
        () = sleep(pause) => true,
        changed = control.changed() => changed.is_ok(),
    }
}
