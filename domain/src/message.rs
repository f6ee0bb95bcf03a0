//! What a client asked to be sent. It is written once and never changed; [`crate::State`] says what becomes of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::gate::TemplateKey;
use crate::ids::{MessageId, PhoneNumberId, SenderNo};
use crate::time::Timestamp;

/// A message as it was accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The sender that it is sent from.
    pub from: PhoneNumberId,
    /// That sender's number within the organisation.
    pub sender: SenderNo,
    /// Whom it is sent to.
    pub to: Recipient,
    /// The template's name. Without one the payload is a native WhatsApp object.
    pub template_code: Option<String>,
    /// `payloadJson`, as JSON text.
    pub payload: Arc<[u8]>,
    /// The customer file that it belongs to.
    pub dossier: Option<Dossier>,
    /// For people; never sent.
    pub subject: Option<String>,
    /// The client's name for the request.
    pub idempotency_key: Option<String>,
    /// Do not send before.
    pub send_at: Option<Timestamp>,
    /// Do not send after.
    pub expires_at: Option<Timestamp>,
    /// Its lane.
    pub priority: Priority,
    /// Which consent it needs.
    pub category: Category,
    /// What to do if the outcome of a send stays unknown; `None`: as configured.
    pub on_unknown: Option<OnUnknown>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Set once its recipient's data is erased.
    pub erased: Option<ErasureMark>,
}

impl Message {
    /// The template that it uses; `None` if it is free-form. This parses the payload, so it is not for a hot path.
    pub fn template(&self) -> Option<TemplateKey> {
        template(self.template_code.as_deref(), &self.payload)
    }

    /// Whether its payload is gone, erased with the recipient or by age. It can never be sent again.
    pub fn is_payload_erased(&self) -> bool {
        self.payload.is_empty()
    }

    /// Whether it may no longer be sent.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What marks a message as erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasureMark {
    /// When it was erased.
    pub at: Timestamp,
    /// A hash of its idempotency key, so that a repeat of the request is not sent after all.
    pub idempotency: Option<[u8; 16]>,
}

/// The template that a payload uses. `code` is its name, if the request gave it apart from the payload.
pub(crate) fn template(code: Option<&str>, payload: &[u8]) -> Option<TemplateKey> {
    let payload: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let native = payload.get("template");
    let name = code.or_else(|| native?.get("name")?.as_str())?;
    let language = native.unwrap_or(&payload).get("language")?;
    let language = language.as_str().or_else(|| language.get("code")?.as_str())?;
    Some(TemplateKey { name: name.to_owned(), language: language.to_owned() })
}

impl fmt::Debug for Message {
    /// Shows the id only: the rest is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.id)
    }
}

/// A phone number in E.164 with its `+`, or Meta's id of a user who shows no number, such as `US.13491208655302741918`.
/// Numbers need the `+`: without it Meta would prepend the sender's own country code.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient(Arc<str>);

/// Text that names no recipient.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must be a phone number in E.164: '+' and 7 to 15 digits, such as +4915112345678; or Meta's id of a user, such as \
     US.13491208655302741918"
)]
pub struct NotARecipient;

/// Meta gives a country, a dot and up to 128 letters and digits; for linked businesses also `US.ENT.…`.
const USER_ID_MAX: usize = 200;

impl Recipient {
    /// Stands for a recipient who was erased.
    pub(crate) fn erased() -> Self {
        Self("".into())
    }

    /// Whether it is Meta's id of a user rather than a phone number.
    pub fn is_user_id(&self) -> bool {
        is_user_id(&self.0)
    }

    /// The number with its `+`, or the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, for a record.
    pub fn to_record(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// From a record: the text was valid by the rules of its time, or is empty because it was erased.
    pub const fn from_record(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        let is_valid = match text.strip_prefix('+') {
            Some(digits) => {
                let is_long_enough = (7..=15).contains(&digits.len());
                is_long_enough && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
            }
            None => is_user_id(text),
        };
        if is_valid { Ok(Self(text.into())) } else { Err(NotARecipient) }
    }
}

/// Whether a text is Meta's id of a user.
pub fn is_user_id(text: &str) -> bool {
    let Some((country, id)) = text.split_once('.') else { return false };
    let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= USER_ID_MAX && is_country && id.split('.').all(is_part)
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(…)")
    }
}

/// The client's name of a customer file: a JSON number or string, given back as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dossier {
    /// Came as a number; kept as its JSON text.
    Number(String),
    /// Came as a string.
    Text(String),
}

impl Dossier {
    /// The text to look it up by: `456` and `"456"` are the same dossier.
    pub fn key(&self) -> &str {
        match self {
            Self::Number(text) | Self::Text(text) => text,
        }
    }
}

/// The lane of a message within its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// The usual.
    #[default]
    Normal,
    /// After all others.
    Low,
}

/// Which consent applies to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Category {
    /// Part of the recipient's business with the organisation.
    #[default]
    Transactional,
    /// Advertising.
    Marketing,
    /// twotick's own answer to a stop or start word. It needs no consent; clients cannot choose it.
    Confirmation,
    /// WhatsApp bills the message's template as marketing, so it needs consent to marketing, whatever its own category
    /// says. No message has this category itself.
    BilledMarketing,
}

impl Category {
    /// The words for the categories that clients may choose.
    pub const WORDS: [(&'static str, Self); 2] =
        [("TRANSACTIONAL", Self::Transactional), ("MARKETING", Self::Marketing)];

    /// The category as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "TRANSACTIONAL",
            Self::Marketing | Self::BilledMarketing => "MARKETING",
            Self::Confirmation => "CONFIRMATION",
        }
    }
}

/// What to do with a send whose outcome stays unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnUnknown {
    /// Send again; the recipient may get it twice.
    #[default]
    Resend,
    /// Fail it until a receipt or a person decides.
    Hold,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_e164_with_its_plus() {
        for good in ["+1234567890", "+4915112345678", "+1234567", "+123456789012345"] {
            assert!(good.parse::<Recipient>().is_ok(), "{good}");
        }
        for bad in ["", "+", "1234567890", "+123456", "+1234567890123456", "+12 34567890", "+0123456789", "+12345x789"]
        {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_recipient_may_be_metas_id_of_a_user() {
        for good in ["US.13491208655302741918", "DE.a1", "US.ENT.11815799212886844830"] {
            assert!(good.parse::<Recipient>().is_ok_and(|to| to.is_user_id()), "{good}");
        }
        for bad in
            ["us.1", "USA.1", "US.", "US", ".1", "US.1..2", "US.1 2", "+1234567890", &format!("US.{}", "1".repeat(200))]
        {
            assert!(!bad.parse::<Recipient>().is_ok_and(|to| to.is_user_id()), "{bad}");
        }
    }

    #[test]
    fn debug_output_shows_no_phone_number() {
        let recipient: Recipient = "+4915112345678".parse().unwrap();
        assert!(!format!("{recipient:?}").contains("4915112345678"));
    }
}
