//! What survives a power cut, and that damage does not go unnoticed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod damage;
mod history;
mod power;
