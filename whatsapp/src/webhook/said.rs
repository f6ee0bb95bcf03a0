//! What the author of a message said in so many words: wrote, tapped or answered, wherever in the item it stands. It may be a stop
//! or a start word.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::fields::{Fields, plain, whole};
use crate::mend::mend;

/// Fields of an item that are not its author's words: an advertisement, a message that is answered, a card, a place.
const OF_OTHERS: [&str; 9] =
    ["context", "referral", "contacts", "location", "system", "errors", "identity", "reaction", "payment"];
/// How deep an item may hold another, as an edited one does.
const DEPTH_MAX: usize = 4;
/// A form has fewer fields.
const ANSWERS_MAX: usize = 200;

/// Something that somebody said.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    /// The words.
    pub text: String,
    /// Whether they were said for themselves. What stands below a picture, or answers a question of a form, can revoke consent and
    /// not grant it.
    pub is_said_alone: bool,
}

/// What the author of Meta's item said. What is said in a group is not said to the business.
pub fn said(item: &[u8]) -> Vec<Said> {
    let item = mend(item);
    let mut all = Vec::new();
    if let Some(item) = Fields::parse(item.trim_ascii())
        && !is_of_a_group(&item)
    {
        hear(&item, 0, &mut all);
    }
    all
}

/// Whether an item belongs to a group.
pub(super) fn is_of_a_group(item: &Fields<'_>) -> bool {
    item.get("group_id").is_some_and(|group| !plain(group).is_empty())
}

/// Of whatever type the item is, or will be.
fn hear(item: &Fields<'_>, depth: usize, all: &mut Vec<Said>) {
    if depth > DEPTH_MAX {
        return;
    }
    for (name, part) in item.all().filter(|(name, _)| !OF_OTHERS.contains(name)) {
        let Some(part) = Fields::read(part) else { continue };
        let mut note = |words: &str, is_said_alone: bool| {
            all.extend(part.text(words).map(|text| Said { text, is_said_alone }));
        };
        match name {
            // An answer to a question: what was tapped, and what the business calls that.
            "button_reply" | "list_reply" => ["id", "title"].iter().for_each(|words| note(words, true)),
            "button" => ["payload", "text"].iter().for_each(|words| note(words, true)),
            // `body` is Meta's word for the whole form.
            "nfm_reply" => all.extend(part.text("response_json").map(|form| answers(&form)).unwrap_or_default()),
            "text" => note("body", true),
            _ => ["body", "caption", "text"].iter().for_each(|words| note(words, false)),
        }
        // One within it: the kinds of `interactive`, or the message that an `edit` tells.
        hear(&part, depth + 1, all);
    }
}

/// The texts that somebody entered or chose in a form.
fn answers(form: &str) -> Vec<Said> {
    let form = mend(form.as_bytes());
    let mut texts = Vec::new();
    if let Some(fields) = Fields::parse(form.trim_ascii()) {
        for (_, answer) in fields.all().filter(|(name, _)| *name != "flow_token") {
            collect(answer, &mut texts);
        }
    }
    // Forms made in WhatsApp Manager put a number before what was chosen: `0_Stop`.
    let bare = |text: &String| {
        let (number, rest) = text.split_once('_')?;
        number.parse::<u32>().ok().map(|_| rest.to_owned())
    };
    let bared: Vec<String> = texts.iter().filter_map(bare).collect();
    texts.into_iter().chain(bared).map(|text| Said { text, is_said_alone: false }).collect()
}

fn collect(answer: &RawValue, texts: &mut Vec<String>) {
    // One that is nested more deeply than serde goes is no answer.
    let mut left: Vec<Value> = whole(answer).into_iter().collect();
    while let Some(value) = left.pop()
        && texts.len() < ANSWERS_MAX
    {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
