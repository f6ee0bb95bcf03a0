//! What `twotick org put` sets of an organisation besides its senders: each by its own argument, the rest stays as it is.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Args)]
pub(super) struct Settings {
    /// For people.
    #[arg(long)]
    name: Option<String>,
    /// How strictly it asks for consent: default, required or off.
    #[arg(long)]
    consent: Option<String>,
    /// Messages begun per day of UTC, a number from 1; those beyond wait. `none`: no limit.
    #[arg(long, value_parser = number)]
    messages_per_day: Option<Value>,
    /// Messages QUEUED at once, likewise; requests beyond are refused.
    #[arg(long, value_parser = number)]
    max_queued: Option<Value>,
    /// Different recipients within 24 hours who had not written themselves, likewise; messages to others wait.
    #[arg(long, value_parser = number)]
    recipients_per_day: Option<Value>,
    /// How long finished messages are kept, such as `180d` or `12h`. `none`: for ever.
    #[arg(long, value_parser = duration)]
    keep_messages: Option<Value>,
    /// How long is kept what they say, likewise; no longer than the messages.
    #[arg(long, value_parser = duration)]
    keep_payloads: Option<Value>,
    /// How long is kept what recipients write, likewise.
    #[arg(long, value_parser = duration)]
    keep_inbound: Option<Value>,
    /// How long the audit trail is kept, likewise.
    #[arg(long, value_parser = duration)]
    keep_audit: Option<Value>,
    /// What recipients write to revoke consent, with commas between: `"stop,no more"`. `default`: the built-in list; `""`: none.
    #[arg(long)]
    stop_words: Option<String>,
    /// What they write to grant it, likewise.
    #[arg(long)]
    start_words: Option<String>,
    /// What they are answered to a stop word, at most once a day. `""`: nothing.
    #[arg(long)]
    stop_reply: Option<String>,
    /// What they are answered to a start word, likewise.
    #[arg(long)]
    start_reply: Option<String>,
}

/// The service knows the rules; here only what is no number, or no duration, is told from `none`.
fn number(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        _ => text.parse::<u32>().map(Value::from).map_err(|_| "must be a whole number, or none".to_owned()),
    }
}

fn duration(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        _ => match humantime::parse_duration(text) {
            Ok(Duration::ZERO) | Err(_) => Err("must be a duration such as 90d or 12h, or none".to_owned()),
            Ok(_) => Ok(text.into()),
        },
    }
}

impl Settings {
    /// Adds what was given to `body`. Of quotas and retention the service takes all or nothing, so what is there is put again.
    pub(super) fn fill(&self, current: &Value, body: &mut Map<String, Value>) {
        let words = |given: &Option<String>| given.as_deref().map(list);
        let text = |given: &Option<String>| given.clone().map(Value::from);
        let whole = [
            ("name", text(&self.name)),
            ("consent", text(&self.consent)),
            ("stopWords", words(&self.stop_words)),
            ("startWords", words(&self.start_words)),
            ("stopReply", text(&self.stop_reply)),
            ("startReply", text(&self.start_reply)),
        ];
        body.extend(whole.into_iter().filter_map(|(name, given)| Some((name.to_owned(), given?))));
        let quotas = [
            ("messagesPerDay", &self.messages_per_day),
            ("maxQueued", &self.max_queued),
            ("recipientsPerDay", &self.recipients_per_day),
        ];
        let retention = [
            ("messages", &self.keep_messages),
            ("payloads", &self.keep_payloads),
            ("inbound", &self.keep_inbound),
            ("audit", &self.keep_audit),
        ];
        for (name, given) in [("quotas", quotas.as_slice()), ("retention", &retention)] {
            if given.iter().any(|(_, given)| given.is_some()) {
                let mut parts = current.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                parts.extend(given.iter().filter_map(|(part, given)| Some(((*part).to_owned(), (*given).clone()?))));
                body.insert(name.into(), parts.into());
            }
        }
    }
}

fn list(words: &str) -> Value {
    match words {
        "default" => words.into(),
        // None at all is a list, too.
        "" => json!([]),
        _ => words.split(',').map(str::trim).collect(),
    }
}
