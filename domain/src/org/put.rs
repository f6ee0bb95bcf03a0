//! Creating and changing an organisation. Senders that are not named are removed; values that are left out stay.

use serde_json::{Map, Value};

use super::{ConsentPolicy, Org, Pause, PausedBy, Secret, Sender};
use crate::consent::PutWords;
use crate::fields::{FieldError, Fields};
use crate::ids::{PhoneNumberId, SenderNo};
use crate::quota::Quotas;
use crate::retention::Retention;
use crate::time::Timestamp;

const NAME_MAX: usize = 200;
/// Meta gives a business portfolio 20 numbers unless it asks for more. With more than this the record would grow too
/// large.
const SENDERS_MAX: usize = 200;

/// A request to create or change an organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOrg {
    /// For people; `None` keeps it.
    pub name: Option<String>,
    /// `None` keeps it.
    pub consent: Option<ConsentPolicy>,
    /// Stop and start words.
    pub words: PutWords,
    /// `None` keeps it.
    pub retention: Option<Retention>,
    /// `None` keeps them; otherwise a quota that is left out is removed.
    pub quotas: Option<Quotas>,
    /// All its senders.
    pub senders: Vec<PutSender>,
}

/// A sender in a request. A secret that is left out stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSender {
    /// Meta's id of the phone number.
    pub phone_number_id: PhoneNumberId,
    /// Meta's id of its account.
    pub waba_id: Option<String>,
    /// The bearer token for calls.
    pub access_token: Option<Secret>,
    /// The key of webhook signatures.
    pub app_secret: Option<Secret>,
    /// What Meta shows when it verifies the webhook address.
    pub verify_token: Option<Secret>,
    /// Its own rate.
    pub messages_per_second: Option<u32>,
    /// A second app secret that is valid too; `Some(None)` removes it.
    pub previous_app_secret: Option<Option<Secret>>,
}

impl PutOrg {
    /// Reads the body of `PUT /admin/orgs/{orgId}`.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(body, "");
        let name = fields.short_text("name", NAME_MAX).map(str::to_owned);
        let consent = fields.one_of("consent", &ConsentPolicy::WORDS);
        let words = PutWords::parse(&mut fields);
        let retention = Retention::parse(&mut fields);
        let quotas = match fields.value("quotas") {
            None => None,
            Some(Value::Object(object)) => {
                let quotas = Quotas::parse(object, "quotas.");
                quotas.map_err(|errors| fields.extend(errors)).ok()
            }
            Some(_) => {
                fields.refuse("quotas", "must be an object");
                None
            }
        };
        let mut senders: Vec<PutSender> = Vec::new();
        fields.require("senders");
        match fields.value("senders") {
            Some(Value::Array(items)) if items.len() <= SENDERS_MAX => {
                for (i, item) in items.iter().enumerate() {
                    match PutSender::parse(item, &format!("senders[{i}]")) {
                        Ok(sender) if senders.iter().any(|s| s.phone_number_id == sender.phone_number_id) => {
                            fields.refuse(&format!("senders[{i}].phoneNumberId"), "is named twice");
                        }
                        Ok(sender) => senders.push(sender),
                        Err(errors) => fields.extend(errors),
                    }
                }
            }
            Some(Value::Array(_)) => fields.refuse("senders", format!("must have at most {SENDERS_MAX} items")),
            Some(_) => fields.refuse("senders", "must be an array"),
            None => {}
        }
        let errors = fields.finish();
        if errors.is_empty() { Ok(Self { name, consent, words, retention, quotas, senders }) } else { Err(errors) }
    }
}

const SECRETS: [&str; 4] = ["accessToken", "appSecret", "verifyToken", "previousAppSecret"];

/// Whether a text only says where a secret is. Here the secret itself is needed.
fn is_reference(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let rest = text.strip_prefix("env").or_else(|| text.strip_prefix("file"));
    rest.is_some_and(|rest| rest.starts_with([':', ';', '=']))
}

impl PutSender {
    fn parse(item: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let Value::Object(object) = item else {
            return Err(vec![FieldError { field: path.to_owned(), message: "must be an object".into() }]);
        };
        let mut fields = Fields::new(object, &format!("{path}."));
        fields.require("phoneNumberId");
        let phone_number_id = fields.parsed("phoneNumberId");
        let waba_id = fields.short_text("wabaId", 64).map(str::to_owned);
        let access_token = fields.parsed("accessToken");
        let app_secret = fields.parsed("appSecret");
        let verify_token = fields.parsed("verifyToken");
        for name in
            SECRETS.into_iter().filter(|name| object.get(*name).and_then(Value::as_str).is_some_and(is_reference))
        {
            fields.refuse(
                name,
                "must be the secret itself: env:NAME and file:PATH are read by `twotick` and its configuration only",
            );
        }
        let messages_per_second = fields.value("messagesPerSecond").and_then(|value| {
            let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok()).filter(|rate| *rate > 0);
            if rate.is_none() {
                fields.refuse("messagesPerSecond", "must be a whole number from 1");
            }
            rate
        });
        let previous_app_secret = match object.get("previousAppSecret") {
            Some(Value::Null) => fields.value("previousAppSecret").is_none().then_some(None),
            Some(_) | None => fields.parsed("previousAppSecret").map(Some),
        };
        let errors = fields.finish();
        match phone_number_id {
            Some(phone_number_id) if errors.is_empty() => Ok(Self {
                phone_number_id,
                waba_id,
                access_token,
                app_secret,
                verify_token,
                messages_per_second,
                previous_app_secret,
            }),
            Some(_) | None => Err(errors),
        }
    }
}

impl Org {
    /// This organisation after `put`.
    pub fn apply(&self, put: &PutOrg, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut next = self.clone();
        let mut errors = Vec::new();
        next.senders = Vec::new();
        for (i, new) in put.senders.iter().enumerate() {
            let old = self.sender(&new.phone_number_id);
            let mut secret = |name: &str, given: &Option<Secret>, old: Option<&Secret>| {
                given.as_ref().or(old).cloned().unwrap_or_else(|| {
                    let field = format!("senders[{i}].{name}");
                    errors.push(FieldError { field, message: "is required for a new sender".into() });
                    Secret::default()
                })
            };
            let known = old.map(|old| old.no).or_else(|| self.retired_no(&new.phone_number_id));
            let sender = Sender {
                no: known.unwrap_or(SenderNo(next.next_sender)),
                phone_number_id: new.phone_number_id.clone(),
                waba_id: new.waba_id.clone().or_else(|| old.and_then(|old| old.waba_id.clone())),
                access_token: secret("accessToken", &new.access_token, old.map(|old| &old.access_token)),
                app_secret: secret("appSecret", &new.app_secret, old.map(|old| &old.app_secret)),
                verify_token: secret("verifyToken", &new.verify_token, old.map(|old| &old.verify_token)),
                messages_per_second: new.messages_per_second,
                paused: old.and_then(|old| old.paused_after(new)),
                previous_app_secret: match &new.previous_app_secret {
                    Some(given) => given.clone(),
                    None => old.and_then(|old| old.previous_app_secret.clone()),
                },
            };
            if known.is_none() {
                next.next_sender = next.next_sender.saturating_add(1);
            }
            next.retired.retain(|(id, _)| *id != sender.phone_number_id);
            next.senders.push(sender);
        }
        for old in &self.senders {
            if next.sender(&old.phone_number_id).is_none() {
                next.retired.push((old.phone_number_id.clone(), old.no));
            }
        }
        if let Some(name) = &put.name {
            next.name.clone_from(name);
        }
        next.consent = put.consent.unwrap_or(self.consent);
        next.retention = put.retention.unwrap_or(self.retention);
        next.quotas = put.quotas.unwrap_or(self.quotas);
        match self.words.apply(&put.words) {
            Ok(words) => next.words = words,
            Err(error) => errors.push(error),
        }
        next.updated_at = now;
        if errors.is_empty() { Ok(next) } else { Err(errors) }
    }

    fn retired_no(&self, id: &PhoneNumberId) -> Option<SenderNo> {
        self.retired.iter().find(|(retired, _)| retired == id).map(|(_, no)| *no)
    }
}

impl Sender {
    /// A new token is a repair: a sender that Meta's refusals paused may try again.
    fn paused_after(&self, put: &PutSender) -> Option<Pause> {
        let is_new = put.access_token.as_ref().is_some_and(|token| *token != self.access_token);
        self.paused.clone().filter(|pause| pause.by == PausedBy::Operator || !is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OrgNo;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1);

    fn put(body: Value) -> PutOrg {
        PutOrg::parse(body.as_object().unwrap()).unwrap()
    }

    fn acme() -> Org {
        Org::new("acme".parse().unwrap(), OrgNo(1), NOW)
    }

    #[test]
    fn a_sender_put_again_keeps_its_number_and_the_secrets_it_has() {
        let full = put(json!({"name": "Acme", "senders": [
            {"phoneNumberId": "1", "accessToken": "t", "appSecret": "s", "verifyToken": "v"}]}));
        let first = acme().apply(&full, NOW).unwrap();
        let second =
            first.apply(&put(json!({"senders": [{"phoneNumberId": "1", "accessToken": "new"}]})), NOW).unwrap();
        assert_eq!(second.name, "Acme");
        let sender = &second.senders[0];
        assert_eq!((sender.no, sender.access_token.expose(), sender.app_secret.expose()), (SenderNo(1), "new", "s"));
    }

    #[test]
    fn a_new_sender_without_secrets_is_refused_by_field() {
        let errors = acme().apply(&put(json!({"senders": [{"phoneNumberId": "1"}]})), NOW).unwrap_err();
        let fields: Vec<_> = errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["senders[0].accessToken", "senders[0].appSecret", "senders[0].verifyToken"]);
    }

    #[test]
    fn a_sender_number_is_never_given_twice() {
        let sender = |id: &str| json!({"phoneNumberId": id, "accessToken": "t", "appSecret": "s", "verifyToken": "v"});
        let one = acme().apply(&put(json!({"senders": [sender("1")]})), NOW).unwrap();
        let none = one.apply(&put(json!({"senders": []})), NOW).unwrap();
        let two = none.apply(&put(json!({"senders": [sender("2")]})), NOW).unwrap();
        assert_eq!(two.senders[0].no, SenderNo(2));
        let both = two.apply(&put(json!({"senders": [sender("2"), sender("1")]})), NOW).unwrap();
        assert_eq!(both.senders[1].no, SenderNo(1), "a number that comes back finds what waited for it");
        assert_eq!(both.retired, []);
    }

    #[test]
    fn a_previous_app_secret_stays_until_it_is_ended() {
        let sender = |previous: Value| {
            let mut sender = json!({"phoneNumberId": "1", "accessToken": "t", "appSecret": "s", "verifyToken": "v"});
            if previous != json!("kept") {
                sender["previousAppSecret"] = previous;
            }
            put(json!({"senders": [sender]}))
        };
        let secrets = |org: &Org| org.senders[0].app_secrets().map(|s| s.expose().to_owned()).collect::<Vec<_>>();
        let both = acme().apply(&sender(json!("old")), NOW).unwrap();
        assert_eq!(secrets(&both), ["s", "old"]);
        let kept = both.apply(&sender(json!("kept")), NOW).unwrap();
        assert_eq!(secrets(&kept), ["s", "old"]);
        let ended = kept.apply(&sender(Value::Null), NOW).unwrap();
        assert_eq!(secrets(&ended), ["s"]);
    }
}
