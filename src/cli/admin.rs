//! `twotick org`, `key`, `backup` and `release`: the admin API of a running service, for people and for scripts.

pub(crate) mod backup;
pub(crate) mod key;
pub(crate) mod org;
pub(crate) mod release;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::client::Api;
use super::command::{Failure, secret_argument};
use crate::config::{Config, Http, SecretRef};
use crate::service::admin_key::ADMIN_KEY_FILE;
use crate::service::private_file;

/// How the service is found.
#[derive(Args)]
pub(crate) struct Connection {
    /// Where the service listens, such as http://127.0.0.1:8080; without it, what the configuration says.
    #[arg(long, global = true, env = "TWOTICK_URL")]
    url: Option<String>,
    /// The admin key, as env:NAME, file:PATH, or `-` for a line of standard input; without it, the one in the configuration or in
    /// DATA/admin.key. Others on the machine can see arguments: one written out belongs into the environment.
    #[arg(long, global = true, env = "TWOTICK_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<SecretRef>,
    /// The service's configuration file; without it `config.toml` here, if there is one.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// The service's data folder, in place of `store.path`.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// A PEM file of certificates to trust in place of the machine's, for a service with a certificate of its own.
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Connection {
    fn open(&self) -> Result<Api, Failure> {
        let key = self.admin_key.as_ref().map(given).transpose()?;
        let (url, key) = match (&self.url, key) {
            (Some(url), Some(key)) => (url.clone(), key),
            (url, key) => {
                let config = self.configuration()?;
                let url = match url {
                    Some(url) => url.clone(),
                    None => url_of(&config.http)?,
                };
                (url, key.map_or_else(|| key_of(&config), Ok)?)
            }
        };
        Ok(Api::new(&url, key, self.ca.as_deref())?)
    }

    /// The service's configuration. What it declares is the service's own concern, whose secrets this process need not have.
    fn configuration(&self) -> Result<Config, Failure> {
        let loaded = Config::load_beside(self.config.as_deref());
        let (mut config, _) = loaded.map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(data) = &self.data {
            config.store.path.clone_from(data);
        }
        Ok(config)
    }

    /// Prints an answer: as it is for programs, else as `show` writes it.
    fn print(&self, answer: &Value, show: impl Fn(&Value) -> String) {
        let text = if self.json { format!("{answer:#}") } else { show(answer) };
        crate::cli::command::say(text.trim_end());
    }
}

/// The admin key that was given. From the environment it may come as it is.
fn given(key: &SecretRef) -> Result<String, Failure> {
    const NAME: &str = "--admin-key";
    let is_argument = std::env::args_os().any(|arg| arg.to_string_lossy().split('=').next() == Some(NAME));
    if is_argument {
        secret_argument(NAME, key)
    } else {
        key.resolve().map_err(|error| Failure::Usage(format!("TWOTICK_ADMIN_KEY: {error}")))
    }
}

/// The admin key of a service with this configuration.
pub(crate) fn key_of(config: &Config) -> Result<String, Failure> {
    if !config.admin.key.is_empty() {
        return config.admin.key.resolve().map_err(|error| Failure::Usage(format!("admin.key: {error}")));
    }
    let path = config.store.path.join(ADMIN_KEY_FILE);
    match private_file::read_secret(&path) {
        Ok(Some(key)) => Ok(key.expose().to_owned()),
        Ok(None) => Err(Failure::Usage(format!(
            "no admin key: there is none in {}; give it by TWOTICK_ADMIN_KEY, --admin-key, or --data DIR of the \
             service's folder",
            path.display()
        ))),
        Err(error) => Err(Failure::Usage(format!(
            "the admin key cannot be read: {error}; run this as the service's user, or give it by TWOTICK_ADMIN_KEY"
        ))),
    }
}

/// Where a service with this configuration is reached from its own machine.
pub(crate) fn url_of(http: &Http) -> Result<String, Failure> {
    let mut address = http.listen;
    if address.port() == 0 {
        return Err(Failure::Usage(
            "http.listen has port 0, so where the service listens is not known: give --url".into(),
        ));
    }
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("{}://{address}", if http.has_tls() { "https" } else { "http" }))
}

/// Rows below each other, each column as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A field as text; `-` if it is null or missing.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => other.to_string(),
    }
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
