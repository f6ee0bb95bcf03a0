//! Looks at phone numbers and accounts without sending, for an operator who sets them up or finds that nothing is sent.

use domain::PhoneNumberId;
use domain::org::Secret;
use domain::outcome::ProviderError;
use reqwest::Url;
use reqwest::header::DATE;
use serde_json::Value;

use super::CloudApi;
use super::response::{BODY_MAX, root_cause};
use crate::envelope;
use crate::mend::mend;

/// A phone number as Meta sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// CONNECTED if it can send; `None` if Meta does not say.
    pub status: Option<String>,
    /// GREEN, YELLOW or RED; `None` if Meta does not say.
    pub quality: Option<String>,
}

/// Why the look failed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No answer.
    #[error("the Graph API cannot be reached: {0}")]
    Unreachable(String),
    /// Meta's error.
    #[error("Meta refused it with code {}: {}", .0.code, .0.message)]
    Refused(ProviderError),
    /// An answer that is not Meta's.
    #[error("HTTP {0} without what was asked for: is base_url the Graph API?")]
    Unreadable(u16),
}

impl CloudApi {
    /// Meta's time, as in the `Date` header of an answer; empty if the answer has none.
    pub async fn date(&self) -> Result<String, Trouble> {
        let answer = self.client.get(&self.prefix).timeout(self.request_timeout).send().await;
        let answer = answer.map_err(|error| Trouble::Unreachable(root_cause(&error)))?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.unwrap_or_default().to_owned())
    }

    /// A phone number, as far as this token may see it.
    pub async fn number(&self, id: &PhoneNumberId, token: &Secret) -> Result<Number, Trouble> {
        let found = self.look(&[id.as_str()], &[("fields", "id,status,quality_rating")], token).await?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Number { status: text("status"), quality: text("quality_rating") })
    }

    /// How many apps are subscribed to a WhatsApp business account. Without any, no receipt ever comes.
    pub async fn subscribed_apps(&self, waba_id: &str, token: &Secret) -> Result<usize, Trouble> {
        let found = self.look(&[waba_id, "subscribed_apps"], &[], token).await?;
        Ok(found.get("data").and_then(Value::as_array).map_or(0, Vec::len))
    }

    async fn look(&self, path: &[&str], query: &[(&str, &str)], token: &Secret) -> Result<Value, Trouble> {
        let unreachable = |error: reqwest::Error| Trouble::Unreachable(root_cause(&error));
        let mut url = Url::parse(&self.prefix).map_err(|error| Trouble::Unreachable(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        let call = self.client.get(url).bearer_auth(token.expose()).timeout(self.request_timeout);
        let mut response = call.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                break;
            }
        }
        let body: Value = serde_json::from_str(&mend(&body)).unwrap_or_default();
        match envelope::read_answer(&body, status.as_u16()) {
            Some(error) => Err(Trouble::Refused(error)),
            None if status.is_success() && body.is_object() => Ok(body),
            None => Err(Trouble::Unreadable(status.as_u16())),
        }
    }
}
