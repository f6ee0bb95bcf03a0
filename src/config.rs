//! The configuration: the compiled-in `config.toml`, then a file, then the environment; checked completely before use.

mod checks;
mod declared;
mod reading;
mod secret;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::{Limits as Bounds, Settings};
use bytesize::ByteSize;
use domain::OnUnknown;
use domain::lifecycle::Policy;
use domain::pair::PairLimit;
use domain::retry::RetryPolicy;
use figment::Figment;
use figment::providers::{Format, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use whatsapp::cloud_api;

use reading::Sources;

pub use declared::DeclaredOrg;
pub(crate) use declared::IS_ADMIN_KEY;
pub use secret::SecretRef;
pub(crate) use secret::parse_admin_key;

const DEFAULTS: &str = include_str!("../config.toml");

/// What holds from the start to the end of a process: of these sections these keys, or all. (A secret looks the same as any
/// other here: `admin.key` is read at the start only, too.)
const FIXED: &[(&str, &[&str])] = &[
    ("http", &[]),
    ("admin", &[]),
    ("store", &[]),
    ("whatsapp", &["base_url", "api_version", "request_timeout", "allow_plaintext", "proxy", "ca_file"]),
    ("log", &["format"]),
];

/// The whole configuration, as written in `config.toml`, which documents each key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Config {
    pub http: Http,
    pub admin: Admin,
    pub store: Store,
    pub outbound: Outbound,
    pub whatsapp: WhatsApp,
    pub log: Log,
    #[serde(default)]
    pub orgs: Vec<DeclaredOrg>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Http {
    pub listen: SocketAddr,
    pub max_body: ByteSize,
    pub tls_cert: PathBuf,
    pub tls_key: PathBuf,
    pub allow_plaintext: bool,
    pub trusted_proxies: Vec<String>,
    pub max_connections: usize,
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Admin {
    pub key: SecretRef,
    pub master_key: SecretRef,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Store {
    pub path: PathBuf,
    pub allow_shared_folder: bool,
    pub cache: ByteSize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Outbound {
    pub enabled: bool,
    pub retry_delays: Vec<Delay>,
    pub retry_jitter: f64,
    #[serde(with = "humantime_serde")]
    pub stale_after: Duration,
    pub on_unknown: UnknownPolicy,
    pub max_resident: usize,
    pub max_resident_in_all: usize,
    #[serde(with = "humantime_serde")]
    pub passivate_after: Duration,
    pub max_queued: u64,
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    #[serde(with = "humantime_serde")]
    pub stuck_after: Duration,
    #[serde(with = "humantime_serde")]
    pub shutdown_grace: Duration,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct WhatsApp {
    pub base_url: String,
    pub api_version: String,
    pub allow_plaintext: bool,
    pub proxy: SecretRef,
    pub ca_file: PathBuf,
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    pub messages_per_second: u32,
    pub max_concurrent: usize,
    #[serde(with = "humantime_serde")]
    pub pair_interval: Duration,
    pub pair_burst: u32,
    pub check_window: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

/// A duration in a list.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Delay(#[serde(with = "humantime_serde")] Duration);

/// What to do with a send whose outcome stays unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPolicy {
    /// Send again.
    Resend,
    /// Leave it to a person.
    Hold,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A configuration that cannot be used: which key, where, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// The compiled-in defaults alone.
    pub fn defaults() -> Result<Self, ConfigError> {
        Figment::from(Toml::string(DEFAULTS)).extract().map_err(|error| ConfigError(error.to_string()))
    }

    /// Defaults, then `file` (or `config.toml` here, if there is one), then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let (config, secrets) = Self::load_beside(file)?;
        secrets.map(|()| config)
    }

    /// The same for who only asks a running service: its secrets may be where this process cannot look. What is missing of
    /// them comes beside.
    pub fn load_beside(file: Option<&Path>) -> Result<(Self, Result<(), ConfigError>), ConfigError> {
        let sources = Sources::open(file)?;
        let config = sources.extract()?;
        config.check().map_err(|(key, reason)| sources.wrong(key, &format!(" {reason}")))?;
        let secrets = config.check_secrets().map_err(|(key, reason)| sources.wrong(&key, &format!(" {reason}")));
        Ok((config, secrets))
    }

    /// Where and how WhatsApp is called.
    pub fn cloud_api(&self) -> cloud_api::Settings {
        cloud_api::Settings {
            base_url: self.whatsapp.base_url.clone(),
            api_version: self.whatsapp.api_version.clone(),
            request_timeout: self.whatsapp.request_timeout,
            allow_plaintext: self.whatsapp.allow_plaintext,
            // One that cannot be had was refused with the configuration.
            proxy: self.whatsapp.proxy.resolve().ok().and_then(|proxy| proxy.parse().ok()),
            ca_file: Some(self.whatsapp.ca_file.clone()).filter(|path| !path.as_os_str().is_empty()),
        }
    }

    /// The runtime's settings.
    pub fn settings(&self) -> Settings {
        let Self { outbound, whatsapp, .. } = self;
        Settings {
            enabled: outbound.enabled,
            policy: Policy {
                retry: RetryPolicy {
                    delays: outbound.retry_delays.iter().map(|delay| delay.0).collect(),
                    jitter: outbound.retry_jitter,
                },
                stale_after: outbound.stale_after,
                on_unknown: match outbound.on_unknown {
                    UnknownPolicy::Resend => OnUnknown::Resend,
                    UnknownPolicy::Hold => OnUnknown::Hold,
                },
            },
            passivate_after: outbound.passivate_after,
            messages_per_second: whatsapp.messages_per_second,
            max_concurrent: whatsapp.max_concurrent,
            pair_limit: PairLimit { interval: whatsapp.pair_interval, burst: whatsapp.pair_burst },
            check_window: whatsapp.check_window,
            limits: Bounds {
                max_resident: outbound.max_resident,
                max_resident_in_all: outbound.max_resident_in_all,
                max_wait: outbound.max_wait,
                stuck_after: outbound.stuck_after,
                max_queued: outbound.max_queued,
                ..Bounds::default()
            },
        }
    }

    /// The keys in which it differs from `running` although they cannot change while the service runs.
    pub fn differs_in_fixed(&self, running: &Self) -> Vec<String> {
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let (new, old) = (table(self), table(running));
        let mut found = Vec::new();
        for (section, keys) in FIXED {
            let values = |table: &toml::Table| table.get(*section).and_then(toml::Value::as_table).cloned();
            let (new, old) = (values(&new).unwrap_or_default(), values(&old).unwrap_or_default());
            let is_fixed = |key: &&String| keys.is_empty() || keys.contains(&key.as_str());
            let changed = new.keys().filter(is_fixed).filter(|key| new.get(*key) != old.get(*key));
            found.extend(changed.map(|key| format!("{section}.{key}")));
        }
        found
    }

    /// The configuration in force as TOML, with secrets masked.
    pub fn to_masked_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError(error.to_string()))
    }
}

impl Http {
    /// Whether it speaks TLS.
    pub fn has_tls(&self) -> bool {
        !self.tls_cert.as_os_str().is_empty()
    }

    /// Who is believed about a client's address.
    pub fn proxies(&self) -> Result<Vec<IpNet>, String> {
        let read = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let wrong = |text| format!("has {text:?}, which must be an address or a network such as 10.0.0.0/8");
        self.trusted_proxies.iter().map(|text| read(text).map_err(|_| wrong(text))).collect()
    }

    /// Refuses to speak plain HTTP beyond this machine, unless that was allowed: keys would cross the network in clear.
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        if self.listen.ip().to_canonical().is_loopback() || self.has_tls() || self.allow_plaintext {
            return Ok(());
        }
        Err(ConfigError(format!(
            "http.listen is {}, where others can reach it, and there is no TLS: set http.tls_cert and http.tls_key, or \
             http.allow_plaintext = true if a proxy in front speaks TLS",
            self.listen
        )))
    }
}
