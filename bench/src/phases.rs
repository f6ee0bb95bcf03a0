//! The phases. Each has a stage of its own, so that none pays for what another left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use domain::receipt::ReceiptKind;
use domain::state::Status;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::task::JoinSet;
use whatsapp::signature;
use whatsapp::webhook::{StatusUpdate, compose};

use crate::figures::Figures;
use crate::load::{Load, Pace, Posted};
use crate::process::Usage;
use crate::progress::Progress;
use crate::references;
use crate::stage::{Lab, Setup, Stage, WEBHOOK, app_secret};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    /// What this machine can do: bare HTTP round trips, fdatasyncs, calls to the simulator.
    References,
    /// Messages accepted and durable, with sending paused.
    Accepts,
    /// Accepted, sent, and the result recorded.
    Sends,
    /// The same with receipts back, until all are READ.
    Receipts,
    /// From a request to its call to WhatsApp, at a low rate.
    LowRate,
    /// A WhatsApp that takes 50 ms, and 64 calls at once on one number.
    SlowProvider,
    /// Signed webhooks of 1000 receipts each.
    ReceiptBatches,
}

impl Phase {
    /// Its member in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::References => "references",
            Self::Accepts => "accepts",
            Self::Sends => "sends",
            Self::Receipts => "receipts",
            Self::LowRate => "lowRate",
            Self::SlowProvider => "slowProvider",
            Self::ReceiptBatches => "receiptBatches",
        }
    }
}

/// How much of everything.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) messages: u64,
    pub(crate) orgs: usize,
    pub(crate) concurrency: usize,
    pub(crate) latency: Duration,
    pub(crate) rate: u32,
    /// How long what is measured by time is measured.
    pub(crate) time: Duration,
}

/// What comes back from the provider counts as recorded from here on.
pub(crate) const RECORDED: [Status; 4] = [Status::Sent, Status::Delivered, Status::Read, Status::Failed];
const SLOW: Duration = Duration::from_millis(50);
const SLOW_AT_ONCE: usize = 64;
/// Calls at once where they are not what is measured.
const AT_ONCE: usize = 256;
/// Receipts in one webhook, as Meta sends them at most.
const BATCH: usize = 1000;
/// Webhooks at a time.
const WEBHOOKS: usize = 8;

impl Size {
    /// How many messages a rate that is held comes to.
    pub(crate) fn at_rate(&self) -> u64 {
        u64::from(self.rate) * self.time.as_secs()
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup {
            orgs: self.orgs,
            max_concurrent: AT_ONCE,
            latency: self.latency,
            receipts: false,
            max_queued: u64::from(u32::MAX),
        }
    }
}

pub(crate) async fn run(lab: &Lab, phase: Phase, size: Size) -> anyhow::Result<Figures> {
    match phase {
        Phase::References => references::measure(size.concurrency, size.time / 5).await,
        Phase::Accepts => accepts(lab, size).await,
        Phase::Sends => sends(lab, size).await,
        Phase::Receipts => receipts(lab, size).await,
        Phase::LowRate => low_rate(lab, size).await,
        Phase::SlowProvider => slow_provider(lab, size).await,
        Phase::ReceiptBatches => receipt_batches(lab, size).await,
    }
}

async fn accepts(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, size.setup()).await?;
    stage.pause_all().await?;
    let before = stage.usage()?;
    let posted = post(&stage, size, Pace::Closed).await?;
    let mut figures = Figures::default();
    figures.number("acceptsPerSecond", size.messages as f64 / posted.took.as_secs_f64());
    figures.latency("acceptMs", &posted.accepted);
    used(&mut figures, &stage, before, size.messages)?;
    stage.finish().await?;
    Ok(figures)
}

async fn sends(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, size.setup()).await?;
    let before = stage.usage()?;
    let (posted, took) = post_and_send(&stage, size).await?;
    let mut figures = Figures::default();
    figures.number("messagesPerSecond", size.messages as f64 / took.as_secs_f64());
    loaded(&mut figures, &stage, &posted)?;
    used(&mut figures, &stage, before, size.messages)?;
    stage.finish().await?;
    Ok(figures)
}

async fn receipts(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, Setup { receipts: true, ..size.setup() }).await?;
    let before = stage.usage()?;
    let began = Instant::now();
    let (posted, sent) = post_and_send(&stage, size).await?;
    let progress = watch_receipts(&stage, size.messages);
    let delivered =
        stage.until(&stage.tenants, &[Status::Delivered, Status::Read, Status::Failed], size.messages).await? - began;
    let read = stage.until(&stage.tenants, &[Status::Read, Status::Failed], size.messages).await? - began;
    drop(progress);
    let mut figures = Figures::default();
    let per_second = |took: Duration| size.messages as f64 / took.as_secs_f64();
    figures.number("deliveredPerSecond", per_second(delivered));
    figures.number("readPerSecond", per_second(read));
    figures.number("sentPerSecond", per_second(sent));
    loaded(&mut figures, &stage, &posted)?;
    let webhooks = stage.simulator.stats();
    figures.number("receiptsPerWebhook", webhooks.receipts_sent as f64 / webhooks.webhooks_delivered.max(1) as f64);
    used(&mut figures, &stage, before, size.messages)?;
    stage.finish().await?;
    Ok(figures)
}

async fn low_rate(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, Setup { receipts: true, ..size.setup() }).await?;
    let size = Size { messages: size.at_rate(), concurrency: 4, ..size };
    // The first message of an organisation opens its connection to WhatsApp; that is not what this is about.
    let warm = Load { first: size.messages, ..Load::new(&stage, u64::try_from(size.orgs)?, 1, Pace::Closed) };
    let warmed = warm.count;
    all_accepted(&warm.run(&stage).await?)?;
    stage.until(&stage.tenants, &RECORDED, warmed).await?;
    let posted = post(&stage, size, Pace::PerSecond(size.rate)).await?;
    stage.until(&stage.tenants, &RECORDED, size.messages + warmed).await?;
    let mut figures = Figures::default();
    figures.number("messagesPerSecond", size.rate.into());
    loaded(&mut figures, &stage, &posted)?;
    stage.finish().await?;
    Ok(figures)
}

async fn slow_provider(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let setup = Setup { orgs: 1, max_concurrent: SLOW_AT_ONCE, latency: SLOW, ..size.setup() };
    let stage = Stage::start(lab, setup).await?;
    let (_, took) = post_and_send(&stage, size).await?;
    let mut figures = Figures::default();
    figures.number("messagesPerSecond", size.messages as f64 / took.as_secs_f64());
    figures.number("possiblePerSecond", SLOW_AT_ONCE as f64 / SLOW.as_secs_f64());
    stage.finish().await?;
    Ok(figures)
}

async fn receipt_batches(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, size.setup()).await?;
    post_and_send(&stage, size).await?;
    let webhooks = webhooks(&stage)?;
    let before = stage.usage()?;
    let (total, done) = (size.messages * 2, Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&done);
    let _progress = Progress::show("receipts", total, move || counted.load(Ordering::Relaxed));
    let began = Instant::now();
    for round in webhooks {
        // All DELIVERED before the first READ, each round on several connections.
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let round = Arc::new(round);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..WEBHOOKS {
            let (mut wire, round, next, done) =
                (stage.wire().await?, Arc::clone(&round), Arc::clone(&next), Arc::clone(&done));
            tasks.spawn(async move {
                while let Some(webhook) = round.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed))?) {
                    let (status, _) = wire.call(Method::POST, WEBHOOK, &webhook.headers, webhook.body.clone()).await?;
                    ensure!(status == StatusCode::OK, "a webhook was answered {status}");
                    done.fetch_add(webhook.receipts, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        while let Some(result) = tasks.join_next().await {
            result??;
        }
    }
    let took = began.elapsed();
    // Answered 200 means durable, so nothing is left to wait for.
    stage.until(&stage.tenants, &[Status::Read], size.messages).await?;
    let mut figures = Figures::default();
    figures.number("receiptsPerSecond", total as f64 / took.as_secs_f64());
    if let (Some(before), Some(after)) = (before, stage.usage()?) {
        figures.number("cpuMsPerReceipt", (after.cpu_ms - before.cpu_ms) / total as f64);
    }
    stage.finish().await?;
    Ok(figures)
}

/// A signed webhook.
struct Webhook {
    headers: HeaderMap,
    body: Bytes,
    receipts: u64,
}

/// `delivered`, then `read`, of every message that the simulator accepted, as Meta batches them.
fn webhooks(stage: &Stage) -> anyhow::Result<[Vec<Webhook>; 2]> {
    let secret = app_secret()?;
    let hits = stage.simulator.messages_after(0);
    let round = |kind| {
        let batch = |hits: &[Arc<simulator::Accepted>]| {
            let update = |hit| status_update(hit, kind);
            let body = Bytes::from(compose(&hits.iter().map(|hit| update(hit.as_ref())).collect::<Vec<_>>()));
            let signed = HeaderValue::from_str(&signature::sign(&secret, &body))?;
            let headers = HeaderMap::from_iter([(HeaderName::from_static(signature::HEADER), signed)]);
            Ok(Webhook { headers, body, receipts: u64::try_from(hits.len())? })
        };
        hits.chunks(BATCH).map(batch).collect::<anyhow::Result<_>>()
    };
    Ok([round(ReceiptKind::Delivered)?, round(ReceiptKind::Read)?])
}

fn status_update(hit: &simulator::Accepted, kind: ReceiptKind) -> StatusUpdate<'_> {
    StatusUpdate {
        phone_number_id: &hit.phone_number_id,
        provider_id: &hit.wamid,
        recipient: hit.to.trim_start_matches('+'),
        group: false,
        kind,
        played: false,
        category: "utility",
        at: hit.at,
        opaque: hit.opaque.as_deref(),
        error: None,
    }
}

/// Posts all messages, and shows how far that is.
async fn post(stage: &Stage, size: Size, pace: Pace) -> anyhow::Result<Posted> {
    let load = Load::new(stage, size.messages, size.concurrency, pace);
    let done = Arc::clone(&load.done);
    let _progress = Progress::show("accepted", size.messages, move || done.load(Ordering::Relaxed));
    let posted = load.run(stage).await?;
    all_accepted(&posted)?;
    Ok(posted)
}

/// Posts all messages while they are sent; returns once every result is recorded, and how long that took in all.
async fn post_and_send(stage: &Stage, size: Size) -> anyhow::Result<(Posted, Duration)> {
    let simulator = Arc::clone(&stage.simulator);
    let _progress = Progress::show("sent", size.messages, move || simulator.stats().accepted);
    let load = Load::new(stage, size.messages, size.concurrency, Pace::Closed);
    let began = Instant::now();
    let posted = load.run(stage).await?;
    all_accepted(&posted)?;
    let recorded = stage.until(&stage.tenants, &RECORDED, size.messages).await?;
    Ok((posted, recorded - began))
}

fn watch_receipts(stage: &Stage, messages: u64) -> Progress {
    let simulator = Arc::clone(&stage.simulator);
    Progress::show("receipts", messages * 3, move || simulator.stats().receipts_sent)
}

/// A figure of which some were refused would be of something else.
pub(crate) fn all_accepted(posted: &Posted) -> anyhow::Result<()> {
    let answers = || posted.statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    ensure!(
        posted.statuses.keys().all(|status| *status == StatusCode::CREATED),
        "answers were {}",
        answers().join(", ")
    );
    Ok(())
}

/// What a phase with a load tells of its latencies.
fn loaded(figures: &mut Figures, stage: &Stage, posted: &Posted) -> anyhow::Result<()> {
    let (from_request, from_answer) = posted.to_hits(&stage.simulator)?;
    figures.latency("acceptMs", &posted.accepted);
    figures.latency("acceptToSendMs", &from_request);
    figures.latency("answerToSendMs", &from_answer);
    Ok(())
}

/// What the service has used since `before`. Of one that runs elsewhere nothing is known.
fn used(figures: &mut Figures, stage: &Stage, before: Option<Usage>, messages: u64) -> anyhow::Result<()> {
    if let (Some(before), Some(after)) = (before, stage.usage()?) {
        let each = |total: f64| total / messages as f64;
        figures.number("residentMb", after.resident_mb);
        figures.number("peakResidentMb", after.peak_mb);
        figures.number("cpuMsPerMessage", each(after.cpu_ms - before.cpu_ms));
        if let (Some(before), Some(after)) = (before.written_bytes, after.written_bytes) {
            figures.number("writtenBytesPerMessage", each((after - before) as f64));
        }
        let bytes = stage.bytes_on_disk()?.context("the folder of a service of ours")?;
        figures.number("diskBytesPerMessage", each(bytes as f64));
    }
    Ok(())
}
