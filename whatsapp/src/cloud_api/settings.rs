//! Where and how to call, and the errors in that.

use std::path::PathBuf;
use std::time::Duration;

use domain::org::Secret;
use reqwest::Url;

/// Where and how to call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://graph.facebook.com`, or the address of a stand-in.
    pub base_url: String,
    /// Meta's version of the API, such as `v25.0`.
    pub api_version: String,
    /// The longest that one call may take, answer included.
    pub request_timeout: Duration,
    /// Whether tokens may leave this machine over plain HTTP.
    pub allow_plaintext: bool,
    /// The proxy for all calls; `None`: the one that the environment names, if any.
    pub proxy: Option<Secret>,
    /// A PEM file of certificates to trust in addition to the machine's.
    pub ca_file: Option<PathBuf>,
}

/// Names that nobody owns on any network (RFC 6761): nothing can leak to them, and tests need some.
const NOBODYS: [&str; 2] = [".invalid", ".test"];

impl Settings {
    /// Whether calls can be made with these settings.
    pub fn check(&self) -> Result<(), BuildError> {
        self.base().map(|_| ())
    }

    /// The address, after all settings are checked.
    pub(super) fn base(&self) -> Result<Url, BuildError> {
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
        if base.scheme() == "http" && !self.allow_plaintext && !is_loopback(&base) && !is_nobodys() {
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

/// Whether a path segment is a version of Meta's API, such as `v25.0`.
fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix(['v', 'V']).unwrap_or(part);
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether an address is this machine's own.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Why no call can be made with the settings.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL.
    #[error(
        "base_url must be an http or https address without user, query or fragment, such as https://graph.facebook.com"
    )]
    BaseUrl,
    /// The base URL contains a version, or more of a call's path, which would then occur twice.
    #[error(
        "its path holds the version {0} or the like, which belongs into api_version or comes by itself: write it without, such as \
         https://graph.facebook.com"
    )]
    Version(String),
    /// The base URL is plain HTTP and leads away from this machine.
    #[error(
        "it is plain HTTP, and access tokens would cross the network in clear: write https://, or set \
         whatsapp.allow_plaintext = true for a simulator on a network of your own"
    )]
    Plaintext,
    /// The version.
    #[error("api_version must be like v25.0")]
    ApiVersion,
    /// The proxy, by the setting or variable that names it.
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
