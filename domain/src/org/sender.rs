//! A business phone number of an organisation, and its pauses.

use super::secret::{Secret, SecretField};
use crate::ids::{PhoneNumberId, SenderNo};
use crate::outcome::ProviderError;
use crate::time::Timestamp;

/// One business phone number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its number within the organisation.
    pub no: SenderNo,
    /// Meta's id of the phone number.
    pub phone_number_id: PhoneNumberId,
    /// Meta's id of its WhatsApp business account.
    pub waba_id: Option<String>,
    /// The bearer token for calls.
    pub access_token: Secret,
    /// The key that signs webhooks.
    pub app_secret: Secret,
    /// The token that Meta shows when it verifies the webhook address.
    pub verify_token: Secret,
    /// Its own rate; `None`: as configured for all.
    pub messages_per_second: Option<u32>,
    /// Set while it may not send.
    pub paused: Option<Pause>,
    /// The previous app secret, which stays valid while the secret is being exchanged.
    pub previous_app_secret: Option<Secret>,
}

impl Sender {
    /// The secrets that may have signed a webhook about it.
    pub fn app_secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.app_secret).chain(&self.previous_app_secret)
    }

    /// All its secrets, always in the same order.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = (SenderNo, SecretField, &mut Secret)> {
        // All fields are named, so that a new secret field cannot be forgotten: it would be stored in clear.
        let Self {
            no,
            phone_number_id: _,
            waba_id: _,
            access_token,
            app_secret,
            verify_token,
            messages_per_second: _,
            paused: _,
            previous_app_secret,
        } = self;
        let no = *no;
        [
            (SecretField::AccessToken, Some(access_token)),
            (SecretField::AppSecret, Some(app_secret)),
            (SecretField::VerifyToken, Some(verify_token)),
            (SecretField::PreviousAppSecret, previous_app_secret.as_mut()),
        ]
        .into_iter()
        .filter_map(move |(field, secret)| Some((no, field, secret?)))
    }
}

/// Why a sender, or a whole organisation, may not send. Its messages stay QUEUED.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// For people.
    pub reason: String,
    /// Who paused it.
    pub by: PausedBy,
    /// Since when.
    pub since: Timestamp,
}

impl Pause {
    /// The reason for a pause by this error of Meta's.
    pub fn reason_of(error: &ProviderError) -> String {
        format!("Meta error {}: {}", error.code, error.message)
    }

    /// Meta's code, if Meta's error paused it.
    pub fn meta_code(&self) -> Option<i64> {
        let (code, _) = self.reason.strip_prefix("Meta error ")?.split_once(':')?;
        code.parse().ok().filter(|_| self.by == PausedBy::Meta)
    }
}

/// Who paused a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedBy {
    /// A person. Only a person ends it.
    Operator,
    /// One of Meta's errors that applies to the whole sender. A new token or a successful probe ends it too.
    Meta,
}
