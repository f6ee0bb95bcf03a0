//! The account behind the numbers: which tokens are good, what is connected and subscribed. All is, until it is told otherwise.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::checks::{self, code};
use crate::errors::Refusal;

/// What is wrong with the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Account {
    /// Access tokens that have expired or were revoked: every call with one is refused with 190.
    pub refused_tokens: Vec<String>,
    /// Phone number ids whose status is not CONNECTED.
    pub disconnected: Vec<String>,
    /// WhatsApp business accounts that no app is subscribed to.
    pub unsubscribed: Vec<String>,
}

impl Account {
    /// Refuses a call without a good token.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = checks::token(headers)?;
        if self.refused_tokens.iter().any(|refused| refused == token) {
            let details = "Error validating access token: the session has expired or was invalidated.";
            return Err(Refusal::new(code::BAD_TOKEN, details));
        }
        Ok(())
    }

    /// A phone number, with the fields asked for.
    pub(crate) fn number(&self, id: &str, fields: &str) -> Value {
        let status = if self.disconnected.iter().any(|gone| gone == id) { "DISCONNECTED" } else { "CONNECTED" };
        let all = [
            ("display_phone_number", "+1 555-000-1111"),
            ("verified_name", "Simulated Business"),
            ("quality_rating", "GREEN"),
            ("status", status),
        ];
        let asked = all.into_iter().filter(|(name, _)| fields.split(',').any(|field| field == *name));
        let mut number: Map<String, Value> = asked.map(|(name, value)| (name.into(), value.into())).collect();
        number.insert("id".into(), id.into());
        number.into()
    }

    /// The apps that are told of a WhatsApp business account.
    pub(crate) fn subscribed_apps(&self, id: &str) -> Value {
        if self.unsubscribed.iter().any(|gone| gone == id) {
            return json!({"data": []});
        }
        let app = json!({"id": "1", "name": "Simulated App", "link": "https://example.com"});
        json!({"data": [{"whatsapp_business_api_data": app}]})
    }
}
