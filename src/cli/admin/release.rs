//! `twotick release`: sends or cancels what is held since a store was restored from a backup.

use clap::Args;
use domain::OrgId;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Connection, list, text};
use crate::cli::command::Failure;

/// The arguments of `twotick release`.
#[derive(Args)]
pub(crate) struct Release {
    /// The organisation; may be given several times.
    #[arg(long, required_unless_present = "all")]
    org: Vec<OrgId>,
    /// Every organisation.
    #[arg(long, conflicts_with = "org")]
    all: bool,
    /// Send what is held. What the original has sent, too, comes twice.
    #[arg(long, required_unless_present = "cancel")]
    send: bool,
    /// Cancel what is held. What the original has not sent never comes.
    #[arg(long, conflicts_with = "send")]
    cancel: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Release {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.open()?;
        let orgs: Vec<String> = if self.all {
            let found = api.call(Method::GET, "admin/orgs", None).await?;
            list(&found, "items").iter().map(|org| text(org, "id")).collect()
        } else {
            self.org.iter().map(ToString::to_string).collect()
        };
        let body = json!({"held": if self.send { "SEND" } else { "CANCEL" }});
        let mut released = Vec::new();
        for org in orgs {
            let mut messages = 0;
            loop {
                let done = api.call(Method::POST, &format!("admin/orgs/{org}/release"), Some(body.clone())).await?;
                messages += done.get("messages").and_then(Value::as_u64).unwrap_or_default();
                if done.get("isAll").and_then(Value::as_bool).unwrap_or_default() {
                    break;
                }
                eprintln!("{org}: {messages} messages …");
            }
            released.push(json!({"org": org, "messages": messages}));
        }
        let verb = if self.send { "queued to be sent" } else { "cancelled" };
        self.connection.print(&json!({"released": released}), |answer| {
            let line =
                |org: &Value| format!("{}: {} held messages are {verb}", text(org, "org"), text(org, "messages"));
            list(answer, "released").iter().map(line).collect::<Vec<_>>().join("\n")
        });
        Ok(())
    }
}
