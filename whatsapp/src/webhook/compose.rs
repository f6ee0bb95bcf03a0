//! Writes webhooks as Meta writes them, for the simulator and for tests.

use domain::Timestamp;
use domain::message::is_user_id;
use domain::receipt::ReceiptKind;
use serde::{Serialize, Serializer};

/// One status to be told.
#[derive(Clone, Copy)]
pub struct StatusUpdate<'a> {
    /// The sender that it belongs to.
    pub phone_number_id: &'a str,
    /// The message's `wamid`.
    pub provider_id: &'a str,
    /// The recipient's digits, without `+`.
    pub recipient: &'a str,
    /// What happened.
    pub kind: ReceiptKind,
    /// When; told in whole seconds.
    pub at: Timestamp,
    /// The `biz_opaque_callback_data` of the send.
    pub opaque: Option<&'a str>,
    /// Code and title, for `failed`.
    pub error: Option<(i64, &'a str)>,
}

/// One webhook body with all `updates`, in their order within each phone number.
pub fn compose(updates: &[StatusUpdate<'_>]) -> Vec<u8> {
    let mut changes: Vec<Change<'_>> = Vec::new();
    for update in updates {
        let known = changes.iter_mut().find(|change| change.value.metadata.phone_number_id == update.phone_number_id);
        match known {
            Some(change) => change.value.statuses.push(Status(update)),
            None => {
                let metadata =
                    Metadata { display_phone_number: "15550001111", phone_number_id: update.phone_number_id };
                let statuses = vec![Status(update)];
                let value = ChangeValue { messaging_product: "whatsapp", metadata, statuses };
                changes.push(Change { field: "messages", value });
            }
        }
    }
    let body = Body { object: "whatsapp_business_account", entry: [Entry { id: "0", changes }] };
    // Structs of text and numbers always serialise; the empty body cannot happen.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'static str,
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
    statuses: Vec<Status<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'static str,
    phone_number_id: &'a str,
}

/// An update, serialised as Meta's status object.
struct Status<'a>(&'a StatusUpdate<'a>);

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let update = self.0;
        let pricing = match update.kind {
            ReceiptKind::Sent | ReceiptKind::Delivered => Some(PRICING),
            ReceiptKind::Read | ReceiptKind::Failed => None,
        };
        let error = update.error.map(|(code, title)| {
            let error_data = ErrorData { details: title };
            [StatusError { code, title, message: title, error_data, href: ERRORS_PAGE }]
        });
        StatusObject {
            id: update.provider_id,
            status: update.kind.as_str(),
            timestamp: (update.at.as_millis() / 1000).to_string(),
            recipient_id: Some(update.recipient).filter(|recipient| !is_user_id(recipient)),
            recipient_user_id: Some(update.recipient).filter(|recipient| is_user_id(recipient)),
            biz_opaque_callback_data: update.opaque,
            pricing,
            errors: error,
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
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[StatusError<'a>; 1]>,
}

#[derive(Serialize)]
struct Pricing {
    billable: bool,
    pricing_model: &'static str,
    category: &'static str,
    r#type: &'static str,
}

const PRICING: Pricing = Pricing { billable: true, pricing_model: "PMP", category: "utility", r#type: "regular" };

const ERRORS_PAGE: &str =
    "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes";

#[derive(Serialize)]
struct StatusError<'a> {
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
