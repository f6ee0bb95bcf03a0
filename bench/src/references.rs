//! What this machine can do without twotick, measured in the same run, so that figures of two machines can be compared
//! as ratios.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use simulator::Simulator;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use warp::Filter;

use crate::figures::Figures;
use crate::wire::{Wire, headers};

/// Bytes of one write: a page.
const WRITE: usize = 4096;
/// What is posted to a server that answers at once.
const BODY: &str = r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+491500000000","type":"template","template":{"name":"welcome_message","language":{"code":"en"},"components":[{"type":"body","parameters":[{"type":"text","text":"as many bytes as in a real call, or nearly as many as there"}]}]}}"#;

/// Measures each for `time`.
pub(crate) async fn measure(connections: usize, time: Duration) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    figures.number("fdatasyncsPerSecond", fdatasyncs(time).await?);
    figures.number("httpRoundTripsPerSecond", bare_round_trips(connections, time).await?);
    figures.number("simulatorCallsPerSecond", simulator_calls(connections, time).await?);
    Ok(figures)
}

/// Appends of a page, each followed by an fdatasync, in the folder where the store will be.
async fn fdatasyncs(time: Duration) -> anyhow::Result<f64> {
    let count = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir()?;
        let mut file = File::create(folder.path().join("syncs"))?;
        let began = Instant::now();
        let mut count = 0_u32;
        while began.elapsed() < time {
            file.write_all(&[0xA5; WRITE])?;
            file.sync_data()?;
            count += 1;
        }
        std::io::Result::Ok(f64::from(count) / began.elapsed().as_secs_f64())
    });
    Ok(count.await??)
}

/// The same server library that the service uses, with a handler that reads the body and does nothing.
async fn bare_round_trips(connections: usize, time: Duration) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let nothing = warp::post().and(warp::body::bytes()).map(|_: Bytes| warp::reply::json(&json!({"status": "ok"})));
    let server = tokio::spawn(warp::serve(nothing).incoming(listener).run());
    let rate = round_trips(addr, "/", connections, time).await;
    server.abort();
    rate
}

/// The simulator with this client alone: no figure of sends can be higher.
async fn simulator_calls(connections: usize, time: Duration) -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let simulator = Simulator::start(listener, simulator::Settings::default()).await?;
    simulator.set_receipts(false);
    round_trips(simulator.addr(), "/v25.0/1/messages", connections, time).await
}

async fn round_trips(
    addr: std::net::SocketAddr,
    path: &'static str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let count = Arc::new(AtomicU64::new(0));
    let headers = headers("a-token")?;
    let began = Instant::now();
    for _ in 0..connections {
        let (mut wire, count, headers) = (Wire::open(addr).await?, Arc::clone(&count), headers.clone());
        tasks.spawn(async move {
            while began.elapsed() < time {
                let (status, _) = wire.call(Method::POST, path, &headers, Bytes::from_static(BODY.as_bytes())).await?;
                anyhow::ensure!(status.is_success(), "{path} was answered {status}");
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    Ok(count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}
