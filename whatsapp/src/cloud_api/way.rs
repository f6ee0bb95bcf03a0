//! The way to the Cloud API: through which proxy, and whose certificates are trusted.

use std::fmt;
use std::path::Path;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, ClientBuilder, Proxy, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{BuildError, Settings};

/// Through what calls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing stands between.
    Direct,
    /// A proxy.
    Proxy {
        /// Its address, without user and password.
        address: String,
        /// Where it is named: `whatsapp.proxy`, or a variable of the environment.
        named_by: &'static str,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("directly"),
            Self::Proxy { address, named_by } => write!(f, "through the proxy {address} ({named_by})"),
        }
    }
}

/// How the setting is called.
const SETTING: &str = "whatsapp.proxy";

impl Settings {
    /// Through what calls go: the proxy of the settings, else the one that the environment names for this address.
    pub fn way(&self) -> Result<Way, BuildError> {
        let base = self.base()?;
        if let Some(proxy) = &self.proxy {
            return through(proxy.expose(), SETTING);
        }
        // What runs on this machine is not reached by way of another one.
        if is_loopback(&base) {
            return Ok(Way::Direct);
        }
        let base = base.as_str().parse().map_err(|_| BuildError::BaseUrl)?;
        match Matcher::from_env().intercept(&base) {
            Some(found) => through(&found.uri().to_string(), variable(base.scheme_str())),
            None => Ok(Way::Direct),
        }
    }

    /// The same for the client.
    pub(super) fn prepare(&self, builder: ClientBuilder) -> Result<ClientBuilder, BuildError> {
        let wrong = |_| BuildError::Proxy(SETTING);
        let builder = match (self.way()?, &self.proxy) {
            (Way::Direct, _) => builder.no_proxy(),
            (Way::Proxy { .. }, Some(proxy)) => builder.proxy(Proxy::all(proxy.expose()).map_err(wrong)?),
            // It reads the variables itself, user and password with them.
            (Way::Proxy { .. }, None) => builder,
        };
        Ok(match &self.ca_file {
            Some(path) => builder.tls_certs_merge(certificates(path).map_err(BuildError::CaFile)?),
            None => builder,
        })
    }
}

fn through(proxy: &str, named_by: &'static str) -> Result<Way, BuildError> {
    let wrong = BuildError::Proxy(named_by);
    let Ok(mut url) = Url::parse(proxy) else { return Err(wrong) };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong);
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(wrong);
    }
    Ok(Way::Proxy { address: url.as_str().trim_end_matches('/').to_owned(), named_by })
}

/// The variable that names the proxy for a scheme, in the order in which they are asked.
fn variable(scheme: Option<&str>) -> &'static str {
    let names = match scheme {
        Some("https") => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        Some(_) | None => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    names.into_iter().find(|name| std::env::var_os(name).is_some()).unwrap_or("ALL_PROXY")
}

/// Whether an address is this machine's own.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The certificates in a PEM file; why they cannot be trusted.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |reason: &dyn fmt::Display| format!("{}: {reason}", path.display());
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(&error))?;
    let (good, bad) = RootCertStore::empty().add_parsable_certificates(found.iter().cloned());
    if good == 0 || bad > 0 {
        return Err(wrong(&"holds no certificate, or something that is none; it must be a PEM file of certificates"));
    }
    found.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>().map_err(|error| wrong(&error))
}
