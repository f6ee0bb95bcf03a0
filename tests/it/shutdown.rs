//! Stopping: calls in flight are recorded, and accepted messages stay.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Setup, TestApp, eventually, faults, seed, text};

#[tokio::test]
async fn sigterm_records_the_call_in_flight_and_exits_with_0() {
    let mut app = TestApp::start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 1500}}])));
    let id = app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    let exit = app.stop().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert_eq!(exit.stdout.lines().count(), 1, "{exit:?}");

    app.start_again().await;
    let message = app.acme().message(&id).await;
    assert_eq!(
        (&message["status"], &message["providerMessageId"]),
        (&json!("SENT"), &json!(app.sim.messages()[0].wamid))
    );
    assert_eq!(app.acme().attempts(&id).await[0]["status"], "ACCEPTED");
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn while_it_drains_it_is_alive_but_not_ready_and_accepts_nothing() {
    let mut app = Setup::new().set("outbound.shutdown_grace", "60s").start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 20_000}}])));
    app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    app.signal(Signal::SIGTERM);
    let not_ready = eventually("draining", async || {
        let answer = app.api(None).get("/readyz").await;
        if answer.status == 503 { Ok(answer) } else { Err(answer) }
    })
    .await;
    assert_ne!(not_ready.header("retry-after"), "");
    assert_eq!(app.api(None).get("/healthz").await.status, 200);
    let refused = app.acme().send_message(&text(1)).await;
    refused.problem(503, "UNAVAILABLE");
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(app.acme().get("outbound/stats").await.status, 200, "reads are still served");
    // A second signal ends the process at once and loses nothing.
    app.signal(Signal::SIGTERM);
    assert_eq!(app.exit().await.code, Some(0));
    app.sim.set_faults(faults(&json!([])));
    app.start_again().await;
    app.acme().until_stats("READ", 1).await;
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_even_if_every_thread_waits_for_the_disk() {
    let mut app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    // A file without an end stands for a disk that does not answer. Each SIGHUP blocks one more thread.
    let config = app.config_file();
    std::fs::remove_file(&config).unwrap();
    nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRWXU).unwrap();
    eventually("nobody answers", async || {
        app.signal(Signal::SIGHUP);
        let api = app.api(None);
        let health = tokio::time::timeout(std::time::Duration::from_secs(1), api.get("/healthz")).await;
        if health.is_err() { Ok(()) } else { Err("it answers") }
    })
    .await;
    app.signal(Signal::SIGTERM);
    app.signal(Signal::SIGINT);
    assert_eq!(app.exit().await.code, Some(0));
    std::fs::remove_file(&config).unwrap();
    app.start_again().await;
    assert_eq!(app.acme().message(&id).await["status"], "READ");
}

#[tokio::test]
async fn a_call_longer_than_the_grace_period_is_settled_after_the_next_start() {
    let mut app = Setup::new().set("outbound.shutdown_grace", "100ms").start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"to": "+1234567890", "fault": {"kind": "delay", "ms": 25_000}}])));
    let id = app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    assert_eq!(app.stop().await.code, Some(0));
    app.start_again().await;
    app.sim.set_receipts(true);
    app.acme().until(&id, "READ").await;
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn sigint_ends_an_idle_service_with_0_and_is_logged() {
    let mut app = TestApp::start().await;
    app.signal(Signal::SIGINT);
    let exit = app.exit().await;
    assert_eq!(exit.code, Some(0));
    assert!(exit.stderr.contains("stopped"), "{exit:?}");
}

#[tokio::test]
async fn messages_accepted_before_a_stop_are_sent_after_the_next_start() {
    let mut app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 300}}])));
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(app.acme().accept(&text(n)).await);
    }
    assert_eq!(app.stop().await.code, Some(0));
    app.sim.set_faults(faults(&json!([])));
    app.start_again().await;
    app.acme().until_stats("READ", ids.len()).await;
    assert_eq!(app.sim.messages().len(), ids.len());
}
