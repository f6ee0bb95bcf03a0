//! The names of people: their spellings, and a change's `contacts`, which give other names of the people in it.

use std::collections::HashMap;

use domain::message::{Recipient, is_user_id};
use serde_json::value::RawValue;

use crate::fields::{Fields, plain, whole};

/// Meta's ids of users are shorter; longer text is not one.
const USER_ID_MAX: usize = 200;

/// The contacts of one change, found by each of their names.
#[derive(Default)]
pub(super) struct Contacts {
    all: Vec<Vec<String>>,
    places: HashMap<String, usize>,
}

impl Contacts {
    pub(super) fn read(value: &Fields<'_>) -> Self {
        let mut contacts = Self::default();
        for item in value.list("contacts").unwrap_or_default().into_iter().filter_map(Fields::read) {
            let names = names(item.get("wa_id"), [item.get("user_id"), item.get("parent_user_id")]);
            let place = contacts.all.len();
            contacts.places.extend(names.iter().map(|name| (name.clone(), place)));
            contacts.all.push(names);
        }
        contacts
    }

    /// The names of the only contact: an item that names nobody is theirs.
    pub(super) fn only(&self) -> Vec<String> {
        match self.all.as_slice() {
            [names] => names.clone(),
            _ => Vec::new(),
        }
    }

    /// `names` of one person, completed with the other names of their contact.
    pub(super) fn complete(&self, mut names: Vec<String>) -> Vec<String> {
        let contact = names.iter().find_map(|name| self.all.get(*self.places.get(name)?));
        for name in contact.into_iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Somebody's names, each once: what is given as their phone number, and their ids.
pub(super) fn names<const N: usize>(number: Option<&RawValue>, ids: [Option<&RawValue>; N]) -> Vec<String> {
    let mut names: Vec<String> = number.and_then(number_or_id).into_iter().collect();
    for id in ids.into_iter().flatten().filter_map(user_id) {
        if !names.contains(&id) {
            names.push(id);
        }
    }
    names
}

/// A phone number with its '+', which Meta leaves out. For users who show no number Meta gives their id in its place.
pub(super) fn number_or_id(raw: &RawValue) -> Option<String> {
    number(plain(raw)).or_else(|| user_id(raw).filter(|id| is_user_id(id)))
}

/// A phone number of digits, with or without its '+'.
pub(crate) fn number(text: &str) -> Option<String> {
    let number = format!("+{}", text.trim_start_matches('+'));
    number.parse::<Recipient>().is_ok().then_some(number)
}

/// Meta's id of a user.
fn user_id(raw: &RawValue) -> Option<String> {
    let id: Option<String> = whole(raw);
    id.filter(|id| (1..=USER_ID_MAX).contains(&id.len()))
}
