#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
//! Tests of the simulator through its HTTP API and its handle.

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
