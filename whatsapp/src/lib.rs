//! The WhatsApp Cloud API: calls, error classes, webhooks and their signatures.
//!
//! [`request`] writes a send, [`CloudApi`] makes the call, [`classify`] says what an error means, [`signature`]
//! verifies a webhook and [`webhook`] reads it. Nothing here retries, waits or keeps state.

pub mod answer;
pub mod classify;
pub mod cloud_api;
mod envelope;
mod fields;
pub mod horizon;
mod mend;
pub mod patience;
pub mod pricing;
mod provider;
pub mod remedy;
pub mod request;
pub mod signature;
mod usage;
pub mod wamid;
pub mod webhook;

pub use cloud_api::CloudApi;
pub use mend::mend;
pub use provider::{Answer, Provider, SendRequest};
