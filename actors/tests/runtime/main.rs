//! The runtime as a whole under a paused clock: what a client, Meta and an operator see of it. The store is in memory
//! and the provider answers by script, so hours pass in milliseconds and nothing depends on timing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod audit;
mod circuits;
mod consent;
mod crash_point;
mod crashes;
mod erasure;
mod faults;
mod histories;
mod inbound;
mod intake;
mod limits;
mod manual;
mod orgs;
mod passivation;
mod people;
mod provider;
mod quotas;
mod receipts;
mod restarts;
mod restored;
mod retention;
mod scopes;
mod sending;
mod simulation;
mod support;
mod takeover;
