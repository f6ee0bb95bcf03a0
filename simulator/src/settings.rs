//! What a simulator is started with.

use std::time::Duration;

use domain::org::Secret;

use crate::faults::Faults;

/// How the simulated Cloud API behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an answer takes. Half of it goes by before a message is accepted and half after, so that a client which
    /// dies while it waits may or may not have sent the message.
    pub latency: Duration,
    /// The time between the answer and `sent`, `sent` and `delivered`, `delivered` and `read`.
    pub receipt_delay: Duration,
    /// What every random decision comes from.
    pub seed: u64,
    /// The key of the webhooks' signatures. With an empty one, as by default, they are not signed.
    pub app_secret: Secret,
    /// Where receipts go; `None`: nowhere, as for an app without a subscription.
    pub webhook: Option<String>,
    /// The WhatsApp business account that webhooks are of, unless [`crate::Account`] names another.
    pub waba_id: String,
    /// The most statuses in one webhook call. Meta may send a thousand; there are clients that read the first alone.
    pub batch: usize,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            receipt_delay: Duration::from_millis(10),
            seed: 0,
            app_secret: Secret::default(),
            webhook: None,
            waba_id: "102290129340398".to_owned(),
            batch: 1000,
            faults: Faults::default(),
        }
    }
}
