//! Inbound messages: turns what a caller of `/_sim/inbound` gives into a webhook as Meta sends it.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use domain::message::Recipient;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::media::Media;

/// The members of Meta's item as raw JSON, so that a caller's text passes through unchanged, even an unpaired
/// surrogate.
type Item = BTreeMap<String, Box<RawValue>>;

/// The members that determine the type of a message without `type`.
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
/// The business's phone number, the same for every sender.
const OUR_NUMBER: &str = "15550001111";
const MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

/// Why an inbound message is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InboundError {
    /// The request does not describe a message.
    #[error("{0}")]
    Wrong(String),
    /// No webhook is set.
    #[error("no webhook is set: start the simulator with --webhook URL")]
    NoWebhook,
    /// Too many messages wait for the webhook.
    #[error("{0} inbound messages wait because the webhook does not accept them: see webhooksFailed in /_sim/stats")]
    TooMany(usize),
}

/// An inbound message or another event. All other members of the request go into Meta's item unchanged.
pub(crate) struct Inbound {
    /// The phone number id that receives it; by default the one that sent last.
    pub(crate) phone_number_id: Option<String>,
    /// The WhatsApp business account of that phone number.
    waba_id: Option<String>,
    /// The author: a phone number with its `+`, or the id of a user.
    from: Option<String>,
    /// Meta's id of the user, in addition to the number or instead of it.
    user_id: Option<String>,
    /// The user's id in the parent of the business portfolio.
    parent_user_id: Option<String>,
    /// The name in the user's profile.
    name: Option<String>,
    /// The user's username.
    username: Option<String>,
    /// The field of an event that is not a message, such as `user_preferences`.
    field: Option<String>,
    /// The value of that field.
    value: Option<Item>,
    item: Item,
}

/// A webhook call that is ready to be sent.
pub(crate) struct Webhook {
    /// The id of the message in it.
    pub(crate) id: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// What the simulator adds to the caller's request.
pub(crate) struct Facts<'a> {
    /// The WhatsApp business account, unless the request names another.
    pub(crate) waba_id: &'a str,
    /// The phone number id that receives the message.
    pub(crate) phone_number_id: &'a str,
    /// An id for the message, unless the request gives one.
    pub(crate) wamid: &'a str,
    /// The message that it answers, if it must name one and does not.
    pub(crate) quoted: Option<&'a str>,
    /// The current time in seconds.
    pub(crate) now: u64,
    /// The files that a message may refer to.
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
    /// Reads the request of a caller.
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

    /// Builds the webhook.
    pub(crate) fn webhook(self, facts: &Facts<'_>) -> Result<Webhook, String> {
        let metadata = json!({ "display_phone_number": OUR_NUMBER, "phone_number_id": facts.phone_number_id });
        let waba_id = self.waba_id.clone().unwrap_or_else(|| facts.waba_id.to_owned());
        let field = self.field.clone().unwrap_or_else(|| "messages".to_owned());
        let (id, mut value) = match self.value {
            Some(value) => (None, value),
            None if self.field.is_some() => return Err("a field needs a value".into()),
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

    /// The id of the message, and the value of the webhook.
    fn message(mut self, facts: &Facts<'_>) -> Result<(String, Item), String> {
        let (number, user_id) = self.names()?;
        let kind = self.kind()?;
        // A `system` message identifies its user itself, and a made-up id could contradict it.
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
        // Meta sends `system` messages without contacts.
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

    /// Whether it answers one of our messages with a button or a list and does not name that message.
    pub(crate) fn quotes(&self) -> bool {
        let is_answer = self.kind().is_ok_and(|kind| matches!(kind.as_str(), "button" | "interactive"));
        self.field.is_none() && is_answer && !self.item.contains_key("context")
    }

    /// The author, as encoded in the id of the message.
    pub(crate) fn author(&self) -> &str {
        self.from.as_deref().or(self.user_id.as_deref()).unwrap_or_default().trim_start_matches('+')
    }

    /// The author's digits, id, or both.
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
            return Err("the author is required: from (a phone number) or userId".into());
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

    /// Adds what Meta sends and a caller may omit: the facts of a file, and why an item is unsupported.
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

/// Adds a member unless it exists.
fn add<T: Serialize + ?Sized>(item: &mut Item, name: &str, value: &T) {
    if let (false, Ok(raw)) = (item.contains_key(name), to_raw_value(value)) {
        item.insert(name.to_owned(), raw);
    }
}

/// Adds a member if there is a value and the member does not exist.
fn add_some(item: &mut Item, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        add(item, name, value);
    }
}
