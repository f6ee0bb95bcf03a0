//! `twotick org`: organisations and their senders.

mod file;
mod settings;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::{OrgId, PhoneNumberId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use settings::Settings;

use super::{Connection, key, list, row, table, text};
use crate::cli::client::Api;
use crate::cli::command::Failure;
use crate::cli::command::secret_argument;
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
    /// Say in what the organisations of a file differ from those of the service. Ends with 1 if they do.
    Diff {
        /// A JSON file as `show --json` or `list --json` prints it, `-` for standard input. A secret is "set" (kept), env:NAME or
        /// file:PATH.
        #[arg(long)]
        file: PathBuf,
    },
    /// Make the organisations of a file as it says. Those that it does not name stay as they are.
    Apply {
        /// As of `diff`.
        #[arg(long)]
        file: PathBuf,
    },
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
    /// A JSON file as `show --json` prints it or `PUT /admin/orgs/{orgId}` takes it, `-` for standard input; a secret that is
    /// "set" stays; senders that it does not name go.
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
    /// Its access token, as env:NAME, file:PATH, or `-` for a line of standard input: others on the machine can see arguments.
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
            Command::Diff { file } => return diff(&connection, &file).await,
            Command::Apply { file } => (apply(&connection.open()?, &file).await?, applied),
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
            let file = read(path)?;
            let wrong = |error| Failure::Usage(format!("--file {}: {error}", path.display()));
            if let Some(other) = file::id(&file).map_err(wrong)?.filter(|id| *id != self.org) {
                return Err(wrong(format!("it is of organisation {other}, and not of {}", self.org)));
            }
            return Ok(beside(api, self.org.clone(), &file).await?.body);
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
                let ends = field == "previousAppSecret" && *secret == SecretRef::from("none".to_owned());
                let text = if ends { String::new() } else { secret_argument(argument, secret)? };
                sender.insert(field.into(), if ends { Value::Null } else { text.into() });
            }
        }
        sender.extend(self.waba.clone().map(|waba| ("wabaId".to_owned(), waba.into())));
        sender.extend(self.messages_per_second.map(|rate| ("messagesPerSecond".to_owned(), rate.into())));
        Ok(())
    }
}

/// What a file wants of an organisation, beside how it is.
async fn beside(api: &Api, org: OrgId, file: &Value) -> Result<file::Wanted, Failure> {
    let current = api.find(&format!("admin/orgs/{org}")).await?.unwrap_or_default();
    file::wanted(org, file, &current).map_err(Failure::Usage)
}

/// What a file wants of each organisation that it names.
async fn all_beside(api: &Api, path: &Path) -> Result<Vec<file::Wanted>, Failure> {
    let wrong = |error| Failure::Usage(format!("--file {}: {error}", path.display()));
    let mut wanted = Vec::new();
    for (n, org) in file::organisations(read(path)?).iter().enumerate() {
        let id = file::id(org).map_err(wrong)?;
        let id = id.ok_or_else(|| wrong(format!("the organisation at place {n} has no \"id\"; each needs one")))?;
        if wanted.iter().any(|known: &file::Wanted| known.org == id) {
            return Err(wrong(format!("organisation {id} is in it twice; put it into one")));
        }
        wanted.push(beside(api, id, org).await?);
    }
    Ok(wanted)
}

async fn diff(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let wanted = all_beside(&connection.open()?, path).await?;
    let changes: Vec<_> = wanted.iter().flat_map(|wanted| &wanted.changes).collect();
    let secrets: usize = wanted.iter().map(|wanted| wanted.secrets).sum();
    connection.print(&json!({"changes": changes, "secretsNotCompared": secrets}), |answer| {
        let mut lines: Vec<_> = list(answer, "changes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if secrets > 0 {
            lines.push(format!("{secrets} secrets are given, and cannot be compared: `apply` puts them"));
        }
        if lines.is_empty() { "nothing differs".to_owned() } else { lines.join("\n") }
    });
    match changes.len() {
        0 => Ok(()),
        1 => Err(anyhow::anyhow!("1 thing differs; `twotick org apply` makes it so").into()),
        some => Err(anyhow::anyhow!("{some} things differ; `twotick org apply` makes them so").into()),
    }
}

async fn apply(api: &Api, path: &Path) -> Result<Value, Failure> {
    let mut all = all_beside(api, path).await?;
    // A sender must have left one organisation before another can have it.
    all.sort_by_key(|wanted| !wanted.gives_up_senders());
    let (count, mut done) = (all.len(), Vec::new());
    for wanted in all {
        let is_to_be_put = !wanted.changes.is_empty() || wanted.secrets > 0;
        if is_to_be_put {
            let put = api.call(Method::PUT, &format!("admin/orgs/{}", wanted.org), Some(wanted.body)).await;
            put.map_err(|error| {
                error.context(format!(
                    "organisation {} is not as the file says; {} of {count} are. Mend the file and apply it again",
                    wanted.org,
                    done.len()
                ))
            })?;
        }
        done.push(json!({"org": wanted.org.as_str(), "changes": wanted.changes, "secretsPut": wanted.secrets}));
    }
    Ok(done.into())
}

fn applied(done: &Value) -> String {
    let line = |org: &Value| {
        let changes = list(org, "changes").iter().filter_map(Value::as_str).map(str::to_owned);
        let secrets = org.get("secretsPut").and_then(Value::as_u64).filter(|count| *count > 0);
        let secrets = secrets.map(|count| format!("  {}: secrets put: {count}", text(org, "org")));
        let lines: Vec<_> = changes.chain(secrets).collect();
        if lines.is_empty() { format!("  {}: is as the file says", text(org, "org")) } else { lines.join("\n") }
    };
    done.as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
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
