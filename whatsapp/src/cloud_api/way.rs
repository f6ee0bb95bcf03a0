//! The way to the Cloud API: through which proxy, trusting which certificates.

use std::fmt;
use std::path::Path;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Certificate, ClientBuilder, Proxy, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::settings::{BuildError, Settings, is_loopback};

/// How calls reach the Cloud API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without a proxy.
    Direct,
    /// Through a proxy.
    Proxy {
        /// Its address, without user and password.
        address: String,
        /// What names it: `whatsapp.proxy`, or an environment variable.
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

/// The setting's name.
const SETTING: &str = "whatsapp.proxy";

impl Settings {
    /// How calls reach the Cloud API: through the proxy in the settings, else through the one that the environment
    /// names for this address.
    pub fn way(&self) -> Result<Way, BuildError> {
        let base = self.base()?;
        if let Some(proxy) = &self.proxy {
            return through(proxy.expose(), SETTING);
        }
        // This machine itself is never reached through a proxy.
        if is_loopback(&base) {
            return Ok(Way::Direct);
        }
        let base: Uri = base.as_str().parse().map_err(|_| BuildError::BaseUrl)?;
        of_environment(&base, |name| std::env::var(name).ok())
    }

    /// Sets the client up for that way.
    pub(super) fn prepare(&self, builder: ClientBuilder) -> Result<ClientBuilder, BuildError> {
        let wrong = |_| BuildError::Proxy(SETTING);
        let builder = match (self.way()?, &self.proxy) {
            (Way::Direct, _) => builder.no_proxy(),
            (Way::Proxy { .. }, Some(proxy)) => builder.proxy(Proxy::all(proxy.expose()).map_err(wrong)?),
            // The client reads the variables itself, including user and password.
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

/// Any valid address, to find out whether a URL is exempt from proxies.
const ANY_PROXY: &str = "http://proxy.invalid";

/// The way that the environment asks for. The client reads the same variables, but ignores a proxy whose address is
/// invalid, and calls would leave by a way that nobody wanted: here that is an error.
fn of_environment(base: &Uri, get: impl Fn(&str) -> Option<String>) -> Result<Way, BuildError> {
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, get(name)?)));
    let own = match base.scheme_str() {
        Some("https") => ["HTTPS_PROXY", "https_proxy"],
        Some(_) | None => ["HTTP_PROXY", "http_proxy"],
    };
    let is_set = |(_, value): &(&'static str, String)| !value.trim().is_empty();
    let named = first(own).filter(is_set).or_else(|| first(["ALL_PROXY", "all_proxy"]).filter(is_set));
    // Under CGI, the caller can set HTTP_PROXY with a header.
    let Some((name, proxy)) = named.filter(|_| get("REQUEST_METHOD").is_none()) else { return Ok(Way::Direct) };
    let excepted = first(["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
    let find = |proxy: &str| Matcher::builder().all(proxy).no(excepted.as_str()).build().intercept(base);
    match (find(ANY_PROXY), find(&proxy)) {
        (None, _) => Ok(Way::Direct),
        (Some(_), Some(found)) => through(&found.uri().to_string(), name),
        (Some(_), None) => Err(BuildError::Proxy(name)),
    }
}

/// The certificates in a PEM file, or why they cannot be trusted.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn way(base: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let get = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let way = of_environment(&base.parse().unwrap(), get);
        way.map(|way| way.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_names_the_proxy_and_an_empty_variable_names_none() {
        let through = |proxy: &str, name: &str| format!("through the proxy http://{proxy} ({name})");
        for (base, variables, expected) in [
            ("http://x.test", &[("HTTP_PROXY", "http://a:1")][..], through("a:1", "HTTP_PROXY")),
            ("http://x.test", &[], "directly".to_owned()),
            ("http://x.test", &[("http_proxy", "http://user:pass@a:1")], through("a:1", "http_proxy")),
            ("http://x.test", &[("HTTP_PROXY", ""), ("ALL_PROXY", "http://b:2")], through("b:2", "ALL_PROXY")),
            ("http://x.test", &[("HTTP_PROXY", " "), ("all_proxy", "http://b:2")], through("b:2", "all_proxy")),
            ("http://x.test", &[("HTTP_PROXY", ""), ("ALL_PROXY", "")], "directly".to_owned()),
            // If the variable is set, the client does not look for its other spelling.
            ("http://x.test", &[("HTTP_PROXY", ""), ("http_proxy", "http://a:1")], "directly".to_owned()),
            ("https://x.test", &[("HTTP_PROXY", "http://a:1")], "directly".to_owned()),
            ("https://x.test", &[("HTTPS_PROXY", "http://a:1"), ("ALL_PROXY", "x")], through("a:1", "HTTPS_PROXY")),
            ("http://x.test", &[("HTTP_PROXY", "http://a:1"), ("NO_PROXY", "x.test")], "directly".to_owned()),
            ("http://x.test", &[("HTTP_PROXY", "::::"), ("NO_PROXY", "x.test")], "directly".to_owned()),
            ("http://x.test", &[("HTTP_PROXY", "http://a:1"), ("REQUEST_METHOD", "GET")], "directly".to_owned()),
        ] {
            assert_eq!(way(base, variables), Ok(expected), "{base} {variables:?}");
        }
    }

    #[test]
    fn a_variable_that_names_no_address_is_told() {
        for proxy in ["::::", "http://", "socks5://a:1", "ftp://a:1", "a b"] {
            for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
                let error = way("http://x.test", &[(variable, proxy)]).unwrap_err();
                assert!(error.starts_with(variable) && error.contains("address of a proxy"), "{proxy}: {error}");
            }
        }
        let beside = [("HTTP_PROXY", "::::"), ("ALL_PROXY", "http://b:2")];
        assert!(way("http://x.test", &beside).unwrap_err().starts_with("HTTP_PROXY"));
    }
}
