#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
//! The simulator as twotick and its tests see it: over HTTP, and by its handle.

mod call_faults;
mod control;
mod inbound;
mod manual;
mod media;
mod receipts;
mod refusals;
mod sending;
mod support;
mod templates;
