//! Whether it is faster than what it is held against.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PHONE, Rig, Webhook, text};

const CONNECTIONS: usize = 64;
const EACH: usize = 1500;

/// Sends over one connection, with as little work as can be: the caller shares the processor with the simulator.
async fn caller(addr: std::net::SocketAddr, no: usize) {
    let body = text(&format!("+4915100{no:06}"), "a:1").to_string();
    let request = format!(
        "POST /v25.0/{PHONE}/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 2048];
    for _ in 0..EACH {
        stream.write_all(request.as_bytes()).await.unwrap();
        // The answer is small enough to come in one piece.
        let n = stream.read(&mut answer).await.unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p simulator -- --ignored --nocapture"]
async fn ten_thousand_messages_a_second_and_their_receipts() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let before = Instant::now();
    let callers: Vec<_> = (0..CONNECTIONS).map(|no| tokio::spawn(caller(rig.simulator.addr(), no))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let total = u32::try_from(CONNECTIONS * EACH).unwrap();
    let sent = before.elapsed();
    while rig.simulator.stats().receipts_waiting > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rate = f64::from(total) / sent.as_secs_f64();
    println!("{rate:.0} messages/s; receipts done after {:?}; {:?}", before.elapsed(), rig.simulator.stats());
    assert!(rate > 10_000.0);
}
