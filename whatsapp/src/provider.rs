//! What can send, what it is asked and what it answers.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use domain::PhoneNumberId;
use domain::circuit::Fault;
use domain::org::Secret;
use domain::outcome::Outcome;

/// Something that can send: the Cloud API, or its twin inside the process.
pub trait Provider: Send + Sync + 'static {
    /// Makes one call. It ends always, within the provider's own time limit, and never fails otherwise than as an
    /// [`Outcome`]. Dropping the future leaves the outcome unknown.
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// Where it calls, for people.
    fn address(&self) -> &str {
        "WhatsApp"
    }
}

/// One call to be made.
#[derive(Clone)]
pub struct SendRequest {
    /// The phone number that it goes out from.
    pub from: PhoneNumberId,
    /// That number's access token.
    pub token: Secret,
    /// The JSON of [`crate::request::body`].
    pub body: Bytes,
}

/// How one call ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it came to.
    pub outcome: Outcome,
    /// The answer's body as text, cut to 2048 bytes at a char boundary; `None` if there was none.
    pub response: Option<Vec<u8>>,
    /// How long the provider asked us to wait, as far as that is believed.
    pub retry_after: Option<Duration>,
    /// What is wrong with the way to Meta, if Meta itself said nothing.
    pub fault: Option<Fault>,
}

impl Answer {
    /// An outcome without an answer.
    pub const fn none(outcome: Outcome, fault: Option<Fault>) -> Self {
        Self { outcome, response: None, retry_after: None, fault }
    }
}

impl fmt::Debug for Answer {
    /// Without the body, which holds the recipient's number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({:?}, retry after {:?})", self.outcome, self.retry_after)
    }
}
