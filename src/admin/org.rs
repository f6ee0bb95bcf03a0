//! `twotick org`: organisations and their senders.

mod settings;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::{OrgId, PhoneNumberId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use settings::Settings;

use super::{Connection, key, list, row, table, text};
use crate::api::Api;
use crate::command::Failure;
use crate::config::SecretRef;

#[derive(Args)]
pub(crate) struct Org {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Subcommand)]
enum Command {
    /// List the organisations.
    List,
    /// Show one with its senders and keys.
    Show { org: OrgId },
    /// Make or change one: its settings, one of its senders. What is not named stays as it is.
    Put(Box<Put>),
    /// Delete one, with its messages and all that is kept of it.
    Delete {
        org: OrgId,
        /// I mean it.
        #[arg(long)]
        yes: bool,
    },
    /// Send nothing for one, or by one of its senders, until it is resumed. What is accepted queues.
    Pause {
        org: OrgId,
        /// One phone number id; without it, all of the organisation.
        #[arg(long)]
        sender: Option<PhoneNumberId>,
        /// For people.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Send again.
    Resume {
        org: OrgId,
        /// One phone number id; without it, the organisation's own pause.
        #[arg(long)]
        sender: Option<PhoneNumberId>,
    },
}

#[derive(Args)]
struct Put {
    org: OrgId,
    /// A JSON file as `PUT /admin/orgs/{orgId}` takes it, `-` for standard input; senders that it does not name go.
    #[arg(long, conflicts_with_all = ["Settings", "sender", "remove_sender"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The phone number id of the sender to add or change.
    #[arg(long)]
    sender: Option<PhoneNumberId>,
    /// The id of its WhatsApp business account.
    #[arg(long, requires = "sender")]
    waba: Option<String>,
    /// Its access token, as env:NAME or file:PATH: others on the machine can see arguments.
    #[arg(long, requires = "sender")]
    access_token: Option<SecretRef>,
    /// The secret of its Meta app, likewise.
    #[arg(long, requires = "sender")]
    app_secret: Option<SecretRef>,
    /// A second app secret that counts, while one is exchanged for the other; `none` ends it.
    #[arg(long, requires = "sender")]
    previous_app_secret: Option<SecretRef>,
    /// What Meta shows when it verifies the webhook address, likewise.
    #[arg(long, requires = "sender")]
    verify_token: Option<SecretRef>,
    /// Its own rate.
    #[arg(long, requires = "sender")]
    messages_per_second: Option<u32>,
    /// The phone number id of a sender that goes. What waits for it stays queued.
    #[arg(long)]
    remove_sender: Option<PhoneNumberId>,
}

impl Org {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { command, connection } = self;
        let (answer, show): (Value, fn(&Value) -> String) = match command {
            Command::List => {
                let found = connection.open()?.call(Method::GET, "admin/orgs", None).await?;
                (found.get("items").cloned().unwrap_or_default(), all)
            }
            Command::Show { org } => {
                (connection.open()?.call(Method::GET, &format!("admin/orgs/{org}"), None).await?, one)
            }
            Command::Put(put) => {
                let api = connection.open()?;
                let body = put.body(&api).await?;
                (api.call(Method::PUT, &format!("admin/orgs/{}", put.org), Some(body)).await?, one)
            }
            Command::Delete { org, yes: false } => {
                return Err(Failure::Usage(format!(
                    "this deletes {org} with its senders, keys, messages and audit trail; add --yes if you mean it"
                )));
            }
            Command::Delete { org, yes: true } => {
                connection.open()?.call(Method::DELETE, &format!("admin/orgs/{org}"), None).await?;
                (json!({"deleted": org.as_str()}), |answer| format!("{} is deleted", text(answer, "deleted")))
            }
            Command::Pause { org, sender, reason } => {
                let path = format!("admin/orgs/{org}/pause{}", query(sender.as_ref()));
                let body = reason.map(|reason| json!({"reason": reason}));
                (connection.open()?.call(Method::POST, &path, body).await?, one)
            }
            Command::Resume { org, sender } => {
                let path = format!("admin/orgs/{org}/resume{}", query(sender.as_ref()));
                (connection.open()?.call(Method::POST, &path, None).await?, one)
            }
        };
        connection.print(&answer, show);
        Ok(())
    }
}

fn query(sender: Option<&PhoneNumberId>) -> String {
    sender.map(|sender| format!("?sender={sender}")).unwrap_or_default()
}

impl Put {
    /// What to put: the file, or what is there with the changes that the arguments name.
    async fn body(&self, api: &Api) -> Result<Value, Failure> {
        if let Some(path) = &self.file {
            return read(path);
        }
        let current = api.find(&format!("admin/orgs/{}", self.org)).await?.unwrap_or_default();
        let mut body = Map::new();
        self.settings.fill(&current, &mut body);
        // Secrets left out are kept by the service, and so is the account; a rate is not.
        let kept = |sender: &Value| {
            let rate = sender.get("messagesPerSecond").cloned().unwrap_or_default();
            json!({"phoneNumberId": text(sender, "phoneNumberId"), "messagesPerSecond": rate})
        };
        let mut senders: Vec<Value> = list(&current, "senders").iter().map(kept).collect();
        let is = |sender: &Value, id: &PhoneNumberId| text(sender, "phoneNumberId") == id.as_str();
        let place = |senders: &[Value], id| senders.iter().position(|sender| is(sender, id));
        if let Some(gone) = &self.remove_sender {
            let place = place(&senders, gone);
            let place = place.ok_or_else(|| Failure::Usage(format!("{} has no sender {gone}", self.org)))?;
            senders.remove(place);
        }
        if let Some(id) = &self.sender {
            let at = place(&senders, id).unwrap_or(senders.len());
            if at == senders.len() {
                senders.push(json!({"phoneNumberId": id.as_str()}));
            }
            if let Some(sender) = senders.get_mut(at).and_then(Value::as_object_mut) {
                self.change(sender)?;
            }
        }
        body.insert("senders".into(), senders.into());
        Ok(body.into())
    }

    fn change(&self, sender: &mut Map<String, Value>) -> Result<(), Failure> {
        let secrets = [
            ("accessToken", "--access-token", &self.access_token),
            ("appSecret", "--app-secret", &self.app_secret),
            ("previousAppSecret", "--previous-app-secret", &self.previous_app_secret),
            ("verifyToken", "--verify-token", &self.verify_token),
        ];
        for (field, argument, secret) in secrets {
            if let Some(secret) = secret {
                let text = secret.resolve().map_err(|error| Failure::Usage(format!("{argument}: {error}")))?;
                let ends = field == "previousAppSecret" && text == "none";
                sender.insert(field.into(), if ends { Value::Null } else { text.into() });
            }
        }
        sender.extend(self.waba.clone().map(|waba| ("wabaId".to_owned(), waba.into())));
        sender.extend(self.messages_per_second.map(|rate| ("messagesPerSecond".to_owned(), rate.into())));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("--file {}: {error}", path.display()));
    let mut json = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut json).map_err(|error| wrong(&error))?;
    } else {
        json = std::fs::read(path).map_err(|error| wrong(&error))?;
    }
    // serde_json says what and where, and quotes nothing.
    serde_json::from_slice(&json).map_err(|error| wrong(&error))
}

fn state(paused: bool) -> &'static str {
    if paused { "PAUSED" } else { "ACTIVE" }
}

fn all(orgs: &Value) -> String {
    let mut rows = vec![row(["ORGANISATION", "NAME", "STATE", "SENDERS", "PAUSED", "KEYS"])];
    for org in orgs.as_array().into_iter().flatten() {
        let senders = list(org, "senders");
        let paused = senders.iter().filter(|sender| text(sender, "state") == "PAUSED").count();
        let state = state(text(org, "paused") != "-").to_owned();
        let keys = list(org, "keys").len().to_string();
        rows.push(vec![text(org, "id"), text(org, "name"), state, senders.len().to_string(), paused.to_string(), keys]);
    }
    table(&rows)
}

/// The parts of a setting that are set, by name.
fn parts(org: &Value, name: &str) -> String {
    let parts = org.get(name).and_then(Value::as_object).into_iter().flatten();
    let set = parts.filter(|(_, value)| !value.is_null());
    let shown: Vec<_> = set.map(|(part, value)| format!("{part} {}", value.to_string().trim_matches('"'))).collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(", ") }
}

fn one(org: &Value) -> String {
    let pause = org.get("paused").filter(|pause| !pause.is_null());
    let held = pause.map(|pause| format!(" since {}: {}", text(pause, "since"), text(pause, "reason")));
    let state = format!("{}{}", state(pause.is_some()), held.unwrap_or_default());
    let head = [
        row([&text(org, "id"), &text(org, "name")]),
        row(["state", &state]),
        row(["consent", &text(org, "consent")]),
        row(["quotas", &parts(org, "quotas")]),
        row(["kept", &parts(org, "retention")]),
        row(["created", &text(org, "createdAt")]),
        row(["changed", &text(org, "updatedAt")]),
    ];
    let mut senders = vec![row(["SENDER", "ACCOUNT", "RATE", "STATE", "WHY"])];
    senders.extend(list(org, "senders").iter().map(|sender| {
        let rate = text(sender, "messagesPerSecond");
        vec![
            text(sender, "phoneNumberId"),
            text(sender, "wabaId"),
            rate,
            text(sender, "state"),
            text(sender, "pausedReason"),
        ]
    }));
    [table(&head), table(&senders), table(&key::rows(list(org, "keys")))].join("\n\n")
}
