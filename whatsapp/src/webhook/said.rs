//! The words of a message's author, written, tapped or answered, wherever the item has them. They may be a stop or
//! start word.

use domain::consent::{END_OF_PROMOTIONS, ends_promotions};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fields::{Fields, plain, whole};
use crate::mend::mend;

/// Fields that do not hold the author's words: an advertisement, the message that is answered, a card, a place.
const OF_OTHERS: [&str; 9] =
    ["context", "referral", "contacts", "location", "system", "errors", "identity", "reaction", "payment"];
/// How deeply items may be nested: an edit contains the edited item.
const DEPTH_MAX: usize = 4;
/// Meta's name for a filled-in form.
const FORM: &str = "nfm_reply";
/// The most fields of a form.
const ANSWERS_MAX: usize = 200;

/// Something that somebody said.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    /// The words.
    pub text: String,
    /// Whether the words stand alone. Words below a picture, or in a form, can revoke consent but not grant it.
    pub is_said_alone: bool,
}

/// The words of the author of Meta's item. Words in a group are not addressed to the business.
pub fn said(item: &[u8]) -> Vec<Said> {
    let item = mend(item);
    let mut all = Vec::new();
    if let Some(item) = Fields::parse(item.trim_ascii())
        && !is_of_a_group(&item)
    {
        hear(&item, Place::Message, 0, &mut all);
    }
    all
}

/// Whether an item belongs to a group.
pub(super) fn is_of_a_group(item: &Fields<'_>) -> bool {
    item.get("group_id").is_some_and(|group| !plain(group).is_empty())
}

/// What an object within an item is, which says which of its fields are words.
#[derive(Clone, Copy)]
enum Place {
    /// A message: the item itself, or an edited one.
    Message,
    /// Something tapped or chosen, and everything within it.
    Interactive,
    /// Anything else.
    Other,
}

impl Place {
    /// What a field of that name is, within this.
    fn within(self, name: &str) -> Self {
        match (name, self) {
            ("message" | "messages", _) => Self::Message,
            ("interactive", _) | (_, Self::Interactive) => Self::Interactive,
            (_, Self::Message | Self::Other) => Self::Other,
        }
    }
}

/// What was tapped, and the business's id for it.
const TAPPED: [&str; 4] = ["id", "title", "payload", "text"];

/// Reads an item of any type, known or not.
fn hear(item: &Fields<'_>, place: Place, depth: usize, all: &mut Vec<Said>) {
    if depth > DEPTH_MAX {
        return;
    }
    for (name, part) in item.all().filter(|(name, _)| !OF_OTHERS.contains(name)) {
        if let ("text", Place::Message) = (name, place) {
            all.extend(whole(part).map(|text| Said { text, is_said_alone: true }));
        }
        let within = place.within(name);
        for part in objects(part) {
            note(name, within, &part, all);
            // What it contains: the kinds of `interactive`, or the message in an `edit`. A form has been read
            // completely.
            if name != FORM {
                hear(&part, within, depth + 1, all);
            }
        }
    }
}

/// The object in a field, or the objects in a list.
fn objects(part: &RawValue) -> Vec<Fields<'_>> {
    let listed = || {
        let items: Vec<&RawValue> = whole(part).unwrap_or_default();
        items.into_iter().filter_map(Fields::read).collect()
    };
    Fields::read(part).map_or_else(listed, |one| vec![one])
}

/// The words of one object.
fn note(name: &str, within: Place, part: &Fields<'_>, all: &mut Vec<Said>) {
    match (name, within) {
        ("button" | "button_reply", _) => {
            let label = words(part, &TAPPED, true);
            // Meta's own quick reply that ends marketing, in any language: it is passed on as the English label.
            let ends = label.iter().any(|said| ends_promotions(&said.text));
            all.extend(label);
            all.extend(ends.then(|| Said { text: END_OF_PROMOTIONS.to_owned(), is_said_alone: true }));
        }
        ("list_reply", _) => all.extend(words(part, &TAPPED, true)),
        // `body` is Meta's word for the whole form.
        (FORM, _) => all.extend(part.get("response_json").map(answers).unwrap_or_default()),
        ("text", _) => all.extend(words(part, &["body"], true)),
        (_, Place::Interactive) => {
            all.extend(words(part, &TAPPED, false));
            all.extend(words(part, &["body", "caption"], false));
        }
        // A message's text stands alone.
        (_, Place::Message) => all.extend(words(part, &["body", "caption"], false)),
        (_, Place::Other) => all.extend(words(part, &["body", "caption", "text"], false)),
    }
}

/// The texts in some fields of an object.
fn words(part: &Fields<'_>, fields: &[&str], is_said_alone: bool) -> Vec<Said> {
    let texts = fields.iter().filter_map(|field| part.text(field));
    texts.map(|text| Said { text, is_said_alone }).collect()
}

/// The texts that somebody entered or chose in a form, which is JSON in a string, or plain JSON.
fn answers(form: &RawValue) -> Vec<Said> {
    let written: Option<String> = whole(form);
    let form = mend(written.as_deref().unwrap_or_else(|| form.get()).as_bytes());
    let mut texts = Vec::new();
    collect_all(form.trim_ascii(), &mut texts);
    // Forms made in WhatsApp Manager put a number before each choice: `0_Stop`.
    let bare = |text: &String| {
        let (number, rest) = text.split_once('_')?;
        number.parse::<u32>().ok().map(|_| rest.to_owned())
    };
    let bared: Vec<String> = texts.iter().filter_map(bare).collect();
    texts.into_iter().chain(bared).map(|text| Said { text, is_said_alone: false }).collect()
}

/// The answers of a form, or of a list of forms.
fn collect_all(form: &str, texts: &mut Vec<String>) {
    if let Some(fields) = Fields::parse(form) {
        for (_, answer) in fields.all().filter(|(name, _)| *name != "flow_token") {
            collect(answer, texts);
        }
    } else if form.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(form).unwrap_or_default();
        for item in items {
            if item.get().starts_with('{') {
                collect_all(item.get(), texts);
            } else {
                collect(item, texts);
            }
        }
    }
}

fn collect(answer: &RawValue, texts: &mut Vec<String>) {
    // An answer nested more deeply than serde parses is not one.
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
