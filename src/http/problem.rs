//! Problems, as RFC 9457 `application/problem+json`: the only place that maps errors to status and code.

use std::borrow::Cow;
use std::time::Duration;

use actors::{AcceptError, ChangeError, ManualError};
use api::{BulkResult, FieldProblem, Word};
use domain::FieldError;
use domain::consent::Refusal;
use domain::fields::NAMED_MAX;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use store::{StoreError, Unavailable};

use crate::service::admin_key::ExchangeError;

/// A request that was not done, and why.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    /// For people.
    detail: String,
    errors: Vec<FieldError>,
    /// What was done all the same. Boxed, so that results with a problem stay small.
    done: Option<Box<BulkResult>>,
    /// Boxed likewise.
    header: Option<Box<(HeaderName, Cow<'static, str>)>>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), done: None, header: None }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED", detail)
    }

    /// A part of the path that cannot be what it should be.
    pub(crate) fn malformed_field(field: &str, message: String) -> Self {
        let errors = vec![FieldError { field: field.to_owned(), message }];
        Self { errors, ..Self::malformed("the address is not valid; nothing was changed") }
    }

    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "these fields are not valid; nothing was changed";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID", detail) }
    }

    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        let header = Some(Box::new((WWW_AUTHENTICATE, "Bearer".into())));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", detail) }
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is no such {what}"))
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NO_SUCH_PATH", "there is nothing at this path")
    }

    pub(crate) fn method_not_allowed(methods: &str) -> Self {
        let detail = format!("this path knows {methods}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail);
        Self { header: Some(Box::new((ALLOW, methods.to_owned().into()))), ..problem }
    }

    pub(crate) fn too_large(max: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", format!("the body may have at most {max} bytes"))
    }

    pub(crate) fn packed() -> Self {
        let detail = "the body is packed, as by gzip: send it as it is, without Content-Encoding";
        let problem = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING", detail);
        Self { header: Some(Box::new((ACCEPT_ENCODING, "identity".into()))), ..problem }
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "TOO_SLOW", "the body did not come in time; send it at once, and again")
    }

    pub(crate) fn timed_out() -> Self {
        let detail = "this took longer than http.request_timeout; it may have been done all the same: look, or repeat it \
                      with the same idempotency key";
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "TIMED_OUT", detail, "5")
    }

    pub(crate) fn overloaded(detail: &str) -> Self {
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", detail, "1")
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail, "5")
    }

    /// What was tried is wrong, like too much before it.
    pub(crate) fn too_many_tries(wait: Duration) -> Self {
        let detail = "too many keys, signatures or tokens that are wrong came from this address";
        Self::later(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_TRIES", detail, (wait.as_secs() + 1).to_string())
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "something went wrong here; it is in the log")
    }

    fn later(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        seconds: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { header: Some(Box::new((RETRY_AFTER, seconds.into()))), ..Self::new(status, code, detail) }
    }

    /// The same with why the service takes nothing now, if that is why.
    pub(crate) fn because(mut self, trouble: Option<String>) -> Self {
        if let Some(trouble) =
            trouble.filter(|trouble| self.code == "UNAVAILABLE" && !self.detail.contains(trouble.as_str()))
        {
            self.detail = format!("{}: {trouble}", self.detail);
        }
        self
    }

    /// The same of a request that was done in part.
    pub(crate) fn after(self, done: BulkResult) -> Self {
        Self { done: Some(Box::new(done)), ..self }
    }

    pub(crate) fn into_response(self) -> Response<Vec<u8>> {
        let Self { status, code, detail, errors, done, header } = self;
        let body = api::Problem {
            kind: format!("urn:twotick:problem:{}", code.to_lowercase().replace('_', "-")),
            title: Word::Borrowed(status.canonical_reason().unwrap_or("Error")),
            status: status.as_u16(),
            detail,
            code: Word::Borrowed(code),
            done: done.map(|done| *done),
            more_errors: errors.len().checked_sub(NAMED_MAX).filter(|more| *more > 0),
            errors: errors
                .into_iter()
                .take(NAMED_MAX)
                .map(|error| FieldProblem { field: error.field.to_string(), message: error.message.to_string() })
                .collect(),
        };
        let mut text = serde_json::to_vec(&body).unwrap_or_default();
        text.push(b'\n');
        let mut response = Response::new(text);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = header.map(|header| *header)
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Vec<FieldError>> for Problem {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::invalid(errors)
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::NoSuchOrg => Self::not_found("organisation"),
            AcceptError::Invalid(errors) => Self::invalid(errors),
            AcceptError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                "this idempotency key was used for a request with another body; use a new key, or send the same body",
            ),
            AcceptError::Blocked(refusal) => refusal.into(),
            AcceptError::QueueFull => Self::later(
                StatusCode::TOO_MANY_REQUESTS,
                "QUEUE_FULL",
                "the organisation has as many messages queued as outbound.max_queued allows",
                "60",
            ),
            AcceptError::Overloaded => Self::overloaded("too many requests are waiting"),
            AcceptError::Down(reason) => Self::unavailable(&*reason),
            AcceptError::Unavailable => Self::unavailable("the service takes no messages now"),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = format!("{refusal}; a new consent is recorded by PUT /api/v1/consents/{{recipient}}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Refusal::CODE, detail)
    }
}

impl From<ManualError> for Problem {
    fn from(error: ManualError) -> Self {
        match error {
            ManualError::NotFound => Self::not_found("message"),
            ManualError::Blocked(refusal) => refusal.into(),
            ManualError::WrongState => Self::new(StatusCode::CONFLICT, "WRONG_STATE", error.to_string()),
            ManualError::Down(_) | ManualError::Unavailable => Self::unavailable(error.to_string()),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Invalid(errors) => Self::invalid(errors),
            ChangeError::NotFound => Self::not_found("organisation or key"),
            ChangeError::KeyTaken(_) => Self::new(StatusCode::CONFLICT, "KEY_TAKEN", error.to_string()),
            ChangeError::SenderTaken(_) => Self::new(StatusCode::CONFLICT, "SENDER_TAKEN", error.to_string()),
            ChangeError::Down(_) | ChangeError::Unavailable => Self::unavailable(error.to_string()),
        }
    }
}

impl From<ExchangeError> for Problem {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Configured => Self::new(StatusCode::CONFLICT, "ADMIN_KEY_CONFIGURED", error.to_string()),
            ExchangeError::File(_) => {
                tracing::error!(%error, "the admin key was not exchanged");
                Self::unavailable("the new key could not be written to DATA/admin.key; the old one stays in force")
            }
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a read failed");
        Self::internal()
    }
}
