//! The settings that a simulator starts with.

use std::time::Duration;

use domain::org::Secret;

use crate::faults::Faults;

/// How the simulated Cloud API behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an answer takes. Half of it passes before the message is accepted and half after, so that a client that
    /// dies while it waits may or may not have sent the message.
    pub latency: Duration,
    /// The time between the answer and `sent`, `sent` and `delivered`, `delivered` and `read`.
    pub receipt_delay: Duration,
    /// The seed of all random decisions.
    pub seed: u64,
    /// The key that signs the webhooks. If it is empty, which is the default, they are not signed.
    pub app_secret: Secret,
    /// Where receipts go. With `None` they go nowhere, as for an app without a subscription.
    pub webhook: Option<String>,
    /// The WhatsApp business account that webhooks name, unless [`crate::Account`] sets another.
    pub waba_id: String,
    /// The most statuses in one webhook call. Meta may send a thousand, but some clients read only the first.
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
