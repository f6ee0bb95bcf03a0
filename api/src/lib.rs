//! What twotick's HTTP API answers, as types: the server writes them, and clients can read them.
//!
//! Names are camelCase. Times are RFC 3339 in UTC, such as `2026-01-31T12:00:00.000Z`. What is absent is `null`, unless its
//! field says otherwise. JSON that Meta or a client wrote is kept as it was written, digit by digit.

mod audit;
mod consent;
mod message;
mod org;
mod page;
mod person;
mod problem;
mod service;

use std::borrow::Cow;

pub use audit::{Activity, ActivityDetails, Details, Event, MessageRef, PersonName};
pub use consent::{Consent, ConsentHistory, Evidence, Standing, Statement};
pub use message::{Attempt, BulkResult, Inbound, Message};
pub use org::{
    Key, NewKey, Org, OrgDetails, Orgs, Outage, Pause, Quotas, Restored, Retention, Sender, SenderNow, Throttle,
    Upkeep, Way,
};
pub use page::{Listing, Numbered, Page};
pub use person::{Erased, Erasing, Export, ParkedReceipt, Purged, Whole};
pub use problem::{FieldProblem, Problem};
pub use service::{
    AdminKey, Backup, Count, Guesser, HeldReleased, NoticeCount, Reach, State, Tree, Tries, TriesOf, WebhookHealth,
};

/// A word out of a fixed list, such as a status.
pub type Word = Cow<'static, str>;
