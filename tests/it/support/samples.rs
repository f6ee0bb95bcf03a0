//! Sample requests, organisations and webhooks.

use std::time::SystemTime;

use serde_json::{Value, json};

pub(crate) const WEBHOOK: &str = "webhooks/whatsapp/inbound";
/// The phone number id of the organisation `acme`.
pub(crate) const PHONE: &str = "106540352242922";
/// The app secret that the simulator signs with.
pub(crate) const APP_SECRET: &str = "app-secret-of-the-tests";
pub(crate) const ACCESS_TOKEN: &str = "EAAG-access-token-of-the-tests";
pub(crate) const VERIFY_TOKEN: &str = "verify-token-of-the-tests";

/// The example request of the contract.
pub(crate) fn seed(key: &str) -> Value {
    json!({"dossierId": 456, "channel": "WHATSAPP", "to": "+1234567890", "templateCode": "welcome_message",
        "payloadJson": {"language": "en", "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "John Doe"}]}]},
        "idempotencyKey": key})
}

/// The current time in seconds, as Meta writes it.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The nth recipient.
pub(crate) fn phone(n: usize) -> String {
    format!("+49151{n:07}")
}

/// A text to the nth recipient.
pub(crate) fn text(n: usize) -> Value {
    json!({"to": phone(n), "payloadJson": {"type": "text", "text": {"body": format!("Hello {n}")}}})
}

/// Adds fields to `body`.
pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The body that puts an organisation with one phone number, whose app has this secret.
pub(crate) fn org(number: &str, app_secret: &str) -> Value {
    json!({"name": "Test", "senders": [sender(number, app_secret)]})
}

pub(crate) fn sender(number: &str, app_secret: &str) -> Value {
    json!({"phoneNumberId": number, "accessToken": ACCESS_TOKEN, "appSecret": app_secret,
        "verifyToken": VERIFY_TOKEN, "messagesPerSecond": 1000})
}

/// One status as Meta reports it.
pub(crate) fn status(wamid: &str, status: &str) -> Value {
    json!({"id": wamid, "status": status, "timestamp": "1767225600", "recipient_id": "1234567890"})
}

/// A webhook body about one phone number.
pub(crate) fn notification(number: &str, statuses: &[Value]) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [change(number, statuses)]}]})
}

pub(crate) fn change(number: &str, statuses: &[Value]) -> Value {
    json!({"field": "messages", "value": {"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": number}, "statuses": statuses}})
}
