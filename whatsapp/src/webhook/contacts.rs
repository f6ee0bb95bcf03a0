//! The `contacts` of a change: what else the people in it are called.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::inbound::{number, user_id};
use super::{object, whole};

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    parent_user_id: Option<&'a RawValue>,
}

/// The contacts of one change, found by each of their names.
#[derive(Default)]
pub(super) struct Contacts {
    all: Vec<Vec<String>>,
    places: HashMap<String, usize>,
}

impl Contacts {
    pub(super) fn read(list: &RawValue) -> Self {
        let mut contacts = Self::default();
        let items: Vec<&RawValue> = whole(list).unwrap_or_default();
        for item in items.into_iter().filter_map(|item| object::<Item<'_>>(item.get())) {
            let names = names(item.wa_id, [item.user_id, item.parent_user_id]);
            // One name tells nothing that the item about them does not.
            if names.len() > 1 {
                let place = contacts.all.len();
                contacts.places.extend(names.iter().map(|name| (name.clone(), place)));
                contacts.all.push(names);
            }
        }
        contacts
    }

    /// `names` of one person with what else their contact tells of them.
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

/// What somebody is called: by a phone number without its '+', and by ids.
pub(super) fn names<const N: usize>(digits: Option<&RawValue>, ids: [Option<&RawValue>; N]) -> Vec<String> {
    let digits = digits.and_then(number).map(|number| number.as_str().to_owned());
    digits.into_iter().chain(ids.into_iter().flatten().filter_map(user_id)).collect()
}
