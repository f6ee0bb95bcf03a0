//! Calls Meta's Cloud API and says what each call came to.

mod inspect;
mod way;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use domain::circuit::Fault;
use domain::org::Secret;
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::{Failure, OurCode, ProviderId};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, Url, redirect, retry};
use serde_json::Value;

use crate::mend::mend;
use crate::patience::within;
use crate::usage;
use crate::{Answer, Provider, SendRequest, envelope};

pub use inspect::{Number, Trouble};
pub use way::{Way, certificates};

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A call that crosses with the server's close of an idle connection ends as Unknown: nobody can tell from here whether it
/// was read. So idle connections are given up before any server does: the shortest limits in wide use are 5 s.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Meta's answers have less than a kilobyte; more than this is not read.
const BODY_MAX: usize = 64 * 1024;

/// How much of an answer is kept.
const KEPT_MAX: usize = 2048;

/// All files that this machine, and that this process, may have open: the same numbers on all systems that we run on.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Where and how to call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://graph.facebook.com`, or what stands in for it.
    pub base_url: String,
    /// Meta's version of the API, such as `v25.0`.
    pub api_version: String,
    /// The longest that one call may take, answer included.
    pub request_timeout: Duration,
    /// Plain HTTP may leave this machine, tokens and all.
    pub allow_plaintext: bool,
    /// The proxy that calls go through; `None`: the one that the environment names, if it does.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust beside the machine's.
    pub ca_file: Option<PathBuf>,
}

/// Names that are nobody's on any network (RFC 6761): nothing can leak to them, and tests need some.
const NOBODYS: [&str; 2] = [".invalid", ".test"];

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
        if let Some(part) =
            base.path_segments().into_iter().flatten().find(|part| is_version(part) || *part == "messages")
        {
            return Err(BuildError::Version(part.to_owned()));
        }
        let is_nobodys = || base.host_str().is_some_and(|host| NOBODYS.iter().any(|end| host.ends_with(end)));
        if base.scheme() == "http" && !self.allow_plaintext && !way::is_loopback(&base) && !is_nobodys() {
            return Err(BuildError::Plaintext);
        }
        if !self.api_version.starts_with('v') || !is_version(&self.api_version) {
            return Err(BuildError::ApiVersion);
        }
        if self.request_timeout.is_zero() {
            return Err(BuildError::RequestTimeout);
        }
        Ok(base)
    }
}

/// Whether a part of a path is a version of Meta's API, such as `v25.0`.
fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix(['v', 'V']).unwrap_or(part);
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Settings that nothing can be called with.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL.
    #[error(
        "base_url must be an http or https address without user, query or fragment, such as https://graph.facebook.com"
    )]
    BaseUrl,
    /// The base URL holds a version, or more of a call's path, which would then come twice.
    #[error(
        "its path holds the version {0} or the like, which belongs into api_version or comes by itself: write it without, such as \
         https://graph.facebook.com"
    )]
    Version(String),
    /// The base URL is plain HTTP, beyond this machine.
    #[error(
        "it is plain HTTP, and access tokens would cross the network in clear: write https://, or set \
         whatsapp.allow_plaintext = true for a simulator on a network of your own"
    )]
    Plaintext,
    /// The version.
    #[error("api_version must be like v25.0")]
    ApiVersion,
    /// The proxy, by the name of what names it.
    #[error("{0} must be the http or https address of a proxy, such as http://proxy.example.com:3128")]
    Proxy(&'static str),
    /// The file of certificates.
    #[error("{0}")]
    CaFile(String),
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
    /// The address up to the version.
    base: String,
    /// The address up to the phone number's id.
    prefix: String,
    request_timeout: Duration,
}

impl CloudApi {
    /// A client; makes no call yet.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let base = settings.base()?;
        let tls = base.scheme() == "https";
        let Settings { api_version, request_timeout, .. } = &settings;
        let request_timeout = *request_timeout;
        // Refused only if the process has a provider already, which will do.
        let _refused = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("twotick/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            // Less than the whole, so that a connection that is never made ends as such: then nothing was sent.
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(request_timeout / 2))
            .pool_idle_timeout(IDLE_MAX)
            // A second POST is a second message, so nothing below us may repeat one or take it elsewhere.
            .redirect(redirect::Policy::none())
            .retry(retry::never());
        builder = settings.prepare(builder)?;
        if !tls && settings.ca_file.is_none() {
            // Without TLS no root certificates are needed; a machine without any can still run the simulator.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| BuildError::Client(root_cause(&error)))?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, request_timeout, prefix: format!("{base}/{api_version}/"), base })
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
        let answer = async move {
            // First the sockets are looked at: a connection that the server has closed by now is not used.
            tokio::task::yield_now().await;
            match call.send().await {
                Ok(response) => read(response).await,
                Err(error) => without_response(&error),
            }
        };
        let limit = self.request_timeout;
        // Not the client's own time limit, which also counts the time in which this process stood still.
        Box::pin(async move { within(limit, answer).await.unwrap_or_else(timed_out) })
    }

    fn address(&self) -> &str {
        &self.base
    }
}

/// The call came to nothing in time: whether it was taken is not known.
fn timed_out() -> Answer {
    let failure =
        Failure::new(OurCode::Timeout, "The Cloud API did not answer in time; it may have taken the message.");
    Answer::none(Outcome::Unknown(failure), Some(Fault::Silent))
}

/// What a call without a response came to.
fn without_response(error: &reqwest::Error) -> Answer {
    // A time-out while connecting is both kinds; that it was connecting counts.
    if error.is_connect() && is_our_own(error) {
        let message = format!(
            "No connection could be opened here, so nothing was sent: {}. Raise the limit on open files (LimitNOFILE, ulimit \
             -Hn), or lower http.max_connections.",
            root_cause(error)
        );
        Answer::none(Outcome::NotSent(Failure::new(OurCode::OutOfDescriptors, message)), Some(Fault::Unreached))
    } else if error.is_connect() {
        let message = format!("The Cloud API could not be reached, so nothing was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::ConnectFailed, message)), Some(Fault::Unreached))
    } else if error.is_builder() {
        let message = format!("The request could not be made, so nothing was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::InvalidRequest, message)), None)
    } else if was_not_begun(error) {
        let message = format!("The connection was closed before anything was sent: {}.", root_cause(error));
        Answer::none(Outcome::NotSent(Failure::new(OurCode::ConnectionClosed, message)), Some(Fault::Unreached))
    } else {
        Answer::none(lost(error), Some(Fault::Silent))
    }
}

/// Whether the connection turned out to be closed before the request was written to it, or took no more of it.
fn was_not_begun(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let is_canceled = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        // Only a write breaks a pipe: what the peer has is not a whole request.
        is_canceled || cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}

/// Whether this machine had nothing left to connect with: that tells nothing of the way, nor of Meta.
fn is_our_own(error: &reqwest::Error) -> bool {
    let mut codes = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    codes.any(|code| [ENFILE, EMFILE].contains(&code))
}

/// What stands behind an error, the innermost last.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |cause| (**cause).source())
}

/// The request left, and the answer did not come, or not whole.
fn lost(error: &reqwest::Error) -> Outcome {
    let cause = root_cause(error);
    let message = format!("The connection was lost before the answer; the message may have been taken: {cause}.");
    Outcome::Unknown(Failure::new(OurCode::ConnectionLost, message))
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
    let mut body = Vec::new();
    let (outcome, fault) = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break judge(status, &body),
            Err(error) => break (lost(&error), Some(Fault::Silent)),
        }
        if body.len() > BODY_MAX {
            body.truncate(BODY_MAX);
            break judge(status, &body);
        }
    };
    let code = if let Outcome::Refused(error) = &outcome { error.code } else { status.as_u16().into() };
    let retry_after = usage::wait(response.headers(), code, SystemTime::now());
    let response = (!body.is_empty()).then(|| {
        let mut text = String::from_utf8_lossy(&body).into_owned();
        text.truncate(text.floor_char_boundary(KEPT_MAX));
        text.into_bytes()
    });
    Answer { outcome, response, retry_after, fault }
}

/// What a whole answer says, and what is wrong with the way if it is not Meta's.
fn judge(status: StatusCode, body: &[u8]) -> (Outcome, Option<Fault>) {
    let body: Option<Value> = serde_json::from_str(&mend(body)).ok();
    let body = body.as_ref();
    if status.is_success() {
        let id = body.and_then(|body| body.get("messages")?.get(0)?.get("id")?.as_str());
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return (Outcome::Accepted(ProviderId::new(id)), None);
        }
    }
    let meta = body.filter(|body| body.get("error").is_some_and(|error| !is_a_gateways(error, status)));
    let error = meta.and_then(|answer| envelope::read_answer(answer, status.as_u16()));
    match error {
        Some(error) => (Outcome::Refused(error), None),
        None if status.is_success() => {
            let message = if body.is_some() {
                "The Cloud API answered without a message id; it may have taken the message."
            } else {
                "Something answered that is not the Cloud API, such as a proxy's or a portal's page; the message may have been taken."
            };
            (Outcome::Unknown(Failure::new(OurCode::UnreadableAnswer, message)), Some(Fault::Foreign))
        }
        None if status.is_server_error() => {
            let message =
                format!("HTTP {} without Meta's error object; the message may have been taken.", status.as_u16());
            (Outcome::Unknown(Failure::new(OurCode::NoEnvelope, message)), Some(Fault::Foreign))
        }
        None => {
            let error = turned_away(status);
            let fault = (error.verdict.class == Class::Transient).then_some(Fault::Foreign);
            (Outcome::Refused(error), fault)
        }
    }
}

/// Gateways write error objects, too, with the HTTP status as their code. Meta's have a trace id or a type.
fn is_a_gateways(error: &Value, status: StatusCode) -> bool {
    let is_status = error.get("code").and_then(Value::as_u64) == Some(status.as_u16().into());
    is_status && error.get("fbtrace_id").is_none() && error.get("type").is_none()
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
