//! Stop and start words: what a recipient may write to revoke or grant consent, and the replies to them.

use serde_json::Value;

use super::defaults::{self, START, STOP};
use super::fold::fold;
use super::statement::{Choice, Covers};
use crate::fields::{FieldError, Fields};

const WORDS_MAX: usize = 500;
const WORD_CHARS_MAX: usize = 50;
/// The longest message that can be just a word, with everything that may surround it.
const WRITTEN_CHARS_MAX: usize = 4 * WORD_CHARS_MAX;
const REPLY_CHARS_MAX: usize = 1000;

/// A list of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WordList {
    /// The list that comes with twotick.
    #[default]
    Default,
    /// The organisation's own list.
    Own(Vec<String>),
}

/// An organisation's words and its replies to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Words that revoke.
    pub stop: WordList,
    /// Words that grant.
    pub start: WordList,
    /// The reply to a stop word.
    pub stop_reply: Option<String>,
    /// The reply to a start word.
    pub start_reply: Option<String>,
}

impl Words {
    /// What a recipient who writes exactly this chooses, and about which messages. A question grants nothing.
    pub fn choice(&self, written: &str) -> Option<(Choice, Covers)> {
        if written.chars().take(WRITTEN_CHARS_MAX + 1).count() > WRITTEN_CHARS_MAX {
            return None;
        }
        let folded = fold(written);
        if folded.is_empty() {
            return None;
        }
        let is_among = |words: &WordList, is_default: fn(&str) -> bool| match words {
            WordList::Default => is_default(&folded),
            WordList::Own(own) => own.iter().any(|word| fold(word) == folded),
        };
        if is_among(&self.stop, defaults::is_stop) {
            return Some((Choice::Revoked, Covers::Both));
        }
        // Meta's own quick reply always means this, whatever the organisation's words are.
        if defaults::ends_promotions(&folded) {
            return Some((Choice::Revoked, Covers::Marketing));
        }
        let is_question = written.contains(['?', '？', '؟']);
        (!is_question && is_among(&self.start, defaults::is_start)).then_some((Choice::Granted, Covers::Both))
    }

    fn revokes(&self, word: &str) -> bool {
        self.choice(word).is_some_and(|(choice, _)| choice == Choice::Revoked)
    }

    /// The words that revoke.
    pub fn stop(&self) -> Vec<&str> {
        list(&self.stop, STOP)
    }

    /// The words that grant.
    pub fn start(&self) -> Vec<&str> {
        list(&self.start, START)
    }

    /// The reply to a stop or start word, sent once a day; `None`: no reply.
    pub fn reply(&self, choice: Choice) -> Option<&str> {
        match choice {
            Choice::Revoked => self.stop_reply.as_deref(),
            Choice::Granted => self.start_reply.as_deref(),
        }
    }

    /// These words after `put`, or the field that is wrong.
    pub fn apply(&self, put: &PutWords) -> Result<Self, FieldError> {
        let reply = |put: &Option<String>, old: &Option<String>| match put {
            Some(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            None => old.clone(),
        };
        let next = Self {
            stop: put.stop.as_ref().unwrap_or(&self.stop).clone(),
            start: put.start.as_ref().unwrap_or(&self.start).clone(),
            stop_reply: reply(&put.stop_reply, &self.stop_reply),
            start_reply: reply(&put.start_reply, &self.start_reply),
        };
        let field = if put.start.is_some() { "startWords" } else { "stopWords" };
        match next.start().into_iter().find(|word| next.revokes(word)) {
            Some(word) => {
                let message = format!("{word:?} would be both a stop word and a start word");
                Err(FieldError { field: field.into(), message })
            }
            None => Ok(next),
        }
    }
}

fn list<'a>(words: &'a WordList, default: &[&'static str]) -> Vec<&'a str> {
    match words {
        WordList::Default => default.to_vec(),
        WordList::Own(own) => own.iter().map(String::as_str).collect(),
    }
}

/// A change of an organisation's words. `None` keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutWords {
    /// Words that revoke.
    pub stop: Option<WordList>,
    /// Words that grant.
    pub start: Option<WordList>,
    /// The reply to a stop word; empty for none.
    pub stop_reply: Option<String>,
    /// The reply to a start word; empty for none.
    pub start_reply: Option<String>,
}

impl PutWords {
    /// Reads the organisation's fields `stopWords`, `startWords`, `stopReply` and `startReply`.
    pub fn parse(fields: &mut Fields<'_>) -> Self {
        Self {
            stop: read_list(fields, "stopWords", STOP),
            start: read_list(fields, "startWords", START),
            stop_reply: read_reply(fields, "stopReply"),
            start_reply: read_reply(fields, "startReply"),
        }
    }
}

/// A list of words, or the word `default`. A list that equals the defaults, as they are shown, is the defaults.
fn read_list(fields: &mut Fields<'_>, name: &'static str, default: &[&str]) -> Option<WordList> {
    let items = match fields.value(name)? {
        Value::String(text) if text == "default" => return Some(WordList::Default),
        Value::Array(items) if items.len() <= WORDS_MAX => items,
        Value::Array(_) => {
            fields.refuse(name, format!("must have at most {WORDS_MAX} items"));
            return None;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            fields.refuse(name, "must be a list of words, or \"default\"");
            return None;
        }
    };
    let mut words = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let word = item.as_str().map(str::trim).filter(|word| word.chars().count() <= WORD_CHARS_MAX);
        // Nobody can write a word that has nothing visible.
        let word = word.filter(|word| !fold(word).is_empty());
        match word {
            Some(word) => words.push(word.to_owned()),
            None => {
                fields.refuse(
                    &format!("{name}[{i}]"),
                    format!("must be a text of 1 to {WORD_CHARS_MAX} visible characters"),
                );
            }
        }
    }
    Some(if words == default { WordList::Default } else { WordList::Own(words) })
}

fn read_reply(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = fields.text(name)?;
    if text.chars().count() > REPLY_CHARS_MAX {
        fields.refuse(name, format!("must have at most {REPLY_CHARS_MAX} characters; none: no reply"));
    }
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests;
