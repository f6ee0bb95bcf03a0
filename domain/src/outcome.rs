//! What a call to the provider can come to, and what its errors mean for us.

use std::fmt;

use crate::failure::Failure;
use crate::ids::ProviderId;

/// How one call ended, as far as we can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message and named it.
    Accepted(ProviderId),
    /// The provider said no, so it did not take the message.
    Refused(ProviderError),
    /// No byte of the request left: nothing was sent.
    NotSent(Failure),
    /// Nothing was taken, and no message is to blame: WhatsApp is not reached, or something before it turns calls away. It
    /// charges the message no attempt.
    Unreachable(Failure),
    /// The request may or may not have been taken: the answer was lost or unreadable.
    Unknown(Failure),
    /// The same, and no message is to blame: we ended the call ourselves in order to stop, or WhatsApp answers none. It
    /// charges the message no attempt.
    CutOff(Failure),
}

/// An error as Meta reports it, in an answer or in a `failed` receipt, with its meaning.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// Meta's code.
    pub code: i64,
    /// Meta's text: the details where given, else the message.
    pub message: String,
    /// What it means for us.
    pub verdict: Verdict,
}

impl ProviderError {
    /// The error as it is kept with a message.
    pub fn failure(&self) -> Failure {
        Failure::meta(self.code, self.message.clone())
    }
}

impl fmt::Debug for ProviderError {
    /// Without Meta's text, which may hold a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderError({}, {:?})", self.code, self.verdict)
    }
}

/// The meaning of an error: how to go on, and for how much around the message it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How to go on.
    pub class: Class,
    /// What it holds for.
    pub scope: Scope,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Passes by itself: retry by the schedule.
    Transient,
    /// Too fast for the scope: slow down, then retry.
    Throttled,
    /// The scope cannot send until a person or Meta repairs it: an expired token, a lock, a payment, a paused template.
    Blocked,
    /// Meta holds this message back from this recipient for now: try once more, a day later.
    Deferred,
    /// This message will never go: no retry.
    Permanent,
    /// The recipient wants no more of what the scope says: no retry, and their consent is revoked.
    OptedOut,
}

/// What an error holds for, from the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message only.
    Message,
    /// This recipient, whatever is sent.
    Recipient,
    /// Marketing to this recipient.
    Marketing,
    /// This recipient of this phone number.
    Pair,
    /// This template in this language.
    Template,
    /// This phone number.
    Number,
    /// All numbers of the WhatsApp business account.
    Account,
    /// All that the Meta app or its token sends.
    App,
}
