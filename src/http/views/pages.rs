//! Pages of what clients and recipients wrote. They are not written by way of [`Value`], which would lose digits of numbers.

use serde::Serialize;
use serde_json::Value;

use super::{Carrying, MessageView};

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// One page of a list with numbered pages.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Numbered<T> {
    pub(crate) content: Vec<T>,
    pub(crate) page: usize,
    pub(crate) size: usize,
    pub(crate) total_elements: u64,
    pub(crate) total_pages: u64,
}

/// A message with all that is held of it.
#[derive(Serialize)]
pub(crate) struct Whole<'a> {
    pub(crate) message: MessageView<'a>,
    pub(crate) attempts: &'a [Carrying],
    pub(crate) timeline: &'a [Value],
}

/// What is known of a recipient's consent, with what they said.
#[derive(Serialize)]
pub(crate) struct ConsentHistory {
    #[serde(flatten)]
    pub(crate) known: Value,
    pub(crate) history: Vec<Carrying>,
}

/// One page of what is held of a person.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Export<'a> {
    pub(crate) names: Vec<String>,
    pub(crate) former_names: Vec<Value>,
    pub(crate) consents: Vec<ConsentHistory>,
    pub(crate) parked_receipts: Vec<Value>,
    pub(crate) messages: Vec<Whole<'a>>,
    pub(crate) inbound_messages: Vec<Carrying>,
    pub(crate) next_cursor: Option<String>,
}
