//! Meta's error codes and the envelope that carries them.

use serde_json::{Value, json};
use uuid::Uuid;

/// A request refused, or the fault that stands in for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) http_status: u16,
    /// Meta's code.
    pub(crate) code: i64,
    /// Meta's `error_subcode`, on the few codes that still carry one.
    pub(crate) subcode: Option<i64>,
    /// What Meta calls the error.
    pub(crate) message: &'static str,
    /// What is wrong with this request.
    pub(crate) details: String,
}

impl Refusal {
    /// With the status and the title that Meta uses for the code.
    pub(crate) fn new(code: i64, details: impl Into<String>) -> Self {
        let (http_status, message) = describe(code);
        Self { http_status, code, subcode: None, message, details: details.into() }
    }

    /// Meta's envelope. The trace id is new each time, as Meta's is.
    pub(crate) fn envelope(&self) -> Value {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, self.message),
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": format!("A{}", Uuid::new_v4().simple()),
        });
        if let (Some(subcode), Some(error)) = (self.subcode, error.as_object_mut()) {
            error.insert("error_subcode".into(), subcode.into());
        }
        json!({ "error": error })
    }
}

/// The HTTP status that comes with a code, and its title. Meta's documents disagree on throttles (400 or 429); 429 here.
pub(crate) const fn describe(code: i64) -> (u16, &'static str) {
    match code {
        0 => (401, "AuthException"),
        1 => (400, "API Unknown"),
        2 => (503, "API Service"),
        3 => (500, "API Method"),
        4 => (429, "Application request limit reached"),
        10 => (403, "Permission Denied"),
        33 => (400, "Parameter value is not valid"),
        100 => (400, "Invalid parameter"),
        104 => (401, "Access token required"),
        190 => (401, "Invalid OAuth access token"),
        200..=299 => (403, "API Permission"),
        368 => (403, "Temporarily blocked for policies violations"),
        803 => (404, "Some of the aliases you requested do not exist"),
        2500 => (404, "Unknown path components"),
        80_007 => (429, "Rate limit issues"),
        130_429 => (429, "Rate limit hit"),
        130_472 => (400, "User's number is part of an experiment"),
        130_497 => (403, "Business account is restricted from messaging users in this country"),
        131_000 => (500, "Something went wrong"),
        131_005 => (403, "Access denied"),
        131_008 => (400, "Required parameter is missing"),
        131_009 => (400, "Parameter value is not valid"),
        131_016 => (500, "Service unavailable"),
        131_021 => (400, "Recipient cannot be sender"),
        131_026 => (400, "Message undeliverable"),
        131_030 => (400, "Recipient phone number not in allowed list"),
        131_031 => (403, "Account has been locked"),
        131_042 => (400, "Business eligibility payment issue"),
        131_045 => (500, "Incorrect certificate"),
        131_047 => (400, "Re-engagement message"),
        131_048 => (429, "Spam rate limit hit"),
        131_049 => (400, "This message was not delivered to maintain healthy ecosystem engagement"),
        131_050 => (400, "User has stopped marketing messages from this business"),
        131_051 => (400, "Unsupported message type"),
        131_052 => (400, "Media download error"),
        131_053 => (400, "Media upload error"),
        131_056 => (429, "(Business Account, Consumer Account) pair rate limit hit"),
        131_057 => (500, "Account in maintenance mode"),
        132_000 => (400, "Template param count mismatch"),
        132_001 => (404, "Template does not exist"),
        132_005 => (400, "Template hydrated text too long"),
        132_007 => (400, "Template format character policy violated"),
        132_012 => (400, "Template parameter format mismatch"),
        132_015 => (400, "Template is paused"),
        132_016 => (400, "Template is disabled"),
        132_068 => (400, "Flow is blocked"),
        132_069 => (400, "Flow is throttled"),
        133_004 => (503, "Server temporarily unavailable"),
        133_010 => (400, "Phone number not registered"),
        135_000 => (400, "Generic user error"),
        137_000 => (400, "Recipient identity key hash mismatch"),
        _ => (400, "Simulated error"),
    }
}
