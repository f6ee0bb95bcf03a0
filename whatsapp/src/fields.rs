//! Reads one of Meta's objects field by field, so that a bad field does not spoil the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object, each as raw JSON: no tree of values is built for what nobody asks for.
pub(crate) struct Fields<'a>(Vec<(Name<'a>, &'a RawValue)>);

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// `None` if it is not an object.
    pub(crate) fn read(json: &'a RawValue) -> Option<Self> {
        Self::parse(json.get())
    }

    /// The same from text without blanks around it. Serde alone would also accept an array as an object.
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        json.starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// A field that is present and not null. If it occurs twice the last counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(own, _)| own.0 == name)?;
        Some(*value).filter(|value| value.get() != "null")
    }

    /// A field that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        Self::read(self.get(name)?)
    }

    /// A field that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        whole(self.get(name)?)
    }

    /// The items of a list; empty if the field is absent; `None` if it is something else.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        self.get(name).map_or(Some(Vec::new()), whole)
    }

    /// The items of a list, or the single object in its place; empty for anything else.
    pub(crate) fn some(&self, name: &str) -> Vec<&'a RawValue> {
        match self.get(name) {
            Some(one) if one.get().starts_with('{') => vec![one],
            Some(list) => whole(list).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// All fields that are not null.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.0.as_ref(), *value)).filter(|(_, value)| value.get() != "null")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

/// Reads a value if all of it has the right type.
pub(crate) fn whole<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The plain text of a number, or of a string of characters that JSON never escapes: Meta writes times and ids both
/// ways.
pub(crate) fn plain(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}
