//! The process is suspended for a while, alone or with its machine. Afterwards it reads what arrived before it counts
//! anything as missing.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::support::{Setup, faults, phone, text};

const MESSAGES: usize = 20;
/// How long the process is stopped: longer than its `request_timeout` and `stale_after`.
const STOPPED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn answers_that_arrive_while_the_process_is_suspended_are_read_and_nothing_is_sent_twice() {
    let app = Setup::new().set("whatsapp.request_timeout", "3s").set("outbound.stale_after", "4s").start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 1000}}])));
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        ids.push(app.acme().accept(&text(n)).await);
    }
    app.until_accepted(MESSAGES).await;
    app.signal(Signal::SIGSTOP);
    sleep(STOPPED).await;
    app.signal(Signal::SIGCONT);
    for id in &ids {
        assert_eq!(app.acme().until(id, "SENT").await["attemptCount"], 1);
    }
    assert!((0..MESSAGES).all(|n| app.accepted_to(&phone(n)) == 1));
}
