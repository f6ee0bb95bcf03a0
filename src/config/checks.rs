//! What must hold of a configuration before anything uses it. An error names the key and what it must be.

use std::time::Duration;

use actors::Directory;
use domain::org::Secret;
use store::MasterKey;
use tracing_subscriber::filter::{LevelFilter, Targets};
use whatsapp::cloud_api::{self, BuildError};

use super::{Config, declared, parse_admin_key};

/// No time that is waited for is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Config {
    /// What types cannot say.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
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
    pub(super) fn check_secrets(&self) -> Result<(), (String, String)> {
        let Self { admin, whatsapp, orgs, .. } = self;
        let wrong = |key: &str| {
            let key = key.to_owned();
            move |reason: String| (key, reason)
        };
        let mut admin_key = None;
        if !admin.key.is_empty() {
            let key = admin.key.resolve().and_then(|text| parse_admin_key(&text)).map_err(wrong("admin.key"))?;
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
}

/// Whether a text is a filter for the log. A lone word must be a level: taken for a module's name it would silence all
/// others.
fn is_level(text: &str) -> bool {
    let is_known = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',').all(is_known) && text.parse::<Targets>().is_ok()
}
