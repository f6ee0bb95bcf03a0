//! Crash torture: the real binary under load, killed over and over on one folder, and held at the end against what the
//! others saw.
//!
//! Two witnesses stand outside of the process that is killed. The clients keep a book of every message that they were
//! told is durable, and ask again for what got no answer, with the same idempotency key. The simulated WhatsApp keeps a
//! ledger of every message that it took. `run` kills and starts; `moments` says when; `witnesses` compares the API's
//! word, the book and the ledger; `twotick verify` walks the folder.
//!
//! The seed decides what is posted, which faults come and how each life ends. What the processes then do in which
//! microsecond is up to the machine, so a finding may need a few tries to come again.

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
