//! The provider: its calls and its answers.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use domain::PhoneNumberId;
use domain::circuit::Fault;
use domain::org::Secret;
use domain::outcome::Outcome;

/// Something that can send: the Cloud API, or a stand-in within the process.
pub trait Provider: Send + Sync + 'static {
    /// Makes one call. It always ends within the provider's own time limit, and every failure is an [`Outcome`].
    /// Dropping the future leaves the outcome unknown.
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// The address that it calls, for people.
    fn address(&self) -> &str {
        "WhatsApp"
    }
}

/// One call to make.
#[derive(Clone)]
pub struct SendRequest {
    /// The phone number to send from.
    pub from: PhoneNumberId,
    /// That number's access token.
    pub token: Secret,
    /// The JSON of [`crate::request::body`].
    pub body: Bytes,
}

/// How one call ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its outcome.
    pub outcome: Outcome,
    /// The answer's body as text, cut to 2048 bytes at a char boundary; `None` if there was none.
    pub response: Option<Vec<u8>>,
    /// How long the provider asked us to wait, as far as that is credible.
    pub retry_after: Option<Duration>,
    /// What is wrong with the way to Meta, if Meta itself did not answer.
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
