//! The configuration: the compiled-in `config.toml`, then a file, then the environment; checked completely before use.

mod declared;
mod reading;
mod secret;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::{Directory, Limits as Bounds, Settings};
use bytesize::ByteSize;
use domain::OnUnknown;
use domain::lifecycle::Policy;
use domain::org::Secret;
use domain::pair::PairLimit;
use domain::retry::RetryPolicy;
use figment::Figment;
use figment::providers::{Format, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use store::MasterKey;
use tracing_subscriber::filter::{LevelFilter, Targets};
use whatsapp::cloud_api::{self, BuildError};

use crate::admin_key;
use crate::descriptors::Descriptors;
use crate::http::{Limits, Patience};

use reading::Sources;

pub use declared::DeclaredOrg;
pub(crate) use declared::IS_ADMIN_KEY;
pub use secret::SecretRef;

const DEFAULTS: &str = include_str!("../config.toml");

/// No time that is waited for is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

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

    /// What types cannot say.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let Self { http, store, outbound, whatsapp, log, .. } = self;
        let rules: [(bool, &'static str, &str); 22] = [
            (http.max_body.as_u64() >= 1024, "http.max_body", "must be at least 1KiB"),
            (
                http.has_tls() || http.tls_key.as_os_str().is_empty(),
                "http.tls_key",
                "is given without http.tls_cert; TLS needs both",
            ),
            (
                !http.has_tls() || !http.tls_key.as_os_str().is_empty(),
                "http.tls_cert",
                "is given without http.tls_key; TLS needs both",
            ),
            (!http.header_timeout.is_zero(), "http.header_timeout", "must be longer than zero"),
            (!http.request_timeout.is_zero(), "http.request_timeout", "must be longer than zero"),
            (!http.idle_timeout.is_zero(), "http.idle_timeout", "must be longer than zero"),
            (store.cache.as_u64() >= 1024 * 1024, "store.cache", "must be at least 1MiB"),
            (
                !outbound.retry_delays.is_empty(),
                "outbound.retry_delays",
                "must have at least one delay, such as \"0s\"",
            ),
            (outbound.retry_delays.len() <= 100, "outbound.retry_delays", "must have at most 100 delays"),
            ((0.0..=1.0).contains(&outbound.retry_jitter), "outbound.retry_jitter", "must be from 0.0 to 1.0"),
            (!outbound.stale_after.is_zero(), "outbound.stale_after", "must be longer than zero"),
            (
                outbound.stale_after > whatsapp.request_timeout,
                "outbound.stale_after",
                "must be longer than whatsapp.request_timeout: a call that may still be answered is not given up",
            ),
            (outbound.max_resident > 0, "outbound.max_resident", "must be at least 1"),
            (outbound.max_resident_in_all > 0, "outbound.max_resident_in_all", "must be at least 1"),
            (outbound.max_queued > 0, "outbound.max_queued", "must be at least 1"),
            (!outbound.max_wait.is_zero(), "outbound.max_wait", "must be longer than zero"),
            (!outbound.stuck_after.is_zero(), "outbound.stuck_after", "must be longer than zero"),
            (whatsapp.messages_per_second > 0, "whatsapp.messages_per_second", "must be at least 1"),
            (whatsapp.max_concurrent > 0, "whatsapp.max_concurrent", "must be at least 1"),
            (!whatsapp.request_timeout.is_zero(), "whatsapp.request_timeout", "must be longer than zero"),
            (whatsapp.pair_burst > 0, "whatsapp.pair_burst", "must be at least 1"),
            (
                is_level(&log.level),
                "log.level",
                "must be a level such as \"info\", or targets such as \"info,actors=debug\"",
            ),
        ];
        if let Some((_, key, reason)) = rules.into_iter().find(|(holds, ..)| !holds) {
            return Err((key, reason.to_owned()));
        }
        http.proxies().map_err(|reason| ("http.trusted_proxies", reason))?;
        let durations = [
            (http.header_timeout, "http.header_timeout"),
            (http.idle_timeout, "http.idle_timeout"),
            (http.request_timeout, "http.request_timeout"),
            (outbound.retry_delays.iter().map(|delay| delay.0).max().unwrap_or_default(), "outbound.retry_delays"),
            (outbound.stale_after, "outbound.stale_after"),
            (outbound.passivate_after, "outbound.passivate_after"),
            (outbound.max_wait, "outbound.max_wait"),
            (outbound.stuck_after, "outbound.stuck_after"),
            (outbound.shutdown_grace, "outbound.shutdown_grace"),
            (whatsapp.request_timeout, "whatsapp.request_timeout"),
            (whatsapp.pair_interval, "whatsapp.pair_interval"),
        ];
        if let Some((_, key)) = durations.into_iter().find(|(duration, _)| *duration > LONGEST) {
            return Err((key, "must be at most one year".into()));
        }
        if self.admin.master_key.is_literal() {
            let reason = "must say where the key is, env:NAME or file:PATH: written out it would be in every copy of the \
                          configuration. Move it to a file of mode 0600";
            return Err(("admin.master_key", reason.into()));
        }
        self.cloud_api().check().map_err(|error| {
            let key = match error {
                BuildError::BaseUrl | BuildError::Version(_) | BuildError::Plaintext | BuildError::Client(_) => {
                    "whatsapp.base_url"
                }
                BuildError::ApiVersion => "whatsapp.api_version",
                BuildError::RequestTimeout => "whatsapp.request_timeout",
                BuildError::Proxy(_) => "whatsapp.proxy",
                BuildError::CaFile(_) => "whatsapp.ca_file",
            };
            (key, format!("is wrong: {error}"))
        })
    }

    /// That each secret is to be had and can be used; what is wrong with which key.
    fn check_secrets(&self) -> Result<(), (String, String)> {
        let Self { admin, whatsapp, orgs, .. } = self;
        let wrong = |key: &str| {
            let key = key.to_owned();
            move |reason: String| (key, reason)
        };
        let mut admin_key = None;
        if !admin.key.is_empty() {
            let key = admin.key.resolve().and_then(|text| admin_key::parse(&text)).map_err(wrong("admin.key"))?;
            admin_key = Some(Directory::hash(key.expose()));
        }
        if !admin.master_key.is_empty() {
            let key = admin.master_key.resolve();
            key.and_then(|text| text.parse::<MasterKey>().map_err(str::to_owned)).map_err(wrong("admin.master_key"))?;
        }
        if !whatsapp.proxy.is_empty() {
            let proxy = whatsapp.proxy.resolve();
            proxy.and_then(|text| text.parse::<Secret>().map_err(str::to_owned)).map_err(wrong("whatsapp.proxy"))?;
        }
        let graph = self.cloud_api();
        graph.way().map_err(|error| ("whatsapp.proxy".to_owned(), format!("is wrong: {error}")))?;
        if let Some(path) = &graph.ca_file {
            cloud_api::certificates(path).map_err(wrong("whatsapp.ca_file"))?;
        }
        declared::check(orgs, admin_key.as_ref()).map_err(|(n, reason)| (format!("orgs.{n}"), reason))
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

    /// What the HTTP server allows, with so many descriptors.
    pub(crate) fn limits(&self, descriptors: Descriptors) -> Limits {
        let patience = Patience { head: self.header_timeout, request: self.request_timeout, idle: self.idle_timeout };
        let (max_connections, spare_connections) = descriptors.connections(self.max_connections);
        Limits { max_connections, spare_connections, patience }
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

/// Whether a text is a filter for the log. A lone word must be a level: taken for a module's name it would silence all
/// others.
fn is_level(text: &str) -> bool {
    let is_known = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',').all(is_known) && text.parse::<Targets>().is_ok()
}
