//! Scenarios: what the runtime must withstand, played at full size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;
use domain::state::Status;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value};
use tokio::time::sleep;

use crate::figures::{Figures, Latencies};
use crate::load::{Load, Pace};
use crate::phases::{RECORDED, Size, all_accepted};
use crate::progress::Progress;
use crate::stage::{API, Lab, Setup, Stage, Tenant, UNLIMITED};

/// What can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// So many messages (1,000,000) queued over so many organisations (1000), sending paused: memory, restart, resume.
    Million,
    /// One organisation with a backlog (200,000), another posting single messages: how much later do those go?
    Fairness,
    /// Far more is offered than can be carried (at most 2,000,000 messages, for ten seconds).
    Overload,
    /// The actor tree of so many organisations (10,000).
    Tree,
}

/// What Meta lets a new phone number send per second.
const METAS_RATE: u32 = 80;
/// The whole is posted in so many parts, to see whether the last costs more than the first.
const PARTS: u64 = 10;
/// So many times the usual connections offer more than can be carried: each posts again as soon as it is answered.
const CROWD: usize = 32;
/// Queued at most, per organisation, when more is offered than can be carried.
const CROWDED_QUEUE: u64 = 10_000;
const PROBE_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Looks at the actor tree.
const LOOKS: usize = 100;

impl Scenario {
    /// Its member in the JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Million => "million",
            Self::Fairness => "fairness",
            Self::Overload => "overload",
            Self::Tree => "tree",
        }
    }

    /// Messages and organisations, if the arguments do not say.
    pub(crate) const fn size(self) -> (u64, u32) {
        match self {
            Self::Million => (1_000_000, 1000),
            Self::Fairness => (200_000, 2),
            Self::Overload => (2_000_000, 8),
            Self::Tree => (1, 10_000),
        }
    }
}

pub(crate) async fn run(lab: &Lab, scenario: Scenario, size: Size) -> anyhow::Result<Figures> {
    match scenario {
        Scenario::Million => million(lab, size).await,
        Scenario::Fairness => fairness(lab, size).await,
        Scenario::Overload => overload(lab, size).await,
        Scenario::Tree => tree(lab, size).await,
    }
}

async fn million(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let mut stage = Stage::start(lab, size.setup()).await?;
    stage.pause_all().await?;
    let mut figures = Figures::default();
    let part = size.messages.div_ceil(PARTS);
    let mut costs = Vec::new();
    for n in 0..PARTS {
        let before = stage.usage()?.context("memory is measured of a service of our own")?;
        let load = Load { first: n * part, ..Load::new(&stage, part, size.concurrency, Pace::Closed) };
        let (done, posted_before) = (Arc::clone(&load.done), n * part);
        let count = move || posted_before + done.load(Ordering::Relaxed);
        let _progress = Progress::show("accepted", part * PARTS, count);
        let posted = load.run(&stage).await?;
        all_accepted(&posted)?;
        let after = stage.usage()?.context("memory is measured of a service of our own")?;
        costs.push((part as f64 / posted.took.as_secs_f64(), (after.cpu_ms - before.cpu_ms) / part as f64));
    }
    figures.number("messages", (part * PARTS) as f64);
    figures.number("orgs", stage.tenants.len() as f64);
    if let (Some(first), Some(last)) = (costs.first(), costs.last()) {
        figures.number("firstTenthAcceptsPerSecond", first.0);
        figures.number("lastTenthAcceptsPerSecond", last.0);
        figures.number("firstTenthCpuMsPerAccept", first.1);
        figures.number("lastTenthCpuMsPerAccept", last.1);
    }
    if let (Some(usage), Some(bytes)) = (stage.usage()?, stage.bytes_on_disk()?) {
        figures.number("residentMb", usage.resident_mb);
        figures.number("peakResidentMb", usage.peak_mb);
        figures.number("diskBytesPerMessage", bytes as f64 / (part * PARTS) as f64);
    }
    let (stopped, ready) = stage.restart().await?;
    figures.number("stopMs", ms(stopped));
    figures.number("restartToReadyMs", ms(ready));
    if let Some(usage) = stage.usage()? {
        figures.number("residentAfterRestartMb", usage.resident_mb);
    }
    let began = Instant::now();
    let tenant = stage.tenants.first().context("an organisation")?;
    stage.pause(tenant, "resume").await?;
    while stage.simulator.stats().accepted == 0 {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "nothing is sent after the resume");
        sleep(LOOK_EVERY).await;
    }
    figures.number("resumeToFirstSendMs", ms(began.elapsed()));
    stage.finish().await?;
    Ok(figures)
}

async fn fairness(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, Setup { orgs: 2, ..size.setup() }).await?;
    let [big, small] = &*stage.tenants else { anyhow::bail!("two organisations") };
    // Numbers of their own for every round of single messages.
    let round = |n: u64| size.messages + n * size.at_rate();
    single(&stage, small, round(0), size).await?;
    let idle = single(&stage, small, round(1), size).await?;

    stage.pause(big, "pause").await?;
    let backlog =
        Load { tenants: [big.clone()].into(), ..Load::new(&stage, size.messages, size.concurrency, Pace::Closed) };
    let done = Arc::clone(&backlog.done);
    let progress = Progress::show("backlog", size.messages, move || done.load(Ordering::Relaxed));
    all_accepted(&backlog.run(&stage).await?)?;
    drop(progress);

    let mut figures = Figures::default();
    figures.latency("idleAcceptToSendMs", &idle);
    for (n, rate, names) in [
        (2, METAS_RATE, ["at80AcceptToSendMs", "at80RatioP50", "at80RatioP99", "at80BacklogLeft"]),
        (
            3,
            UNLIMITED,
            ["atFullSpeedAcceptToSendMs", "atFullSpeedRatioP50", "atFullSpeedRatioP99", "atFullSpeedBacklogLeft"],
        ),
    ] {
        let [latency, p50, p99, left] = names;
        stage.set_rate(big, rate).await?;
        stage.pause(big, "resume").await?;
        let busy = single(&stage, small, round(n), size).await?;
        figures.latency(latency, &busy);
        figures.number(p50, busy.ms(50.0) / idle.ms(50.0));
        figures.number(p99, busy.ms(99.0) / idle.ms(99.0));
        figures.number(left, stage.count(big, &[Status::Queued, Status::Sending]).await? as f64);
    }
    stage.finish().await?;
    Ok(figures)
}

/// Single messages at a rate; how long each took from its request to the provider.
async fn single(stage: &Stage, tenant: &Tenant, first: u64, size: Size) -> anyhow::Result<Latencies> {
    let count = size.at_rate();
    let before = stage.count(tenant, &RECORDED).await?;
    let tenants = [tenant.clone()].into();
    let load = Load { tenants, first, ..Load::new(stage, count, 4, Pace::PerSecond(size.rate)) };
    let posted = load.run(stage).await?;
    all_accepted(&posted)?;
    stage.until(std::slice::from_ref(tenant), &RECORDED, before + count).await?;
    Ok(posted.to_hits(&stage.simulator)?.0)
}

async fn overload(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let setup = Setup { max_queued: CROWDED_QUEUE, ..size.setup() };
    let stage = Arc::new(Stage::start(lab, setup).await?);
    let connections = size.concurrency * CROWD;
    let load = Load::new(&stage, size.messages, connections, Pace::Until(Instant::now() + size.time));
    let done = Arc::clone(&load.done);
    let progress = Progress::show("answered", size.messages, move || done.load(Ordering::Relaxed));
    let is_over = Arc::new(AtomicBool::new(false));
    let observer = tokio::spawn(observe(Arc::clone(&stage), Arc::clone(&is_over)));
    let posted = load.run(&stage).await?;
    drop(progress);
    is_over.store(true, Ordering::Relaxed);
    let Observed { health, resident_mb } = observer.await??;
    let mut figures = Figures::default();
    let answers: u64 = posted.statuses.values().sum();
    let shares: Map<String, Value> = posted
        .statuses
        .iter()
        .map(|(status, count)| (status.as_str().to_owned(), (*count as f64 / answers as f64).into()))
        .collect();
    figures.value("shares", Value::Object(shares));
    figures.number("offeredPerSecond", answers as f64 / posted.took.as_secs_f64());
    figures.number("acceptedPerSecond", posted.count(StatusCode::CREATED) as f64 / posted.took.as_secs_f64());
    figures.latency("acceptMs", &posted.accepted);
    figures.latency("healthzMs", &health);
    figures.number("healthzMaxMs", health.max_ms());
    // From a quarter of the time on, when what is needed at all has been taken.
    let settled = resident_mb.get(resident_mb.len() / 4..).unwrap_or_default();
    if let (Some(first), Some(last)) = (settled.first(), settled.last()) {
        figures.number("residentMbAtAQuarter", *first);
        figures.number("residentMbAtTheEnd", *last);
    }
    Arc::into_inner(stage).context("the probes have ended")?.finish().await?;
    Ok(figures)
}

/// What was seen of a service while it was overloaded.
struct Observed {
    health: Latencies,
    resident_mb: Vec<f64>,
}

async fn observe(stage: Arc<Stage>, is_over: Arc<AtomicBool>) -> anyhow::Result<Observed> {
    let mut observed = Observed { health: Latencies::new()?, resident_mb: Vec::new() };
    let mut wire = stage.wire().await?;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let (status, _) = wire.call(Method::GET, "/healthz", &HeaderMap::new(), Bytes::new()).await?;
        anyhow::ensure!(status == StatusCode::OK, "/healthz was answered {status}");
        observed.health.record(began.elapsed());
        observed.resident_mb.extend(stage.usage()?.map(|usage| usage.resident_mb));
        sleep(PROBE_EVERY).await;
    }
    Ok(observed)
}

async fn tree(lab: &Lab, size: Size) -> anyhow::Result<Figures> {
    let stage = Stage::start(lab, size.setup()).await?;
    let mut figures = Figures::default();
    figures.number("orgs", stage.tenants.len() as f64);
    let mut wire = stage.wire().await?;
    let everything = "actors?limit=100000";
    let views = [
        ("treeMs", "actors"),
        ("textMs", "actors?format=text"),
        ("wholeTreeMs", everything),
        ("oneOrgMs", "actors?depth=1"),
    ];
    for (name, path) in views {
        let mut latencies = Latencies::new()?;
        for _ in 0..LOOKS {
            let began = Instant::now();
            let path = format!("{API}/admin/{path}");
            let (status, _) = wire.call(Method::GET, &path, &stage.admin, Bytes::new()).await?;
            latencies.record(began.elapsed());
            anyhow::ensure!(status == StatusCode::OK, "{path} was answered {status}");
        }
        figures.latency(name, &latencies);
    }
    stage.finish().await?;
    Ok(figures)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
