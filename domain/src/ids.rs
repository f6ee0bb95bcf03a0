//! Typed ids. Each can be made only from valid text or numbers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::time::Timestamp;

/// Text that is not a valid id of its kind; the message says what is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidId(&'static str);

fn is_token(text: &str, extra: &[u8]) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

/// Ids of organisations are part of URLs, where `.` and `..` mean something else, and `…/inbound` takes everyone's
/// webhooks.
fn is_org_id(text: &str) -> bool {
    is_token(text, b"-_.") && text.bytes().any(|b| b != b'.') && !text.eq_ignore_ascii_case("inbound")
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $is_valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, for a record.
            pub fn to_record(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }

            /// From a record: the text was valid by the rules of its time.
            pub const fn from_record(text: Arc<str>) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $is_valid(text) { Ok(Self(text.into())) } else { Err(InvalidId($rule)) }
            }
        }
    };
}

text_id!(
    /// An organisation's id, as its operator chose it.
    OrgId, is_org_id, "must be 1 to 64 letters, digits, '-', '_' or '.', not dots alone and not \"inbound\": it stands in addresses"
);
text_id!(
    /// Meta's id of a business phone number (not the number itself). Names a sender.
    PhoneNumberId, |text| is_token(text, b"-_"), "must be 1 to 64 letters, digits, '-' or '_'"
);

/// The provider's id of a message (`wamid…`). It is opaque and embeds the recipient's digits, so it is never logged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(Arc<str>);

impl ProviderId {
    /// Takes the provider's text as it is.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Stands for an id that was erased.
    pub fn erased() -> Self {
        Self("".into())
    }

    /// Whether it was erased.
    pub fn is_erased(&self) -> bool {
        self.0.is_empty()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, for a record.
    pub fn to_record(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// From a record.
    pub const fn from_record(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderId(…)")
    }
}

/// The number that an organisation's keys in the store begin with. It is not reused while any of its data is kept, so
/// no data of a deleted organisation can appear in a new one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrgNo(pub u32);

/// A sender's number within its organisation. It keeps the due index's keys short and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderNo(pub u16);

/// Counts the owners of an organisation's data. Commits of an older epoch are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The position of an entry in its organisation's audit trail: 1, 2, 3 … without a gap.
pub type Seq = u64;

/// A message's id: a UUID of version 7, so ids sort by the time of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Uuid);

impl MessageId {
    /// From a UUID drawn by the caller.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// From the sixteen bytes of [`MessageId::as_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Stands for an id that was erased.
    pub const ERASED: Self = Self(Uuid::nil());

    /// When it was drawn.
    pub fn drawn_at(&self) -> Timestamp {
        let millis =
            self.0.get_timestamp().map_or(0, |at| at.to_unix().0 * 1000 + u64::from(at.to_unix().1 / 1_000_000));
        Timestamp::from_millis(millis)
    }

    /// Sixteen bytes that sort like the ids.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId("must be a message id"))
    }
}

/// The number of one of a message's attempts, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNo(pub u16);

impl AttemptNo {
    /// The number of the attempt after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One attempt of one message. Its text is sent as `biz_opaque_callback_data` and returns in every receipt. Other apps
/// of the account can see it, so it holds nothing but the two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptRef {
    /// The message.
    pub message: MessageId,
    /// Which of its attempts.
    pub attempt: AttemptNo,
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tt1:{}:{}", self.message.0.simple(), self.attempt)
    }
}

impl FromStr for AttemptRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId("is not an attempt of ours");
        let (message, attempt) = text.strip_prefix("tt1:").and_then(|rest| rest.split_once(':')).ok_or(RULE)?;
        let attempt = attempt.parse().ok().filter(|n| *n > 0).ok_or(RULE)?;
        Ok(Self { message: message.parse().map_err(|_| RULE)?, attempt: AttemptNo(attempt) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_finds_its_way_back_through_opaque_text() {
        let attempt = AttemptRef { message: MessageId::from_bytes([7; 16]), attempt: AttemptNo(3) };
        assert_eq!(attempt.to_string(), "tt1:07070707070707070707070707070707:3");
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
    }

    #[test]
    fn opaque_text_of_other_apps_is_not_ours() {
        for text in ["", "tt1:", "tt1:xyz:1", "tt1:07070707070707070707070707070707:0", "a:01J9ZK6X"] {
            assert!(text.parse::<AttemptRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_org_id_is_a_short_plain_token() {
        for text in ["org-123", "a.b", ".a", "inbound-2", "7"] {
            assert!(text.parse::<OrgId>().is_ok(), "{text}");
        }
        for text in ["", "a b", "../x", "ä", &"x".repeat(65), ".", "..", "...", "inbound", "Inbound"] {
            assert!(text.parse::<OrgId>().is_err(), "{text}");
        }
    }
}
