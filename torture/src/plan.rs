//! The parameters of a run, and the organisations, configuration and faults that follow from them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::Faults;

/// The key with which the simulated WhatsApp signs webhooks.
pub(crate) const APP_SECRET: &str = "torture-app-secret";
/// How long twotick waits for an answer from WhatsApp.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `twotick` binary to kill.
    pub binary: PathBuf,
    /// The folder for the configuration, the data folder and the service's log. It must exist.
    pub folder: PathBuf,
    /// The seed of all random decisions.
    pub seed: u64,
    /// How long the service is killed and restarted. The final checks come after.
    pub duration: Duration,
    /// The number of organisations. Each has one phone number.
    pub orgs: usize,
    /// The number of concurrent clients of each organisation.
    pub clients: usize,
    /// The longest pause of a client between two messages.
    pub rest: Duration,
    /// The service's `outbound.stale_after`. It must be longer than kills can delay a receipt; otherwise twotick
    /// rightly sends messages again.
    pub stale_after: Duration,
    /// The folder is verified after every this many kills, and at the end.
    pub verify_every: u64,
}

/// The status that the messages of an organisation reach in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinalStatus {
    Read,
    Delivered,
    Sent,
    /// WhatsApp reports the failure by receipt.
    Failed,
}

impl FinalStatus {
    pub(crate) const fn of(org: usize) -> Self {
        match org % 5 {
            1 => Self::Delivered,
            2 => Self::Failed,
            3 => Self::Sent,
            _ => Self::Read,
        }
    }

    /// The status as the API shows it.
    pub(crate) const fn status(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Delivered => "DELIVERED",
            Self::Sent => "SENT",
            Self::Failed => "FAILED",
        }
    }
}

pub(crate) fn org_id(org: usize) -> String {
    format!("org-{org}")
}

pub(crate) fn phone_number_id(org: usize) -> String {
    format!("1066{org:04}")
}

impl Plan {
    /// The service's configuration. Its limits are so wide that messages are in flight when a kill comes.
    pub(crate) fn config(&self, base_url: &str, admin_key: &str) -> anyhow::Result<String> {
        let delays: Vec<&str> = ["0s", "50ms"].into_iter().chain(["300ms"; 48]).collect();
        let table = json!({
            "admin": {"key": admin_key},
            // The smallest cache makes the store flush memtables all the time.
            "store": {"cache": "1MiB"},
            "outbound": {
                "retry_delays": delays,
                "stale_after": humantime::format_duration(self.stale_after).to_string(),
                // Keeps some messages in memory and passivates the others.
                "passivate_after": "200ms",
                "max_resident": 64,
            },
            "whatsapp": {
                "base_url": base_url,
                "request_timeout": humantime::format_duration(REQUEST_TIMEOUT).to_string(),
                "messages_per_second": 100_000,
            },
            "log": {"level": "warn", "format": "text"},
        });
        Ok(toml::to_string(&table)?)
    }

    /// What goes wrong at WhatsApp and on the network. Every receipt comes well before `stale_after`, so if a message
    /// is sent twice, twotick is to blame.
    pub(crate) fn faults(&self) -> anyhow::Result<Faults> {
        let slow = REQUEST_TIMEOUT + Duration::from_millis(500);
        let mut rules = vec![
            json!({"share": 0.01, "fault": {"kind": "delay", "ms": slow.as_millis() as u64}}),
            json!({"share": 0.10, "fault": {"kind": "delay", "ms": 200}}),
            json!({"share": 0.02, "fault": {"kind": "dropAfter"}}),
            json!({"share": 0.02, "fault": {"kind": "noEnvelope", "accept": true}}),
            json!({"share": 0.01, "fault": {"kind": "notJson", "accept": true}}),
            // twotick cannot know that WhatsApp did not accept these two, so it sends them again after `stale_after`.
            json!({"share": 0.005, "fault": {"kind": "noEnvelope"}}),
            json!({"share": 0.005, "fault": {"kind": "dropBefore"}}),
            json!({"share": 0.05, "fault": {"kind": "error", "code": 131_000}}),
        ];
        for org in 0..self.orgs {
            let number = phone_number_id(org);
            let up_to = match FinalStatus::of(org) {
                FinalStatus::Read => None,
                FinalStatus::Delivered => Some("delivered"),
                FinalStatus::Sent => Some("sent"),
                FinalStatus::Failed => {
                    let code = 131_026;
                    rules.push(json!({"phoneNumberId": number, "fault": {"kind": "receiptError", "code": code}}));
                    None
                }
            };
            let trouble = |share: f64, mut fault: Value| {
                if let (Some(up_to), Some(fault)) = (up_to, fault.as_object_mut()) {
                    fault.insert("upTo".into(), up_to.into());
                }
                json!({"phoneNumberId": number, "share": share, "fault": fault})
            };
            rules.push(trouble(0.3, json!({"kind": "receipts", "double": true, "shuffle": true, "lateMs": 700})));
            rules.push(trouble(0.3, json!({"kind": "receipts", "shuffle": true})));
            rules.push(trouble(1.0, json!({"kind": "receipts"})));
        }
        Ok(Faults::from_json(json!({ "rules": rules }).to_string().as_bytes())?)
    }
}
