//! What a run is to be like, and the organisations and faults in it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::Faults;

/// The key that the simulated WhatsApp signs with.
pub(crate) const APP_SECRET: &str = "torture-app-secret";
/// How long twotick waits for an answer of WhatsApp.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// What a run is to be like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `twotick` that is killed.
    pub binary: PathBuf,
    /// Takes the configuration, the data folder and the service's log. Must exist.
    pub folder: PathBuf,
    /// What every choice comes from.
    pub seed: u64,
    /// How long it is killed and started again; settling and checking come after.
    pub duration: Duration,
    /// Organisations, each with one phone number.
    pub orgs: usize,
    /// Clients of each organisation that post at once.
    pub clients: usize,
    /// A client rests up to so long between two messages.
    pub rest: Duration,
    /// `outbound.stale_after`. Longer than a receipt can be held up by kills, or messages are rightly sent again.
    pub stale_after: Duration,
    /// The folder is verified after so many kills, besides at the end.
    pub verify_every: u64,
}

/// How far the simulated WhatsApp lets the messages of an organisation come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Read,
    Delivered,
    Sent,
    /// By receipt, for good.
    Failed,
}

impl End {
    pub(crate) const fn of(org: usize) -> Self {
        match org % 5 {
            1 => Self::Delivered,
            2 => Self::Failed,
            3 => Self::Sent,
            _ => Self::Read,
        }
    }

    /// The status in which the API must show them.
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
    /// The configuration: no limit that would keep the messages from being under way when a kill comes.
    pub(crate) fn config(&self, base_url: &str, admin_key: &str) -> anyhow::Result<String> {
        let delays: Vec<&str> = ["0s", "50ms"].into_iter().chain(["300ms"; 48]).collect();
        let table = json!({
            "admin": {"key": admin_key},
            // As little as may be: so memtables are flushed into blocks all the time.
            "store": {"cache": "1MiB"},
            "outbound": {
                "retry_delays": delays,
                "stale_after": humantime::format_duration(self.stale_after).to_string(),
                // Some wait in memory and some on the disk.
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

    /// What goes wrong at WhatsApp and on the way there. Every receipt comes in the end, and the latest long before
    /// `stale_after`: what is sent twice all the same is twotick's doing.
    pub(crate) fn faults(&self) -> anyhow::Result<Faults> {
        let slow = REQUEST_TIMEOUT + Duration::from_millis(500);
        let mut rules = vec![
            json!({"share": 0.01, "fault": {"kind": "delay", "ms": slow.as_millis() as u64}}),
            json!({"share": 0.10, "fault": {"kind": "delay", "ms": 200}}),
            json!({"share": 0.02, "fault": {"kind": "dropAfter"}}),
            json!({"share": 0.02, "fault": {"kind": "noEnvelope", "accept": true}}),
            json!({"share": 0.01, "fault": {"kind": "notJson", "accept": true}}),
            // Nobody can know that these two were not taken: they are sent again after `stale_after`.
            json!({"share": 0.005, "fault": {"kind": "noEnvelope"}}),
            json!({"share": 0.005, "fault": {"kind": "dropBefore"}}),
            json!({"share": 0.05, "fault": {"kind": "error", "code": 131_000}}),
        ];
        for org in 0..self.orgs {
            let number = phone_number_id(org);
            let up_to = match End::of(org) {
                End::Read => None,
                End::Delivered => Some("delivered"),
                End::Sent => Some("sent"),
                End::Failed => {
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
