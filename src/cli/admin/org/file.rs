//! An organisation as it stands in a file: what `show --json` prints can be put again, and what differs from the service is told.
//!
//! What only the service knows (`id`, `keys`, times, states) is left out; a secret is `"set"` (kept as it is), `env:NAME`,
//! `file:PATH`, or written out.

use domain::OrgId;
use domain::consent::Words;
use serde_json::{Map, Value, json};

use crate::cli::admin::{list, text};
use crate::config::SecretRef;

/// What can be put of an organisation, besides its senders.
const SETTINGS: [&str; 8] =
    ["name", "consent", "stopWords", "startWords", "stopReply", "startReply", "retention", "quotas"];
/// What can be put of a sender, besides its secrets.
const OF_SENDER: [&str; 3] = ["phoneNumberId", "wabaId", "messagesPerSecond"];
const SECRETS: [&str; 4] = ["accessToken", "appSecret", "previousAppSecret", "verifyToken"];
/// What a service shows of an organisation, also of one that it does not have.
const SHOWN: [&str; 7] = ["id", "paused", "keys", "createdAt", "updatedAt", "upkeep", "restored"];
const SHOWN_OF_SENDER: [&str; 9] =
    ["state", "pausedBy", "pausedReason", "pausedSince", "nextProbeAt", "outage", "throttle", "remedy", "webhooks"];
/// What ends where it is null; of all else null says as little as leaving it out.
const ENDS_BY_NULL: [&str; 3] = ["stopReply", "startReply", "messagesPerSecond"];

/// An organisation that a file describes, beside how it is.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) org: OrgId,
    /// What to put.
    pub(super) body: Value,
    /// What would change, a line each.
    pub(super) changes: Vec<String>,
    /// Secrets that the file gives: they cannot be compared.
    pub(super) secrets: usize,
}

impl Wanted {
    /// Whether it has senders now that it is to have no more.
    pub(super) fn gives_up_senders(&self) -> bool {
        self.changes.iter().any(|change| change.starts_with('-'))
    }
}

/// The organisations of a file: one, several, or what `org list --json` or `GET /admin/orgs` gives.
pub(super) fn organisations(file: Value) -> Vec<Value> {
    match file {
        Value::Array(items) => items,
        Value::Object(mut object) => match object.remove("items") {
            Some(Value::Array(items)) => items,
            Some(other) => vec![json!({"items": other})],
            None => vec![object.into()],
        },
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => vec![other],
    }
}

/// The id that a description gives itself.
pub(super) fn id(wanted: &Value) -> Result<Option<OrgId>, String> {
    match wanted.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(id) => id.as_str().unwrap_or_default().parse().map(Some).map_err(|error| format!("id {error}")),
    }
}

/// What to put so that `org` becomes as `wanted` says, where it is now as `current` shows (null: it is not there).
pub(super) fn wanted(org: OrgId, wanted: &Value, current: &Value) -> Result<Wanted, String> {
    let Value::Object(wanted) = wanted else { return Err(format!("{org}: must be a JSON object")) };
    let is_new = current.is_null();
    let mut changes = Vec::new();
    if is_new {
        changes.push(format!("+ {org}: is made"));
    }
    let mut body = Map::new();
    for (name, value) in wanted.iter().filter(|(name, _)| name.as_str() != "senders") {
        let is_only_shown =
            SHOWN.contains(&name.as_str()) || (!SETTINGS.contains(&name.as_str()) && current.get(name).is_some());
        let now = current.get(name).unwrap_or(&Value::Null);
        let says_nothing = value.is_null() && !ENDS_BY_NULL.contains(&name.as_str());
        if is_only_shown || says_nothing || (!is_new && canonical(&meant(name, value)) == canonical(now)) {
            continue;
        }
        if !is_new {
            changes.push(format!("~ {org}: {name} {now} becomes {value}"));
        }
        // Where nothing is meant, the service wants it said.
        let nothing = value.is_null() && name.ends_with("Reply");
        body.insert(name.clone(), if nothing { "".into() } else { value.clone() });
    }
    let mut secrets = 0;
    let mut senders = Vec::new();
    let named = wanted.get("senders").filter(|senders| !senders.is_null());
    if named.is_some_and(|senders| !senders.is_array()) {
        return Err(format!("{org}: senders must be a list, such as [{{\"phoneNumberId\": \"106540352242922\"}}]"));
    }
    for sender in named.and_then(Value::as_array).into_iter().flatten() {
        senders.push(self::sender(&org, sender, list(current, "senders"), &mut changes, &mut secrets)?);
    }
    if named.is_some() {
        let is_wanted =
            |old: &&Value| senders.iter().any(|new: &Value| text(new, "phoneNumberId") == text(old, "phoneNumberId"));
        for gone in list(current, "senders").iter().filter(|old| !is_wanted(old)) {
            changes.push(format!("- {org}: sender {} goes", text(gone, "phoneNumberId")));
        }
        body.insert("senders".into(), senders.into());
    }
    Ok(Wanted { org, body: body.into(), changes, secrets })
}

fn sender(
    org: &OrgId,
    wanted: &Value,
    senders: &[Value],
    changes: &mut Vec<String>,
    secrets: &mut usize,
) -> Result<Value, String> {
    let Value::Object(wanted) = wanted else { return Err(format!("{org}: each of senders must be a JSON object")) };
    let number = wanted.get("phoneNumberId").and_then(Value::as_str).unwrap_or_default();
    let current = senders.iter().find(|sender| text(sender, "phoneNumberId") == number);
    if current.is_none() {
        changes.push(format!("+ {org}: sender {number} is added"));
    }
    let mut body = Map::new();
    for (name, value) in wanted {
        let now = current.and_then(|current| current.get(name));
        if SECRETS.contains(&name.as_str()) {
            match value.as_str() {
                Some("set") => {}
                Some(given) => {
                    let secret = SecretRef::from(given.to_owned()).resolve();
                    body.insert(
                        name.clone(),
                        secret.map_err(|error| format!("{org}: {name} of sender {number}: {error}"))?.into(),
                    );
                    *secrets += 1;
                }
                None => {
                    if value.is_null() && now.is_some_and(|now| !now.is_null()) {
                        changes.push(format!("~ {org}: {name} of sender {number} ends"));
                    }
                    body.insert(name.clone(), value.clone());
                }
            }
            continue;
        }
        let is_known = OF_SENDER.contains(&name.as_str());
        let says_nothing = value.is_null() && !ENDS_BY_NULL.contains(&name.as_str());
        if SHOWN_OF_SENDER.contains(&name.as_str()) || says_nothing || (!is_known && now.is_some()) {
            continue;
        }
        if let Some(now) = now.filter(|now| *now != value) {
            changes.push(format!("~ {org}: {name} of sender {number} {now} becomes {value}"));
        }
        body.insert(name.clone(), value.clone());
    }
    // A rate that is not named ends.
    let rate = current.and_then(|current| current.get("messagesPerSecond")).filter(|rate| !rate.is_null());
    if let Some(rate) = rate.filter(|_| !wanted.contains_key("messagesPerSecond")) {
        changes.push(format!("~ {org}: messagesPerSecond of sender {number} {rate} ends"));
    }
    Ok(body.into())
}

/// The words that "default" stands for, and any other value itself.
fn meant(name: &str, value: &Value) -> Value {
    let words = Words::default();
    match (name, value.as_str()) {
        ("stopWords", Some("default")) => json!(words.stop()),
        ("startWords", Some("default")) => json!(words.start()),
        _ => value.clone(),
    }
}

/// A value as it compares: no reply is no reply, parts that are not set are not there, a duration is as long however it is written.
fn canonical(value: &Value) -> Value {
    let duration = |part: &Value| match part.as_str().map(humantime::parse_duration) {
        Some(Ok(duration)) => humantime::format_duration(duration).to_string().into(),
        Some(Err(_)) | None => part.clone(),
    };
    match value {
        Value::Object(parts) => {
            let set = parts.iter().filter(|(_, part)| !part.is_null());
            set.map(|(name, part)| (name.clone(), duration(part))).collect()
        }
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Value {
        json!({
            "id": "acme", "name": "Acme", "consent": "default", "stopWords": ["STOP"], "startWords": [], "stopReply": null,
            "startReply": null, "retention": {"messages": "180days", "audit": null}, "quotas": {"maxQueued": null},
            "paused": null, "senders": [{
                "phoneNumberId": "1", "wabaId": null, "accessToken": "set", "appSecret": "set", "previousAppSecret": null,
                "verifyToken": "set", "messagesPerSecond": 80, "state": "ACTIVE", "pausedBy": null, "pausedReason": null,
                "pausedSince": null, "nextProbeAt": null, "outage": null, "throttle": null, "remedy": null,
                "webhooks": {"fault": null}, "news": 1,
            }],
            "keys": [], "createdAt": "x", "updatedAt": "x", "more": {},
        })
    }

    fn acme(file: &Value) -> Wanted {
        wanted("acme".parse().unwrap(), file, &shown()).unwrap()
    }

    #[test]
    fn what_is_shown_can_be_put_again_and_changes_nothing() {
        let same = acme(&shown());
        let sender = json!({"phoneNumberId": "1", "previousAppSecret": null, "messagesPerSecond": 80});
        assert_eq!((same.body, same.changes, same.secrets), (json!({"senders": [sender]}), vec![], 0));
    }

    #[test]
    fn what_is_shown_of_one_service_can_be_put_into_another() {
        let mut file = shown();
        file["senders"][0].as_object_mut().unwrap().remove("news");
        file.as_object_mut().unwrap().remove("more");
        let made = wanted("acme".parse().unwrap(), &file, &Value::Null).unwrap().body;
        let names: Vec<_> = made["senders"][0].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["messagesPerSecond", "phoneNumberId", "previousAppSecret"]);
        assert!(made.get("paused").is_none() && made.get("keys").is_none(), "{made}");
    }

    #[test]
    fn null_says_nothing_and_default_is_what_it_stands_for() {
        let nulls = json!({"name": null, "stopWords": null, "consent": null, "retention": null, "quotas": null, "senders": null});
        assert_eq!(acme(&nulls).changes, [""; 0]);
        let mut now = shown();
        now["stopWords"] = json!(Words::default().stop());
        let same = wanted("acme".parse().unwrap(), &json!({"stopWords": "default"}), &now).unwrap();
        assert_eq!(same.changes, [""; 0]);
        for senders in [json!({"a": 1}), json!(["1"])] {
            let refused = wanted("acme".parse().unwrap(), &json!({"senders": senders}), &shown());
            assert!(refused.unwrap_err().contains("acme"), "{senders}");
        }
    }

    #[test]
    fn what_differs_is_told_and_what_is_written_otherwise_does_not() {
        let mut file = shown();
        file["retention"]["messages"] = json!("180d");
        file["stopReply"] = json!("");
        assert_eq!(acme(&file).changes, [""; 0]);
        file["name"] = json!("Acme Ltd");
        file["senders"][0]["messagesPerSecond"] = json!(7);
        file["senders"][0]["accessToken"] = json!("a-token-written-out");
        file["senders"].as_array_mut().unwrap().push(json!({"phoneNumberId": "2", "appSecret": "env:PATH"}));
        let changed = acme(&file);
        let told = [
            "~ acme: name \"Acme\" becomes \"Acme Ltd\"",
            "~ acme: messagesPerSecond of sender 1 80 becomes 7",
            "+ acme: sender 2 is added",
        ];
        assert_eq!((changed.changes, changed.secrets), (told.map(str::to_owned).to_vec(), 2));
        assert_eq!(changed.body["senders"][0]["accessToken"], "a-token-written-out");
        assert_eq!(changed.body["senders"][1]["appSecret"], std::env::var("PATH").unwrap());
        let none = acme(&json!({"senders": []}));
        assert_eq!(none.changes, ["- acme: sender 1 goes"]);
    }

    #[test]
    fn a_field_that_nobody_knows_is_left_for_the_service_to_refuse() {
        let body = acme(&json!({"colour": 1, "senders": [{"phoneNumberId": "1", "colour": 1}]})).body;
        assert_eq!((&body["colour"], &body["senders"][0]["colour"]), (&json!(1), &json!(1)));
        let error = wanted(
            "acme".parse().unwrap(),
            &json!({"senders": [{"phoneNumberId": "1", "appSecret": "env;X"}]}),
            &shown(),
        );
        assert!(error.unwrap_err().contains("appSecret of sender 1"));
    }
}
