//! The load: messages of 300 bytes, as a back end posts them, on keep-alive connections, and how each fared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use http::{Method, StatusCode};
use simulator::Simulator;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::figures::Latencies;
use crate::stage::{API, Stage, Tenant};
use crate::wire::Wire;

/// Bytes of `payloadJson`.
const PAYLOAD: usize = 300;
const PAYLOAD_BEGIN: &str = r#"{"language":"en","components":[{"type":"body","parameters":[{"type":"text","text":""#;
const PAYLOAD_END: &str = r#""}]}]}"#;
/// Messages of one dossier.
const DOSSIER: u64 = 10;
/// What stands before a message's number in its recipient.
const RECIPIENT: &str = "4915";

/// When each message was posted and answered, by its number; and which answers came.
pub(crate) struct Posted {
    began: Instant,
    first: u64,
    /// Nanoseconds after `began`; 0 if it was not.
    sent: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
    /// How long accepted ones took to be answered.
    pub(crate) accepted: Latencies,
    pub(crate) statuses: BTreeMap<StatusCode, u64>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

impl Posted {
    pub(crate) fn count(&self, status: StatusCode) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// How long after its request, and after its answer, each message reached the provider. A message that was there
    /// before the client had read the answer took no time after it.
    pub(crate) fn to_hits(&self, simulator: &Simulator) -> anyhow::Result<(Latencies, Latencies)> {
        let (mut from_request, mut from_answer) = (Latencies::new()?, Latencies::new()?);
        for hit in simulator.messages_after(0) {
            let Some(n) = number(&hit.to).and_then(|n| usize::try_from(n.checked_sub(self.first)?).ok()) else {
                continue;
            };
            for (times, latencies) in [(&self.sent, &mut from_request), (&self.answered, &mut from_answer)] {
                if let Some(nanos) = times.get(n).map(|time| time.load(Ordering::Relaxed)).filter(|nanos| *nanos > 0) {
                    latencies.record(hit.received.saturating_duration_since(self.began + Duration::from_nanos(nanos)));
                }
            }
        }
        Ok((from_request, from_answer))
    }
}

/// What the connections share.
struct Shared {
    began: Instant,
    tenants: Arc<[Tenant]>,
    first: u64,
    count: u64,
    next: AtomicU64,
    done: Arc<AtomicU64>,
    sent: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
    pace: Pace,
}

impl Shared {
    /// Waits until message `n` is to be posted. Returns when that was, or should have been if its connection was late: a
    /// slow answer must not hide that those behind it waited, too.
    async fn turn(&self, n: u64, rate: u32) -> Instant {
        let due = self.began + Duration::from_secs(n) / rate;
        if Instant::now() >= due {
            return due;
        }
        // Wakes up to a millisecond late, which is not the service's doing.
        sleep_until(due.into()).await;
        Instant::now()
    }
}

/// How fast messages are posted.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection posts its next when it has the answer.
    Closed,
    /// So many a second, whatever comes of them; an answer's time counts from when its request was due.
    PerSecond(u32),
    /// As `Closed`, until then.
    Until(Instant),
}

/// Which messages are posted, and how.
pub(crate) struct Load {
    pub(crate) tenants: Arc<[Tenant]>,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Counts the answers, for whoever looks on.
    pub(crate) done: Arc<AtomicU64>,
}

impl Load {
    /// Messages from 0 to `count`, shared out among all organisations in turn.
    pub(crate) fn new(stage: &Stage, count: u64, connections: usize, pace: Pace) -> Self {
        Self { tenants: Arc::clone(&stage.tenants), first: 0, count, connections, pace, done: Arc::default() }
    }

    /// Posts them.
    pub(crate) async fn run(self, stage: &Stage) -> anyhow::Result<Posted> {
        let mut wires = Vec::new();
        for _ in 0..self.connections {
            wires.push(stage.wire().await?);
        }
        let times = || (0..self.count).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            began: Instant::now(),
            tenants: self.tenants,
            first: self.first,
            count: self.count,
            next: AtomicU64::new(0),
            done: self.done,
            sent: times(),
            answered: times(),
            pace: self.pace,
        });
        let mut tasks = JoinSet::new();
        for wire in wires {
            tasks.spawn(post(Arc::clone(&shared), wire));
        }
        let (mut accepted, mut statuses) = (Latencies::new()?, BTreeMap::new());
        while let Some(result) = tasks.join_next().await {
            let (latencies, counts) = result??;
            accepted.add(&latencies)?;
            for (status, count) in counts {
                *statuses.entry(status).or_default() += count;
            }
        }
        let took = shared.began.elapsed();
        let Some(Shared { began, first, sent, answered, .. }) = Arc::into_inner(shared) else {
            bail!("a connection is still at work");
        };
        Ok(Posted { began, first, sent, answered, accepted, statuses, took })
    }
}

/// One connection's part.
async fn post(shared: Arc<Shared>, mut wire: Wire) -> anyhow::Result<(Latencies, BTreeMap<StatusCode, u64>)> {
    let path = format!("{API}/outbound/messages");
    let (mut latencies, mut statuses) = (Latencies::new()?, BTreeMap::new());
    loop {
        let n = shared.next.fetch_add(1, Ordering::Relaxed);
        if n >= shared.count || matches!(shared.pace, Pace::Until(end) if Instant::now() >= end) {
            return Ok((latencies, statuses));
        }
        let index = usize::try_from(n)?;
        let Some(tenant) = shared.tenants.get(index % shared.tenants.len()) else { bail!("no organisations") };
        let body = body(shared.first + n);
        let begin = match shared.pace {
            Pace::Closed | Pace::Until(_) => Instant::now(),
            Pace::PerSecond(rate) => shared.turn(n, rate).await,
        };
        let (status, _) = wire.call(Method::POST, &path, &tenant.headers, body).await?;
        let answered = Instant::now();
        if status == StatusCode::CREATED {
            latencies.record(answered - begin);
            for (times, at) in [(&shared.sent, begin), (&shared.answered, answered)] {
                let nanos = u64::try_from((at - shared.began).as_nanos())?;
                if let Some(time) = times.get(index) {
                    time.store(nanos.max(1), Ordering::Relaxed);
                }
            }
        }
        *statuses.entry(status).or_default() += 1;
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// The request for message `n`.
fn body(n: u64) -> Bytes {
    let text = format!("{n:-<width$}", width = PAYLOAD - PAYLOAD_BEGIN.len() - PAYLOAD_END.len());
    let dossier = n / DOSSIER;
    Bytes::from(format!(
        r#"{{"dossierId":{dossier},"to":"+{RECIPIENT}{n:09}","templateCode":"welcome_message","payloadJson":{PAYLOAD_BEGIN}{text}{PAYLOAD_END},"idempotencyKey":"bench-{n}"}}"#
    ))
}

/// The number of the message to this recipient.
fn number(recipient: &str) -> Option<u64> {
    recipient.trim_start_matches('+').strip_prefix(RECIPIENT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_payload_of_300_bytes_and_a_recipient_that_tells_its_number() {
        let request: serde_json::Value = serde_json::from_slice(&body(1_234_567)).unwrap();
        assert_eq!(request["payloadJson"].to_string().len(), PAYLOAD);
        assert_eq!(number(request["to"].as_str().unwrap()), Some(1_234_567));
    }
}
