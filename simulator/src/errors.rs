//! Refusals in Meta's error envelope.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::codes::{Described, describe};

/// Meta's codes for invalid requests.
pub(crate) mod code {
    pub(crate) const INVALID_REQUEST: i64 = 100;
    pub(crate) const NO_TOKEN: i64 = 104;
    pub(crate) const BAD_TOKEN: i64 = 190;
    pub(crate) const UNKNOWN_PATH: i64 = 2500;
    pub(crate) const MISSING: i64 = 131_008;
    pub(crate) const INVALID: i64 = 131_009;
    pub(crate) const UNSUPPORTED_TYPE: i64 = 131_051;
}

/// The subcode of "object does not exist", which accompanies code 100.
const NO_SUCH_OBJECT: i64 = 33;
const TOO_LARGE: u16 = 413;

/// Why a request is refused, or the error that a fault injects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) http_status: u16,
    /// Meta's code.
    pub(crate) code: i64,
    /// Meta's `error_subcode`, for the few codes that still carry one.
    pub(crate) subcode: Option<i64>,
    /// Meta's title of the error.
    pub(crate) message: String,
    /// What is wrong with this request. `None` for errors of the Graph API itself, whose message says it.
    pub(crate) details: Option<String>,
}

impl Refusal {
    /// A refusal with the status, the title and the details that Meta uses for the code.
    pub(crate) fn new(code: i64) -> Self {
        let Described { http_status, title, details } = describe(code);
        Self { http_status, code, subcode: None, message: title.to_owned(), details: details.map(str::to_owned) }
    }

    /// A required parameter is missing.
    pub(crate) fn missing(param: &str) -> Self {
        Self::new(code::MISSING).because(format!("The parameter {param} is required."))
    }

    /// A parameter has a value that Meta does not accept.
    pub(crate) fn invalid(details: impl Into<String>) -> Self {
        Self::new(code::INVALID).because(details)
    }

    /// A failed check that Meta reports with code 100. Meta explains it in the message; the simulator repeats that in
    /// the details.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { details: Some(message.clone()), message, ..Self::new(code::INVALID_REQUEST) }
    }

    /// The request is larger than the simulator reads.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self { http_status: TOO_LARGE, ..Self::malformed(message) }
    }

    /// Meta does not know the id in the path. `verb` is the method, as Meta writes it.
    pub(crate) fn no_such_object(verb: &str, id: &str) -> Self {
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation. Please read the Graph API documentation at \
             https://developers.facebook.com/docs/graph-api"
        );
        Self { subcode: Some(NO_SUCH_OBJECT), message, details: None, ..Self::new(code::INVALID_REQUEST) }
    }

    /// Meta has no such path.
    pub(crate) fn unknown_path(path: &str) -> Self {
        Self::new(code::UNKNOWN_PATH).saying(format!("Unknown path components: /{path}"))
    }

    /// Replaces the code's usual details.
    pub(crate) fn because(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }

    /// Replaces the code's usual message.
    pub(crate) fn saying(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// Adds a subcode. If the subcode changes the meaning of the code, the message says so about the object `id`.
    pub(crate) fn with_subcode(self, subcode: Option<i64>, id: &str) -> Self {
        match (self.code, subcode) {
            (code::INVALID_REQUEST, Some(NO_SUCH_OBJECT)) => Self::no_such_object("post", id),
            (code::BAD_TOKEN, Some(460)) => Self { subcode, ..self }.saying(
                "Error validating access token: The session has been invalidated because the user changed their \
                 password or Facebook has changed the session for security reasons.",
            ),
            _ => Self { subcode, ..self },
        }
    }

    /// Meta's error envelope. Like Meta's, it has a new trace id each time.
    pub(crate) fn envelope(&self) -> Value {
        let message = match self.details {
            Some(_) => format!("(#{}) {}", self.code, self.message),
            None => self.message.clone(),
        };
        let kind = if self.subcode == Some(NO_SUCH_OBJECT) { "GraphMethodException" } else { "OAuthException" };
        let mut error = json!({ "message": message, "type": kind, "code": self.code });
        if let Some(error) = error.as_object_mut() {
            if let Some(details) = &self.details {
                error.insert("error_data".into(), json!({ "messaging_product": "whatsapp", "details": details }));
            }
            if let Some(subcode) = self.subcode {
                error.insert("error_subcode".into(), subcode.into());
            }
            error.insert("fbtrace_id".into(), format!("A{}", Uuid::new_v4().simple()).into());
        }
        json!({ "error": error })
    }
}
