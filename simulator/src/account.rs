//! The account behind the phone numbers: which tokens are valid, which numbers are connected and which accounts
//! subscribed. Everything is valid, connected and subscribed until a test says otherwise.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::checks;
use crate::errors::{Refusal, code};

/// What is wrong with the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Account {
    /// The WhatsApp business account that webhooks name. If absent, the one of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    /// Access tokens that have expired or were revoked: a call with one of them is refused with 190.
    pub refused_tokens: Vec<String>,
    /// Phone number ids whose status is not CONNECTED.
    pub disconnected: Vec<String>,
    /// WhatsApp business accounts that no app is subscribed to.
    pub unsubscribed: Vec<String>,
}

impl Account {
    /// Refuses a call without a valid token.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = checks::token(headers)?;
        if self.refused_tokens.iter().any(|refused| refused == token) {
            return Err(Refusal::new(code::BAD_TOKEN));
        }
        Ok(())
    }

    /// A phone number with the requested fields, or with those that Meta returns by default.
    pub(crate) fn number(&self, id: &str, fields: Option<&str>) -> Value {
        let status = if self.disconnected.iter().any(|listed| listed == id) { "DISCONNECTED" } else { "CONNECTED" };
        let all = [
            ("verified_name", json!("Simulated Business"), true),
            ("display_phone_number", json!("+1 555-000-1111"), true),
            ("quality_rating", json!("GREEN"), true),
            ("platform_type", json!("CLOUD_API"), true),
            ("throughput", json!({ "level": "STANDARD" }), true),
            ("code_verification_status", json!("VERIFIED"), true),
            ("status", json!(status), false),
        ];
        let requested = |name: &str, by_default: bool| {
            fields.map_or(by_default, |fields| fields.split(',').any(|field| field == name))
        };
        let shown = all.into_iter().filter(|(name, _, by_default)| requested(name, *by_default));
        let mut number: Map<String, Value> = shown.map(|(name, value, _)| (name.into(), value)).collect();
        number.insert("id".into(), id.into());
        number.into()
    }

    /// The apps that are subscribed to a WhatsApp business account.
    pub(crate) fn subscribed_apps(&self, id: &str) -> Value {
        if self.unsubscribed.iter().any(|listed| listed == id) {
            return json!({"data": []});
        }
        let app = json!({"id": "1", "name": "Simulated App", "link": "https://example.com"});
        json!({"data": [{"whatsapp_business_api_data": app}]})
    }
}
