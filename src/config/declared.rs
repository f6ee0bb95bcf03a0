//! Organisations declared in the configuration file: the same as in the admin API, in snake_case.

use std::collections::HashMap;
use std::num::NonZeroU32;

use actors::{DECLARED, Directory, OrgChange};
use domain::audit::Hash;
use domain::consent::{PutWords, Words};
use domain::fields::{FieldError, Fields};
use domain::org::{ApiKey, ConsentPolicy, KeyScope, PutOrg, PutSender, Secret};
use domain::quota::Quotas;
use domain::retention::Retention;
use domain::{OrgId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::secret::SecretRef;

/// One `[[orgs]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is documented in config.toml")]
pub struct DeclaredOrg {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_words: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_words: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "DeclaredQuotas::is_empty")]
    pub quotas: DeclaredQuotas,
    #[serde(default)]
    pub api_keys: Vec<SecretRef>,
    #[serde(default)]
    pub senders: Vec<DeclaredSender>,
}

/// `[orgs.quotas]`; its keys are documented in `config.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredQuotas {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_day: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients_per_day: Option<NonZeroU32>,
}

impl DeclaredQuotas {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The file is the whole truth: what it does not name has ended.
    fn resolve(&self) -> Quotas {
        Quotas {
            messages_per_day: self.messages_per_day.map(NonZeroU32::get),
            max_queued: self.max_queued.map(NonZeroU32::get),
            recipients_per_day: self.recipients_per_day.map(NonZeroU32::get),
        }
    }
}

/// One `[[orgs.senders]]`; its keys are documented in `config.toml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSender {
    pub phone_number_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    pub access_token: SecretRef,
    pub app_secret: SecretRef,
    #[serde(default, skip_serializing_if = "SecretRef::is_empty")]
    pub previous_app_secret: SecretRef,
    pub verify_token: SecretRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<u32>,
}

impl DeclaredOrg {
    /// The organisation with its secrets, as a change to make at start; or what is wrong with it.
    pub fn resolve(&self) -> Result<(OrgId, OrgChange), String> {
        let id = self.id.parse().map_err(|error| format!("id {error}"))?;
        let consent = match self.consent.as_deref() {
            None => None,
            Some(word) => {
                let known = ConsentPolicy::WORDS.into_iter().find(|(known, _)| *known == word);
                Some(known.ok_or("consent must be one of default, required, off")?.1)
            }
        };
        let senders = self.senders.iter().map(DeclaredSender::resolve).collect::<Result<_, _>>()?;
        let keys = (1..).zip(&self.api_keys).map(|(n, key)| declared_key(n, key)).collect::<Result<_, _>>()?;
        let put = PutOrg {
            name: self.name.clone(),
            consent,
            words: self.words()?,
            retention: Some(self.retention()?),
            quotas: Some(self.quotas.resolve()),
            senders,
        };
        Ok((id, OrgChange::Declare(put, keys)))
    }

    /// The file is the whole truth: without the table all is kept.
    fn retention(&self) -> Result<Retention, String> {
        let Some(table) = &self.retention else { return Ok(Retention::default()) };
        let first = |errors: Vec<FieldError>| errors.into_iter().next();
        Retention::read(table, "retention.").map_err(|errors| {
            first(errors).map_or_else(String::new, |error| format!("{} {}", error.field, error.message))
        })
    }

    /// By the rules of the admin API.
    fn words(&self) -> Result<PutWords, String> {
        let given = [
            ("stopWords", json!(self.stop_words)),
            ("startWords", json!(self.start_words)),
            ("stopReply", json!(self.stop_reply)),
            ("startReply", json!(self.start_reply)),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let mut fields = Fields::new(&given, "");
        let put = PutWords::parse(&mut fields);
        let wrong = fields.finish().into_iter().next().or_else(|| Words::default().apply(&put).err());
        let in_snake_case = |field: &str| field.replace("Words", "_words").replace("Reply", "_reply");
        wrong.map_or(Ok(put), |error| Err(format!("{} {}", in_snake_case(&error.field), error.message)))
    }
}

impl DeclaredSender {
    fn resolve(&self) -> Result<PutSender, String> {
        let secret = |name: &str, from: &SecretRef| {
            let text = from.resolve().map_err(|error| format!("{name}: {error}"))?;
            text.parse::<Secret>().map(Some).map_err(|error| format!("{name} {error}"))
        };
        if self.messages_per_second == Some(0) {
            return Err("messages_per_second must be at least 1".into());
        }
        Ok(PutSender {
            phone_number_id: self.phone_number_id.parse().map_err(|error| format!("phone_number_id {error}"))?,
            waba_id: self.waba_id.clone(),
            access_token: secret("access_token", &self.access_token)?,
            app_secret: secret("app_secret", &self.app_secret)?,
            verify_token: secret("verify_token", &self.verify_token)?,
            messages_per_second: self.messages_per_second,
            // The file is the whole truth: what it does not name has ended.
            previous_app_secret: Some(match self.previous_app_secret.is_empty() {
                true => None,
                false => secret("previous_app_secret", &self.previous_app_secret)?,
            }),
        })
    }
}

/// Checks all declared organisations, and that they do not get in each other's way; which is wrong, and why.
pub(super) fn check(orgs: &[DeclaredOrg], admin_key: Option<&Hash>) -> Result<(), (usize, String)> {
    let (mut ids, mut numbers, mut keys) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (i, org) in orgs.iter().enumerate() {
        let wrong = |reason: String| (i, format!("({}): {reason}", org.id));
        let (id, change) = org.resolve().map_err(wrong)?;
        if let Some(other) = ids.insert(id, i) {
            return Err(wrong(format!("its id is that of orgs[{other}], too; declare each organisation once")));
        }
        let OrgChange::Declare(put, declared) = change else { continue };
        for sender in put.senders {
            let number = sender.phone_number_id;
            if let Some(other) = numbers.insert(number.clone(), i) {
                return Err(wrong(format!(
                    "phone_number_id {number} is declared twice, also in orgs[{other}]; a number is one organisation's"
                )));
            }
        }
        for (n, key) in declared.iter().enumerate() {
            if admin_key == Some(&key.hash) {
                return Err(wrong(format!("api_keys[{n}] is {IS_ADMIN_KEY}")));
            }
            if let Some(other) = keys.insert(key.hash, i) {
                return Err(wrong(format!(
                    "api_keys[{n}] is declared twice, also in orgs[{other}]; whose key it is would be unclear"
                )));
            }
        }
    }
    Ok(())
}

/// What is wrong with an organisation's key that opens everything.
pub(crate) const IS_ADMIN_KEY: &str =
    "the admin key, which opens every organisation: make another for it, such as `openssl rand -hex 32` does";

/// A declared key is as strong as its operator made it: a shorter one could be guessed.
const KEY_ADVISED: usize = 16;

fn declared_key(n: usize, key: &SecretRef) -> Result<ApiKey, String> {
    let text = key.resolve().map_err(|error| format!("api_keys[{}]: {error}", n - 1))?;
    if text.is_empty() {
        return Err(format!("api_keys[{}] must not be empty", n - 1));
    }
    if text.len() < KEY_ADVISED {
        tracing::warn!(key = n, "a declared API key has fewer than {KEY_ADVISED} characters: it could be guessed");
    }
    Ok(ApiKey {
        id: format!("{DECLARED}{n}"),
        name: format!("{DECLARED}{n}"),
        hash: Directory::hash(&text),
        scopes: KeyScope::ALL.to_vec(),
        // The same at every start, so that a declaration that did not change is not written again.
        created_at: Timestamp::EPOCH,
        expires_at: None,
    })
}
