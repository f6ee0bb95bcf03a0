//! Clients without a key or a signature: they cost little and do not harm others.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    PATIENCE, PHONE, Setup, TestApp, WEBHOOK, eventually, notification, org, send, sender, status, text, with,
};

/// The size of Meta's largest webhooks.
const LARGE: usize = 2_900_000;

fn no_signature() -> String {
    format!("sha256={}", "0".repeat(64))
}

/// The CPU time that twotick has used since its start.
fn cpu(app: &TestApp) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", app.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The peak memory of twotick in bytes.
fn most_memory(app: &TestApp) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", app.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Posts a body with a wrong signature.
async fn forge(app: &TestApp, path: &str, body: &str) -> u16 {
    let request = app.api(None).request("POST", path).header("x-hub-signature-256", no_signature());
    send(request.body(body.to_owned())).await.status
}

/// The CPU time that a forged body costs. It is the least of several, because other load adds to most of them.
async fn cost(app: &TestApp, path: &str, body: &str) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..10 {
        let before = cpu(app);
        assert!(matches!(forge(app, path, body).await, 401 | 429));
        least = least.min(cpu(app) - before);
    }
    least
}

/// Fills a body with list items up to the size of Meta's largest webhooks.
fn filled(head: &str, item: &str, tail: &str) -> String {
    let mut body = head.to_owned();
    while body.len() + item.len() + tail.len() < LARGE {
        body.push_str(item);
        body.push(',');
    }
    body + item + tail
}

#[tokio::test]
async fn an_unsigned_body_costs_no_more_than_its_bytes_whatever_it_contains() {
    let app = TestApp::start().await;
    for n in 0..120 {
        let mut org = org(&format!("7{n:05}000"), &format!("secret-of-{n}"));
        let senders = (0..20).map(|m| sender(&format!("7{n:05}{m:03}"), &format!("secret-of-{n}-{m}")));
        org["senders"] = senders.collect::<Vec<_>>().into();
        app.put_org(&format!("org-{n}"), &org).await;
    }
    let known = |n: usize| {
        format!(
            r#"{{"changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"7{:05}{:03}"}}}}}}]}}"#,
            n / 20,
            n % 20
        )
    };
    let all_known: Vec<_> = (0..2400).map(known).collect();
    let bodies = [
        filled(r#"{"object":"x","entry":["#, "0", "]}"),
        filled(&format!(r#"{{"object":"x","entry":[{},"#, all_known.join(",")), "{}", "]}"),
        filled(
            r#"{"object":"x","entry":["#,
            r#"{"id":"1","changes":[{"field":"message_template_status_update","value":{}}]}"#,
            "]}",
        ),
        filled("", "[", ""),
    ];
    let nothing = cost(&app, WEBHOOK, &" ".repeat(LARGE)).await;
    for body in &bodies {
        let each = cost(&app, WEBHOOK, body).await;
        // Parsing the body would cost some hundred times as much.
        assert!(
            each < nothing * 3 + Duration::from_millis(20),
            "{each:?}, and {nothing:?} for blanks: {}",
            &body[..60]
        );
    }
    let (before, began) = (most_memory(&app), Instant::now());
    let crowd = join_all((0..32).map(|_| forge(&app, WEBHOOK, &bodies[0])));
    let health = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(app.api(None).get("/healthz").await.status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    };
    let (answers, slowest) = tokio::join!(crowd, health);
    // 408 is possible because a slow machine may not read 32 such bodies at the required pace.
    assert!(answers.iter().all(|status| matches!(status, 401 | 408 | 429 | 503)), "{answers:?}");
    let more = most_memory(&app).saturating_sub(before);
    assert!(more < 32 * 2 * LARGE as u64 + (32 << 20), "{} MB more", more >> 20);
    assert!(slowest < Duration::from_secs(5), "{slowest:?} in {:?}", began.elapsed());
    // A signed webhook from the same address still passes.
    let body = notification(PHONE, &[status("wamid.of-nobody", "read")]).to_string() + &" ".repeat(LARGE / 2);
    assert_eq!(app.webhook(body.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn a_webhook_url_does_not_reveal_by_its_timing_whether_the_organisation_exists() {
    let app = TestApp::start().await;
    let change = r#"{"id":"1","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"5550001"}}}]}"#;
    let body = filled(r#"{"object":"x","entry":["#, change, "]}");
    let known = cost(&app, "webhooks/whatsapp/acme", &body).await;
    let unknown = cost(&app, "webhooks/whatsapp/nobody", &body).await;
    let slack = Duration::from_millis(20);
    assert!(known < unknown * 2 + slack && unknown < known * 2 + slack, "{known:?} {unknown:?}");
}

/// Starts to post a large body and stops before its end.
async fn stall(app: &TestApp, path: &str, header: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.base().trim_start_matches("http://")).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{header}content-length: {LARGE}\r\n\r\n");
    let body = [head.as_bytes(), &vec![b' '; LARGE - 100_000]].concat();
    // The server may refuse early and not read all of it.
    let _ = timeout(Duration::from_secs(2), stream.write_all(&body)).await;
    stream
}

#[tokio::test]
async fn slow_clients_without_a_key_or_signature_block_neither_posts_nor_webhooks() {
    let app = TestApp::start().await;
    let signature = format!("x-hub-signature-256: {}\r\n", no_signature());
    let hooks = join_all((0..50).map(|_| stall(&app, "/api/v1/webhooks/whatsapp/inbound", &signature)));
    let posts =
        join_all((0..50).map(|_| stall(&app, "/api/v1/outbound/messages", "authorization: Bearer tt_guess\r\n")));
    let (mut hooks, mut posts) = tokio::join!(hooks, posts);
    let large = || notification(PHONE, &[status("wamid.of-nobody", "read")]).to_string() + &" ".repeat(LARGE / 2);
    for n in 0..20 {
        app.acme().send_message(&with(text(n), &json!({"subject": "s".repeat(200)}))).await.ok(201);
        app.webhook(notification(PHONE, &[status("wamid.of-nobody", "read")]).to_string().as_bytes()).await.ok(200);
    }
    // A large webhook takes the memory of the stalled ones.
    eventually("a large webhook", async || {
        let answer = app.webhook(large().as_bytes()).await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    for (stream, wanted) in [(&mut hooks[0], ["408", "503"]), (&mut posts[0], ["401", "429"])] {
        let mut answer = vec![0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(wanted.iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status}"))), "{answer}");
    }
}

#[tokio::test]
async fn a_webhook_that_trickles_in_is_cut_off() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v1/webhooks/whatsapp/inbound HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: {}\r\ncontent-length: {LARGE}\r\n\r\n{{",
        no_signature()
    );
    let began = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("TOO_SLOW"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(20), "it is cut off before the time limit of a body");
}

#[tokio::test]
async fn idle_connections_leave_file_descriptors_for_health_checks_files_and_calls() {
    let app = Setup::new().limit("ulimit -n 256").set("http.max_connections", 1024).start().await;
    let address = app.base().trim_start_matches("http://").to_owned();
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.extend(TcpStream::connect(&address).await);
    }
    // Connections beyond the limit are refused, but health checks are answered.
    eventually("health", async || {
        let answer = app.api(None).request("GET", "/healthz").send().await.map_err(|error| error.to_string())?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    crowd.truncate(20);
    eventually("a free connection", async || {
        let stats = app.acme().request("GET", "outbound/stats").send().await.map_err(|error| error.to_string())?;
        if stats.status() == 200 { Ok(()) } else { Err(stats.status().to_string()) }
    })
    .await;
    let id = app.acme().accept(&text(1)).await;
    let message: Value = app.acme().until(&id, "READ").await;
    assert_eq!(message["attemptCount"], 1);
    let log = app.log();
    assert!(log.contains("http.max_connections is more than the limit on open files allows"), "{log}");
    assert!(log.matches("no connection can be accepted").count() <= 1, "{log}");
    assert!(log.matches("are in use").count() <= 1, "{log}");
}

#[tokio::test]
async fn the_soft_limit_on_open_files_is_raised_at_start() {
    let limits = |app: &TestApp| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", app.pid())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        line.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap()
    };
    let app = Setup::new().limit("ulimit -S -n 64").start_empty().await;
    assert!(limits(&app) > 64);
}
