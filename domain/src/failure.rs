//! Why something failed.

use std::fmt;

/// Why an attempt or a message failed.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with one of our own codes.
    pub fn new(code: OurCode, message: impl Into<String>) -> Self {
        Self { code: FailureCode::Ours(code), message: message.into() }
    }

    /// A failure with one of Meta's codes.
    pub fn meta(code: i64, message: impl Into<String>) -> Self {
        Self { code: FailureCode::Meta(code), message: message.into() }
    }
}

impl fmt::Debug for Failure {
    /// The code only: Meta's texts may hold a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({})", self.code)
    }
}

/// The code of a failure. Clients and records have it as text: [`Display`](fmt::Display) writes the text,
/// [`parse`](Self::parse) reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// One of ours.
    Ours(OurCode),
    /// Meta's, or the HTTP status of an answer without Meta's error object.
    Meta(i64),
    /// Neither: a record may hold a code that another version wrote.
    Other(String),
}

impl FailureCode {
    /// Reads a code. Every text is a code and is written back as it was read.
    pub fn parse(text: &str) -> Self {
        let ours = || OurCode::ALL.into_iter().find(|code| code.as_str() == text).map(Self::Ours);
        // Text that we would not write for a number, such as "007", stays text.
        let meta = || text.parse::<i64>().ok().filter(|code| code.to_string() == text).map(Self::Meta);
        ours().or_else(meta).unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(code) => f.write_str(code.as_str()),
            Self::Meta(code) => write!(f, "{code}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Our own codes, for failures that Meta did not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OurCode {
    /// The message was not sent before its `expiresAt`.
    Expired,
    /// The recipient did not consent to the message.
    BlockedByPolicy,
    /// The message is free-form, and the recipient last wrote more than 24 hours ago.
    WindowClosed,
    /// No answer and no receipt came in time.
    OutcomeUnknown,
    /// A receipt reported a failure without a code.
    FailedByReceipt,
    /// The message crashed its actor too often.
    Crashed,
    /// No connection to Meta could be made.
    ConnectFailed,
    /// The connection was closed before the request was written.
    ConnectionClosed,
    /// This process has no file descriptor left for a connection.
    OutOfDescriptors,
    /// The HTTP client did not accept the request.
    InvalidRequest,
    /// The call was not made.
    NotCalled,
    /// The call took longer than we wait.
    Timeout,
    /// The connection was lost before the whole answer came.
    ConnectionLost,
    /// The call succeeded, but its answer has no message id.
    UnreadableAnswer,
    /// A server error came without Meta's error object.
    NoEnvelope,
    /// The call ended without an answer.
    NoAnswer,
    /// The service stopped before the answer came.
    CutOff,
}

impl OurCode {
    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::Expired,
        Self::BlockedByPolicy,
        Self::WindowClosed,
        Self::OutcomeUnknown,
        Self::FailedByReceipt,
        Self::Crashed,
        Self::ConnectFailed,
        Self::ConnectionClosed,
        Self::OutOfDescriptors,
        Self::InvalidRequest,
        Self::NotCalled,
        Self::Timeout,
        Self::ConnectionLost,
        Self::UnreadableAnswer,
        Self::NoEnvelope,
        Self::NoAnswer,
        Self::CutOff,
    ];

    /// The code as clients and records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "EXPIRED",
            Self::BlockedByPolicy => "BLOCKED_BY_POLICY",
            Self::WindowClosed => "WINDOW_CLOSED",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::FailedByReceipt => "FAILED_BY_RECEIPT",
            Self::Crashed => "CRASHED",
            Self::ConnectFailed => "CONNECT_FAILED",
            Self::ConnectionClosed => "CONNECTION_CLOSED",
            Self::OutOfDescriptors => "OUT_OF_DESCRIPTORS",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::NotCalled => "NOT_CALLED",
            Self::Timeout => "TIMEOUT",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::UnreadableAnswer => "UNREADABLE_ANSWER",
            Self::NoEnvelope => "NO_ENVELOPE",
            Self::NoAnswer => "NO_ANSWER",
            Self::CutOff => "CUT_OFF",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_what_it_was_written_for() {
        for code in OurCode::ALL {
            assert_eq!(FailureCode::parse(code.as_str()), FailureCode::Ours(code));
        }
        for code in [0, 190, 131_026, -1, i64::MAX, i64::MIN] {
            assert_eq!(FailureCode::parse(&code.to_string()), FailureCode::Meta(code));
        }
    }

    #[test]
    fn every_text_is_written_as_it_was_read() {
        for text in ["EXPIRED", "expired", "131026", "007", "+7", "-0", " 7", "", "NEW_CODE", "9223372036854775808"] {
            assert_eq!(FailureCode::parse(text).to_string(), text);
        }
    }
}
