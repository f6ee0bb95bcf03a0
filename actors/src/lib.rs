//! The supervised runtime that carries each message from accepted to read.
//!
//! ```text
//! RootSupervisor
//!  └─ OrgActor            one per organisation: the only writer of its data
//!      ├─ MessageActor    one per message being worked on: decides, waits, asks for a send permit
//!      ├─ ProviderActor   one per phone number: gives send permits within its limits, makes the calls
//!      └─ AuditActor      seals the audit trail
//! ```
//!
//! Decide, then commit, then act: an actor acts on a decision only when told that it is durable. Time is in the due
//! index of the store; a resident MessageActor keeps its own timer, and waking it from the index delivers the same
//! event. So starting again after a crash is not a special case, and there is no code for it.
//!
//! Deliberately absent: names in ractor's registry, work in `post_stop`, waiting for I/O inside `handle`, and state that
//! cannot be rebuilt from the store. The outside is [`Outbox`].

mod address;
mod admission;
mod audit;
mod clock;
mod context;
mod directory;
mod explain;
#[cfg(feature = "faults")]
pub mod faults;
mod figures;
mod message;
mod org;
mod outbox;
mod panics;
mod provider;
mod restart;
mod send_permit;
mod settings;
mod supervisor;
mod tree;
mod vitals;
mod watchdog;
mod ways;
mod webhook_health;

pub use admission::Admission;
pub use clock::Clock;
pub use directory::{Directory, Identity, Stranger};
pub use explain::{Explanation, Gate, GateState};
pub use org::accept::{AcceptError, Accepted};
pub use org::change::DECLARED;
pub use org::manual::{Manual, ManualError};
pub use org::restored::{HeldWish, Released};
pub use org::templates::TemplateStatus;
pub use org::{Arrival, News, OrgChange, Snapshot};
pub use outbox::{Outbox, StartError, Unreachable};
pub use panics::note_panic;
pub use settings::{Limits, Settings};
pub use supervisor::ChangeError;
pub use tree::{Node, TreeQuery};
pub use vitals::Kind;
pub use ways::{SenderLimits, Throttle};
pub use webhook_health::{Count, SILENT_AFTER, SenderHealth, WebhookFault, WebhookHealth};
