//! What a message is and what may happen to it.
//!
//! Everything here is a value or a pure function: no I/O, no clock, no randomness, no actors. Callers pass time in as a
//! [`Timestamp`] and randomness as a `roll` in `0.0..1.0`. The heart is [`lifecycle::decide`]; [`invariants`] lists
//! what must hold after each of its steps.

pub mod audit;
pub mod backoff;
pub mod billing;
pub mod by;
pub mod circuit;
pub mod consent;
pub mod erasure;
pub mod failure;
pub mod fields;
pub mod gate;
pub mod ids;
pub mod inbound;
pub mod intake;
pub mod invariants;
pub mod lifecycle;
pub mod message;
pub mod notice;
pub mod org;
pub mod outcome;
pub mod pace;
pub mod pair;
pub mod payload;
pub mod people;
pub mod quota;
pub mod receipt;
pub mod retention;
pub mod retry;
pub mod spelling;
pub mod state;
pub mod throttle;
pub mod time;
pub mod verbatim;

pub use failure::{Failure, FailureCode, OurCode};
pub use fields::FieldError;
pub use ids::{AttemptNo, AttemptRef, Epoch, MessageId, OrgId, OrgNo, PhoneNumberId, ProviderId, SenderNo, Seq};
pub use inbound::Inbound;
pub use message::{Dossier, Message, OnUnknown, Priority};
pub use state::{Attempt, AttemptStatus, Phase, State, Status, Wait};
pub use time::Timestamp;
