//! What recipients write to a sender, as Meta's webhooks tell it: made of what a caller of `/_sim/inbound` gives.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::message::Recipient;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::media::Media;

/// Members of Meta's item as JSON text: what a caller gives comes through as it was written, half emojis as well.
type Item = BTreeMap<String, Box<RawValue>>;

/// The members that name the type of a message where `type` does not.
const TYPES: [&str; 16] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "button",
    "interactive",
    "order",
    "system",
    "edit",
    "revoke",
    "unsupported",
];
/// The business's phone number, the same of every sender.
const OUR_NUMBER: &str = "15550001111";
const MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

/// Why an inbound message is not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTold {
    /// What was given makes no message.
    #[error("{0}")]
    Wrong(String),
    /// Nobody listens.
    #[error("no webhook is set, so that nobody can be told: start the simulator with --webhook URL")]
    NoWebhook,
    /// The webhook does not take them.
    #[error("{0} inbound messages wait for the webhook, which does not take them: see webhooksFailed in /_sim/stats")]
    TooMany(usize),
}

/// What is to be told. Members that are not named here go into Meta's item as they are.
pub(crate) struct Inbound {
    /// The sender that is written to; by default the one that sent last.
    pub(crate) phone_number_id: Option<String>,
    /// Its WhatsApp business account.
    waba_id: Option<String>,
    /// Who writes: a phone number with its `+`, or an id of a user.
    from: Option<String>,
    /// Meta's id of the user, beside or in place of the number.
    user_id: Option<String>,
    /// The user's id in the parent of the business portfolio.
    parent_user_id: Option<String>,
    /// The name in the user's profile.
    name: Option<String>,
    /// The user's chosen name.
    username: Option<String>,
    /// In place of a message: another kind of news, such as `user_preferences`.
    field: Option<String>,
    /// What it tells.
    value: Option<Item>,
    item: Item,
}

/// A webhook to be sent.
pub(crate) struct Webhook {
    /// The id of the message in it.
    pub(crate) id: Option<String>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// What the webhook adds: facts of the simulator.
pub(crate) struct Facts<'a> {
    /// The WhatsApp business account, if no other is named.
    pub(crate) waba_id: &'a str,
    /// The sender that is written to.
    pub(crate) phone_number_id: &'a str,
    /// An id for the message, if it has none.
    pub(crate) wamid: &'a str,
    /// The message that it answers, where it has to name one and does not.
    pub(crate) quoted: Option<&'a str>,
    /// Now, in seconds.
    pub(crate) now: u64,
    /// The files that a message may name.
    pub(crate) media: &'a Media,
}

#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: [Change<'a>; 1],
}

#[derive(Serialize)]
struct Change<'a> {
    value: Item,
    field: &'a str,
}

impl Inbound {
    /// Reads what a caller gives.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut item: Item = serde_json::from_slice(text)?;
        let mut take = |name: &str| item.remove(name);
        let mut text = |name: &str| take(name).map(|raw| serde_json::from_str(raw.get())).transpose();
        let (phone_number_id, waba_id) = (text("phoneNumberId")?, text("wabaId")?);
        let (from, user_id, parent_user_id) = (text("from")?, text("userId")?, text("parentUserId")?);
        let (name, username, field) = (text("name")?, text("username")?, text("field")?);
        let value = take("value").map(|raw| serde_json::from_str(raw.get())).transpose()?;
        Ok(Self { phone_number_id, waba_id, from, user_id, parent_user_id, name, username, field, value, item })
    }

    /// The webhook that tells it.
    pub(crate) fn webhook(self, facts: &Facts<'_>) -> Result<Webhook, String> {
        let metadata = json!({ "display_phone_number": OUR_NUMBER, "phone_number_id": facts.phone_number_id });
        let waba_id = self.waba_id.clone().unwrap_or_else(|| facts.waba_id.to_owned());
        let field = self.field.clone().unwrap_or_else(|| "messages".to_owned());
        let (id, mut value) = match self.value {
            Some(value) => (None, value),
            None if self.field.is_some() => return Err("a field needs a value: what it tells".into()),
            None => {
                let (id, value) = self.message(facts)?;
                (Some(id), value)
            }
        };
        add(&mut value, "messaging_product", "whatsapp");
        add(&mut value, "metadata", &metadata);
        let entry = [Entry { id: &waba_id, changes: [Change { value, field: &field }] }];
        let body = serde_json::to_vec(&Body { object: "whatsapp_business_account", entry });
        body.map(|body| Webhook { id, body }).map_err(|error| error.to_string())
    }

    /// The id of the message, and what is told of it.
    fn message(mut self, facts: &Facts<'_>) -> Result<(String, Item), String> {
        let (number, user_id) = self.names()?;
        let kind = self.kind()?;
        // News of a user tell who they are by themselves: a made id could contradict them.
        let made = number.as_ref().filter(|_| kind != "system").map(|number| format!("US.{number}"));
        let user_id = user_id.or(made);
        self.complete(&kind, facts.media);
        let mut item = self.item;
        add(&mut item, "id", facts.wamid);
        add(&mut item, "timestamp", &facts.now.to_string());
        add(&mut item, "type", &kind);
        add_some(&mut item, "from", number.as_ref());
        add_some(&mut item, "from_user_id", user_id.as_ref());
        add_some(&mut item, "from_parent_user_id", self.parent_user_id.as_ref());
        if let Some(quoted) = facts.quoted {
            add(&mut item, "context", &json!({ "from": OUR_NUMBER, "id": quoted }));
        }
        let id = item.get("id").and_then(|id| serde_json::from_str(id.get()).ok());
        let id: String = id.filter(|id: &String| !id.is_empty()).ok_or("id must be a string, or left out")?;
        let mut value = Item::new();
        // Meta's news of a user come without contacts.
        if kind != "system" {
            let mut profile = Item::new();
            add(&mut profile, "name", self.name.as_deref().unwrap_or("Simulated User"));
            let mut contact = Item::new();
            add_some(&mut profile, "username", self.username.as_ref());
            add(&mut contact, "profile", &profile);
            add_some(&mut contact, "wa_id", number.as_ref());
            add_some(&mut contact, "user_id", user_id.as_ref());
            add_some(&mut contact, "parent_user_id", self.parent_user_id.as_ref());
            add(&mut value, "contacts", &[contact]);
        }
        add(&mut value, "messages", &[item]);
        Ok((id, value))
    }

    /// Whether it answers a message of ours by a button or a list, and does not say which one.
    pub(crate) fn quotes(&self) -> bool {
        let is_answer = self.kind().is_ok_and(|kind| matches!(kind.as_str(), "button" | "interactive"));
        self.field.is_none() && is_answer && !self.item.contains_key("context")
    }

    /// What stands for the one who writes in the id of the message.
    pub(crate) fn author(&self) -> &str {
        self.from.as_deref().or(self.user_id.as_deref()).unwrap_or_default().trim_start_matches('+')
    }

    /// Who writes: by digits, by id, or by both.
    fn names(&self) -> Result<(Option<String>, Option<String>), String> {
        let (mut number, mut id) = (None, self.user_id.clone());
        if let Some(from) = &self.from {
            let from: Recipient = from
                .parse()
                .map_err(|_| "from must be a phone number such as +4915112345678, or an id of a user such as DE.1")?;
            if from.is_user_id() {
                id = Some(from.as_str().to_owned());
            } else {
                number = Some(from.as_str().trim_start_matches('+').to_owned());
            }
        }
        if number.is_none() && id.is_none() {
            return Err("from (a phone number) or userId is required: who writes".into());
        }
        Ok((number, id))
    }

    /// The type of the message.
    fn kind(&self) -> Result<String, String> {
        match self.item.get("type") {
            Some(kind) => serde_json::from_str(kind.get()).map_err(|_| "type must be a string".into()),
            None => TYPES
                .into_iter()
                .find(|name| self.item.contains_key(*name))
                .map(str::to_owned)
                .ok_or_else(|| format!("type is required, or the object of one: {}", TYPES.join(", "))),
        }
    }

    /// Adds what Meta tells and a caller need not: the facts of a file, and why an item is unsupported.
    fn complete(&mut self, kind: &str, media: &Media) {
        if kind == "unsupported" {
            let error = json!({ "code": 131_051, "title": "Message type unknown", "message": "Message type unknown",
                                "error_data": { "details": "Message type is currently not supported." } });
            add(&mut self.item, "errors", &[error]);
            add(&mut self.item, "unsupported", &json!({ "type": "unknown" }));
        }
        let raw = self.item.get(kind);
        if let Some(body) = raw.filter(|raw| kind == "text" && raw.get().starts_with('"')) {
            let text = Item::from([("body".to_owned(), body.clone())]);
            self.item.remove(kind);
            add(&mut self.item, kind, &text);
            return;
        }
        let object = raw.filter(|_| MEDIA.contains(&kind)).and_then(|raw| serde_json::from_str::<Item>(raw.get()).ok());
        let Some(mut object) = object else { return };
        let id: Option<String> = object.get("id").and_then(|id| serde_json::from_str(id.get()).ok());
        if let Some(file) = id.and_then(|id| media.get(&id)) {
            add(&mut object, "mime_type", &file.mime_type);
            add(&mut object, "sha256", &BASE64_STANDARD.encode(file.sha256));
            self.item.remove(kind);
            add(&mut self.item, kind, &object);
        }
    }
}

/// Adds a member, unless there is one.
fn add<T: Serialize + ?Sized>(item: &mut Item, name: &str, value: &T) {
    if let (false, Ok(raw)) = (item.contains_key(name), to_raw_value(value)) {
        item.insert(name.to_owned(), raw);
    }
}

/// Adds a member that is told.
fn add_some(item: &mut Item, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        add(item, name, value);
    }
}
