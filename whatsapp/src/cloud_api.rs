//! Calls Meta's Cloud API and says what each call came to.

mod inspect;

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::{Failure, ProviderId};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, Url, redirect, retry};
use serde_json::Value;

use crate::classify::Origin;
use crate::mend::mend;
use crate::usage;
use crate::{Answer, Provider, SendRequest, envelope};

pub use inspect::{Number, Trouble};

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A call on a connection that the server has just closed for idleness ends as Unknown, unless the HTTP library sees in
/// time that nothing was written. Giving up idle connections before servers do (commonly after 60 s) keeps that rare.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Meta's answers have less than a kilobyte; more than this is not read.
const BODY_MAX: usize = 64 * 1024;

/// How much of an answer is kept.
const KEPT_MAX: usize = 2048;

/// Where and how to call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://graph.facebook.com`, or what stands in for it.
    pub base_url: String,
    /// Meta's version of the API, such as `v25.0`.
    pub api_version: String,
    /// The longest that one call may take, answer included.
    pub request_timeout: Duration,
}

impl Settings {
    /// Whether anything can be called with them.
    pub fn check(&self) -> Result<(), BuildError> {
        self.base().map(|_| ())
    }

    /// The address, once all is checked.
    fn base(&self) -> Result<Url, BuildError> {
        let base = Url::parse(&self.base_url).map_err(|_| BuildError::BaseUrl)?;
        let bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !bare || !matches!(base.scheme(), "http" | "https") {
            return Err(BuildError::BaseUrl);
        }
        let version_chars = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'_' || b == b'-';
        if !self.api_version.starts_with('v') || !self.api_version.bytes().all(version_chars) {
            return Err(BuildError::ApiVersion);
        }
        if self.request_timeout.is_zero() {
            return Err(BuildError::RequestTimeout);
        }
        Ok(base)
    }
}

/// Settings that nothing can be called with.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL.
    #[error(
        "base_url must be an http or https address without user, query or fragment, such as https://graph.facebook.com"
    )]
    BaseUrl,
    /// The version.
    #[error("api_version must be like v25.0")]
    ApiVersion,
    /// The time limit.
    #[error("request_timeout must be longer than zero")]
    RequestTimeout,
    /// TLS.
    #[error(
        "the HTTP client cannot be set up: {0}. HTTPS needs the machine's CA certificates: install them (Debian: ca-certificates)"
    )]
    Client(String),
}

/// The Cloud API. Clones share their connections.
#[derive(Clone, Debug)]
pub struct CloudApi {
    client: Client,
    /// The address up to the phone number's id.
    prefix: String,
}

impl CloudApi {
    /// A client; makes no call yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let base = settings.base()?;
        let tls = base.scheme() == "https";
        let Settings { api_version, request_timeout, .. } = settings;
        // Refused only if the process has a provider already, which will do.
        let _refused = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("twotick/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .timeout(request_timeout)
            // Less than the whole, so that a connection that is never made ends as such: then nothing was sent.
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(request_timeout / 2))
            .pool_idle_timeout(IDLE_MAX)
            // A second POST is a second message, so nothing below us may repeat one or take it elsewhere.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy();
        if !tls {
            // Without TLS no root certificates are needed; a machine without any can still run the simulator.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| BuildError::Client(root_cause(&error)))?;
        Ok(Self { client, prefix: format!("{}/{api_version}/", base.as_str().trim_end_matches('/')) })
    }
}

impl Provider for CloudApi {
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let call = self
            .client
            .post(format!("{}{}/messages", self.prefix, request.from))
            .bearer_auth(request.token.expose())
            .header(CONTENT_TYPE, "application/json")
            .body(request.body);
        Box::pin(async move {
            match call.send().await {
                Ok(response) => read(response).await,
                Err(error) => Answer { outcome: without_answer(&error), response: None, retry_after: None },
            }
        })
    }
}

/// What a call without an answer came to.
fn without_answer(error: &reqwest::Error) -> Outcome {
    // A time-out while connecting is both kinds; that it was connecting counts.
    if error.is_connect() {
        let message = format!("The Cloud API could not be reached, so nothing was sent: {}.", root_cause(error));
        Outcome::NotSent(Failure::new("CONNECT_FAILED", message))
    } else if error.is_builder() {
        let message = format!("The request could not be made, so nothing was sent: {}.", root_cause(error));
        Outcome::NotSent(Failure::new("INVALID_REQUEST", message))
    } else {
        lost(error)
    }
}

/// The request left, and the answer did not come, or not whole.
fn lost(error: &reqwest::Error) -> Outcome {
    Outcome::Unknown(if error.is_timeout() {
        Failure::new("TIMEOUT", "The Cloud API did not answer in time; it may have taken the message.")
    } else {
        let cause = root_cause(error);
        let message = format!("The connection was lost before the answer; the message may have been taken: {cause}.");
        Failure::new("CONNECTION_LOST", message)
    })
}

/// The innermost error, which says the most and holds no address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = match error.source() {
        Some(source) => source,
        None => return "the HTTP client refused it".to_owned(),
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let retry_after = usage::wait(response.headers());
    let mut body = Vec::new();
    let outcome = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break judge(status, &body),
            Err(error) => break lost(&error),
        }
        if body.len() > BODY_MAX {
            body.truncate(BODY_MAX);
            break judge(status, &body);
        }
    };
    let response = (!body.is_empty()).then(|| {
        let mut text = String::from_utf8_lossy(&body).into_owned();
        text.truncate(text.floor_char_boundary(KEPT_MAX));
        text.into_bytes()
    });
    Answer { outcome, response, retry_after }
}

/// What a whole answer says.
fn judge(status: StatusCode, body: &[u8]) -> Outcome {
    let body: Option<Value> = serde_json::from_str(&mend(body)).ok();
    let body = body.as_ref();
    if status.is_success() {
        let id = body.and_then(|body| body.get("messages")?.get(0)?.get("id")?.as_str());
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return Outcome::Accepted(ProviderId::new(id));
        }
    }
    let error = body.and_then(|body| envelope::read(body.get("error")?, Some(status.as_u16()), Origin::Answer));
    match error {
        Some(error) => Outcome::Refused(error),
        None if status.is_success() => Outcome::Unknown(Failure::new(
            "UNREADABLE_ANSWER",
            "The Cloud API answered without a message id; it may have taken the message.",
        )),
        None if status.is_server_error() => {
            let message =
                format!("HTTP {} without Meta's error object; the message may have been taken.", status.as_u16());
            Outcome::Unknown(Failure::new("NO_ENVELOPE", message))
        }
        None => Outcome::Refused(turned_away(status)),
    }
}

/// A redirect or client error without Meta's error object: something before Meta turned the request away, such as a
/// proxy, or a wrong `base_url`. That says nothing against the message, so it is retried by its schedule; only a
/// message too large to pass never will.
fn turned_away(status: StatusCode) -> ProviderError {
    let (class, scope) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (Class::Permanent, Scope::Message),
        StatusCode::TOO_MANY_REQUESTS => (Class::Throttled, Scope::Number),
        _ => (Class::Transient, Scope::Message),
    };
    let code = status.as_u16();
    ProviderError {
        code: code.into(),
        message: format!(
            "HTTP {code} without Meta's error object: the request was turned away before it reached Meta."
        ),
        verdict: Verdict { class, scope },
    }
}

#[cfg(test)]
mod tests;
