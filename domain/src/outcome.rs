//! How a call to the provider can end, and what Meta's errors mean for us.

use std::fmt;

use crate::failure::Failure;
use crate::ids::ProviderId;

/// How one call ended, as far as we can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider accepted the message and gave it an id.
    Accepted(ProviderId),
    /// The provider refused the message.
    Refused(ProviderError),
    /// No byte of the request was sent.
    NotSent(Failure),
    /// Nothing was sent, and the message is not to blame: WhatsApp cannot be reached, or something in front of it turns
    /// calls away. The attempt is not charged.
    Unreachable(Failure),
    /// The provider may or may not have accepted it: the answer was lost or unreadable.
    Unknown(Failure),
    /// The same, but the message is not to blame: we ended the call ourselves to shut down, or WhatsApp answers no
    /// call. The attempt is not charged.
    CutOff(Failure),
}

/// An error that Meta reported in an answer or in a `failed` receipt, with its meaning.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// Meta's code.
    pub code: i64,
    /// Meta's text: the details if given, else the message.
    pub message: String,
    /// What it means for us.
    pub verdict: Verdict,
}

impl ProviderError {
    /// The error as a message keeps it.
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

/// The meaning of an error: how to go on, and what else it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How to go on.
    pub class: Class,
    /// What it applies to.
    pub scope: Scope,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It passes by itself: retry by the schedule.
    Transient,
    /// The scope sends too fast: slow down, then retry.
    Throttled,
    /// The scope cannot send until a person or Meta repairs it: an expired token, a lock, an unpaid bill, a paused
    /// template.
    Blocked,
    /// Meta holds this message back from this recipient for now: retry once, a day later.
    Deferred,
    /// This message can never be sent: do not retry.
    Permanent,
    /// The recipient wants no more messages of the scope: do not retry, and revoke their consent.
    OptedOut,
}

/// What an error applies to, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message only.
    Message,
    /// This recipient, whatever the message.
    Recipient,
    /// Marketing to this recipient.
    Marketing,
    /// This recipient and this phone number.
    Pair,
    /// This template in this language.
    Template,
    /// This phone number.
    Number,
    /// All numbers of the WhatsApp business account.
    Account,
    /// Everything that the Meta app or its token sends.
    App,
}
