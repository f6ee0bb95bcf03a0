//! An organisation: its senders, its API keys, its settings.

mod keys;
mod put;
mod secret;

use crate::consent::Words;
use crate::ids::{OrgId, OrgNo, PhoneNumberId, SenderNo};
use crate::outcome::ProviderError;
use crate::quota::Quotas;
use crate::retention::Retention;
use crate::time::Timestamp;

pub use keys::{ApiKey, KeyScope};
pub use put::{PutOrg, PutSender};
pub use secret::{Secret, SecretField};

/// One organisation, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id, chosen by the operator.
    pub id: OrgId,
    /// The number that its keys in the store begin with.
    pub no: OrgNo,
    /// For people.
    pub name: String,
    /// How strictly consent is asked for.
    pub consent: ConsentPolicy,
    /// What a recipient may write to revoke or grant it.
    pub words: Words,
    /// How long what is finished is kept.
    pub retention: Retention,
    /// Set while all of it sends nothing.
    pub paused: Option<Pause>,
    /// Its phone numbers.
    pub senders: Vec<Sender>,
    /// Phone numbers that it had: one that comes back finds its waiting messages under its old number.
    pub retired: Vec<(PhoneNumberId, SenderNo)>,
    /// The number that the next new sender gets.
    pub next_sender: u16,
    /// Its API keys.
    pub keys: Vec<ApiKey>,
    /// Keys that it had, the last one last: who still comes with one of them is on its trail.
    pub revoked: Vec<ApiKey>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. Its record stays until its data is gone.
    pub deleted_at: Option<Timestamp>,
    /// What it may use.
    pub quotas: Quotas,
}

impl Org {
    /// An organisation without senders or keys.
    pub fn new(id: OrgId, no: OrgNo, now: Timestamp) -> Self {
        Self {
            name: id.to_string(),
            id,
            no,
            consent: ConsentPolicy::default(),
            words: Words::default(),
            retention: Retention::default(),
            paused: None,
            senders: Vec::new(),
            retired: Vec::new(),
            next_sender: 1,
            keys: Vec::new(),
            revoked: Vec::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            quotas: Quotas::default(),
        }
    }

    /// The sender with this phone number id.
    pub fn sender(&self, id: &PhoneNumberId) -> Option<&Sender> {
        self.senders.iter().find(|sender| sender.phone_number_id == *id)
    }

    /// A sender with the pause that holds for it.
    pub fn effective(&self, sender: &Sender) -> Sender {
        Sender { paused: self.pause_of(sender).cloned(), ..sender.clone() }
    }

    /// Why a sender sends nothing, if it does not: for itself, or with the whole organisation.
    pub fn pause_of<'a>(&'a self, sender: &'a Sender) -> Option<&'a Pause> {
        self.paused.as_ref().or(sender.paused.as_ref())
    }
}

/// How strictly an organisation asks for consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsentPolicy {
    /// Transactional unless revoked, marketing only if granted.
    #[default]
    Default,
    /// Both only if granted.
    Required,
    /// Never asked.
    Off,
}

impl ConsentPolicy {
    /// The words for it in the API and in the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("default", Self::Default), ("required", Self::Required), ("off", Self::Off)];

    /// The policy as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Required => "required",
            Self::Off => "off",
        }
    }
}

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
    /// The key of webhook signatures.
    pub app_secret: Secret,
    /// What Meta shows when it verifies the webhook address.
    pub verify_token: Secret,
    /// Its own rate; `None`: as configured for all.
    pub messages_per_second: Option<u32>,
    /// Set while it sends nothing.
    pub paused: Option<Pause>,
    /// While the app secret is being exchanged, the one that also counts.
    pub previous_app_secret: Option<Secret>,
}

impl Sender {
    /// What may have signed a webhook about it.
    pub fn app_secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.app_secret).chain(&self.previous_app_secret)
    }

    /// Every secret that it has, always in the same order.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = (SenderNo, SecretField, &mut Secret)> {
        // All fields by name: one more that is secret must not be forgotten here, for it would be kept in clear.
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

/// Why a sender, or a whole organisation, sends nothing. Its messages stay QUEUED.
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
    /// What Meta's error is told as.
    pub fn reason_of(error: &ProviderError) -> String {
        format!("Meta error {}: {}", error.code, error.message)
    }

    /// Meta's code, if an error of Meta's paused it.
    pub fn meta_code(&self) -> Option<i64> {
        let (code, _) = self.reason.strip_prefix("Meta error ")?.split_once(':')?;
        code.parse().ok().filter(|_| self.by == PausedBy::Meta)
    }
}

/// Who paused a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedBy {
    /// A person: only a person ends it.
    Operator,
    /// An error of Meta's that holds for the whole sender: a new token or a probe that succeeds ends it, too.
    Meta,
}
