//! Writes webhooks as Meta writes them, for the simulator and for tests.

use std::borrow::Cow;
use std::collections::HashSet;

use domain::Timestamp;
use domain::message::is_user_id;
use domain::receipt::ReceiptKind;
use serde::{Serialize, Serializer};

/// One status to report.
#[derive(Clone, Copy)]
pub struct StatusUpdate<'a> {
    /// The sender that it belongs to.
    pub phone_number_id: &'a str,
    /// The message's `wamid`.
    pub provider_id: &'a str,
    /// The recipient's digits, without `+`, or the id of a user or of a group.
    pub recipient: &'a str,
    /// Whether the recipient is a group.
    pub group: bool,
    /// What happened.
    pub kind: ReceiptKind,
    /// Whether a voice message was played, which is more than read.
    pub played: bool,
    /// What Meta charges the message as, such as `service` or `utility`.
    pub category: &'a str,
    /// When; written in whole seconds.
    pub at: Timestamp,
    /// The `biz_opaque_callback_data` of the send.
    pub opaque: Option<&'a str>,
    /// Why, for `failed`.
    pub error: Option<StatusError<'a>>,
}

/// Meta's words for an error in a status.
#[derive(Clone, Copy)]
pub struct StatusError<'a> {
    /// Meta's code.
    pub code: i64,
    /// Its title.
    pub title: &'a str,
    /// The details about this message.
    pub details: &'a str,
}

/// One webhook body with all `updates`, of an account that does not exist.
pub fn compose(updates: &[StatusUpdate<'_>]) -> Vec<u8> {
    StatusUpdate::compose_for("0", updates)
}

impl StatusUpdate<'_> {
    /// One webhook body of the WhatsApp business account `waba_id` with all `updates`, in their order within each phone number.
    pub fn compose_for(waba_id: &str, updates: &[StatusUpdate<'_>]) -> Vec<u8> {
        let body =
            Body { object: "whatsapp_business_account", entry: [Entry { id: waba_id, changes: changes(updates) }] };
        // Structs of text and numbers always serialise; the empty body cannot happen.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// The updates by phone number, each with its recipients.
fn changes<'a>(updates: &'a [StatusUpdate<'a>]) -> Vec<Change<'a>> {
    let mut changes: Vec<Change<'_>> = Vec::new();
    for update in updates {
        let known = changes.iter_mut().find(|change| change.value.metadata.phone_number_id == update.phone_number_id);
        match known {
            Some(change) => change.value.statuses.push(Status(update)),
            None => {
                let metadata =
                    Metadata { display_phone_number: "15550001111", phone_number_id: update.phone_number_id };
                let statuses = vec![Status(update)];
                let value = ChangeValue { messaging_product: "whatsapp", metadata, contacts: Vec::new(), statuses };
                changes.push(Change { field: "messages", value });
            }
        }
    }
    for change in &mut changes {
        change.value.contacts = contacts(&change.value.statuses);
    }
    changes
}

#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    field: &'static str,
    value: ChangeValue<'a>,
}

#[derive(Serialize)]
struct ChangeValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact<'a>>,
    statuses: Vec<Status<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'static str,
    phone_number_id: &'a str,
}

#[derive(Serialize)]
struct Contact<'a> {
    profile: Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Profile {
    name: &'static str,
}

/// The recipients, each once. Meta names none for a message that failed.
fn contacts<'a>(statuses: &[Status<'a>]) -> Vec<Contact<'a>> {
    let mut told = HashSet::new();
    let mut contacts = Vec::new();
    for Status(update) in statuses.iter().filter(|status| status.0.kind != ReceiptKind::Failed) {
        if told.insert(update.recipient) {
            let by_id = is_user_id(update.recipient);
            let (wa_id, user_id) = match (update.group, by_id) {
                (true, _) => (Some(PARTICIPANT), Some(PARTICIPANT_ID)),
                (false, true) => (None, Some(update.recipient)),
                (false, false) => (Some(update.recipient), None),
            };
            contacts.push(Contact { profile: Profile { name: "Simulated User" }, wa_id, user_id });
        }
    }
    contacts
}

/// The other participant of every group.
const PARTICIPANT: &str = "15550002222";
const PARTICIPANT_ID: &str = "US.15550002222";

/// An update, serialised as Meta's status object.
struct Status<'a>(&'a StatusUpdate<'a>);

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let update = self.0;
        let pricing = match update.kind {
            ReceiptKind::Sent | ReceiptKind::Delivered => Some(Pricing::of(update)),
            ReceiptKind::Read | ReceiptKind::Failed => None,
        };
        let errors = update.error.map(|StatusError { code, title, details }| {
            [Failure { code, title, message: title, error_data: ErrorData { details }, href: ERRORS_PAGE }]
        });
        let by_id = !update.group && is_user_id(update.recipient);
        StatusObject {
            id: update.provider_id,
            status: if update.played { "played" } else { update.kind.as_str() },
            timestamp: (update.at.as_millis() / 1000).to_string(),
            recipient_id: Some(update.recipient).filter(|_| !by_id),
            recipient_user_id: Some(update.recipient).filter(|_| by_id),
            recipient_type: update.group.then_some("group"),
            recipient_participant_id: update.group.then_some(PARTICIPANT),
            recipient_participant_user_id: update.group.then_some(PARTICIPANT_ID),
            biz_opaque_callback_data: update.opaque,
            pricing,
            errors,
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct StatusObject<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_participant_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_participant_user_id: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[Failure<'a>; 1]>,
}

#[derive(Serialize)]
struct Pricing<'a> {
    billable: bool,
    pricing_model: &'static str,
    category: Cow<'a, str>,
    r#type: &'static str,
}

impl<'a> Pricing<'a> {
    /// A message without a template is a service message, which is free.
    fn of(update: &StatusUpdate<'a>) -> Self {
        let free = update.category == "service";
        Self {
            billable: !free,
            pricing_model: "PMP",
            category: match update.group {
                true => format!("group_{}", update.category).into(),
                false => update.category.into(),
            },
            r#type: if free { "free_customer_service" } else { "regular" },
        }
    }
}

const ERRORS_PAGE: &str =
    "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes";

#[derive(Serialize)]
struct Failure<'a> {
    code: i64,
    title: &'a str,
    message: &'a str,
    error_data: ErrorData<'a>,
    href: &'static str,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    details: &'a str,
}
