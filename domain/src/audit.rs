//! The audit trail: what happened, who did it, and the hash chain that seals it.

mod action;
mod chain;
mod entry;
mod fact;
mod kept;

pub use crate::by::By;
pub use action::Action;
pub use chain::{Block, Hash};
pub use entry::{Entry, Subject};
pub use fact::{Denial, Fact, ReceiptEffect};
pub use kept::{Kept, Personal, Salt};
