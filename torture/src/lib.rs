//! Crash torture: kills the real binary under load, over and over on one folder, and compares its data at the end with
//! what its clients and WhatsApp saw.
//!
//! Two witnesses stand outside the killed process. The clients keep a history of every message that was acknowledged
//! as durable, and retry requests that got no answer, with the same idempotency key. The simulated WhatsApp keeps a
//! ledger of every message that it accepted. `run` kills and starts the service, `moments` chooses when, `witnesses`
//! compares the API with the history and the ledger, and `twotick verify` checks the folder.
//!
//! The seed decides what is posted, which faults are injected and how each run of the service ends. The exact timing
//! depends on the machine, so a finding may take several runs to reproduce.

mod clients;
mod moments;
mod plan;
mod report;
mod run;
mod service;
mod witnesses;

pub use plan::Plan;
pub use report::Report;
pub use run::run;
