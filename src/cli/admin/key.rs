//! `twotick key`: API keys of an organisation, and the admin key's exchange.

use std::time::Duration;

use actors::Clock;
use clap::{Args, Subcommand, ValueEnum};
use domain::{OrgId, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Connection, list, row, table, text};
use crate::cli::command::Failure;

#[derive(Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key of an organisation. It is shown this once.
    Create {
        org: OrgId,
        /// For people.
        #[arg(long)]
        name: String,
        /// What it opens; without it, everything. May be given several times.
        #[arg(long = "scope")]
        scopes: Vec<Scope>,
        /// How long until it stops working, such as 90d.
        #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "expires_at")]
        expires: Option<Duration>,
        /// When it stops working, such as 2027-01-31T00:00:00Z.
        #[arg(long)]
        expires_at: Option<Timestamp>,
    },
    /// List the keys of an organisation.
    List { org: OrgId },
    /// End a key at once.
    Revoke { org: OrgId, key_id: String },
    /// Exchange the admin key for a new one. The old one ends at once, or after --grace.
    RotateAdmin {
        /// How long the old one goes on opening; a restart of the service ends it, too.
        #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
        grace: Duration,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    Send,
    Read,
    Manage,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

impl Key {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { command, connection } = self;
        let api = connection.open()?;
        match command {
            Command::Create { org, name, scopes, expires, expires_at } => {
                let expires_at = expires_at.or_else(|| expires.map(|after| Clock::system().now().after(after)));
                let mut body = json!({"name": name, "expiresAt": expires_at.map(|at| at.to_string())});
                if let (false, Some(body)) = (scopes.is_empty(), body.as_object_mut()) {
                    body.insert("scopes".into(), scopes.iter().map(|scope| scope.as_str()).collect());
                }
                let made = api.call(Method::POST, &format!("admin/orgs/{org}/keys"), Some(body)).await?;
                connection.print(&made, |made| {
                    let (key, id) = (text(made, "key"), text(made, "id"));
                    format!("{key}\n\nThis is shown once: keep it now. Its id is {id}; `twotick key revoke {org} {id}` ends it.")
                });
            }
            Command::List { org } => {
                let found = api.call(Method::GET, &format!("admin/orgs/{org}"), None).await?;
                let keys = found.get("keys").cloned().unwrap_or_default();
                connection.print(&keys, |keys| table(&rows(keys.as_array().map_or(&[], Vec::as_slice))));
            }
            Command::Revoke { org, key_id } => {
                api.call(Method::DELETE, &format!("admin/orgs/{org}/keys/{key_id}"), None).await?;
                connection
                    .print(&json!({"revoked": key_id}), |_| format!("key {key_id} of {org} opens nothing any more"));
            }
            Command::RotateAdmin { grace } => {
                let body = json!({"graceSeconds": grace.as_secs()});
                let made = api.call(Method::POST, "admin/key/rotate", Some(body)).await?;
                connection.print(&made, |made| {
                    let old = match text(made, "previousValidUntil").as_str() {
                        "-" => "The old one opens nothing any more.".to_owned(),
                        until => format!("The old one opens until {until}, or until the service is started again."),
                    };
                    format!("{}\n\nThis is the admin key now; it is also in DATA/admin.key. {old}", text(made, "key"))
                });
            }
        }
        Ok(())
    }
}

/// A table of keys with its heading.
pub(super) fn rows(keys: &[Value]) -> Vec<Vec<String>> {
    let mut rows = vec![row(["KEY ID", "NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES"])];
    rows.extend(keys.iter().map(|key| {
        let scopes: Vec<_> = list(key, "scopes").iter().filter_map(Value::as_str).collect();
        let (id, name) = (text(key, "id"), text(key, "name"));
        vec![id, name, scopes.join(","), text(key, "createdAt"), text(key, "lastUsedAt"), text(key, "expiresAt")]
    }));
    rows
}
