//! Reads a JSON object field by field, so that all bad fields are named at once.

use std::str::FromStr;

use serde_json::{Map, Value};

/// A field that was refused, and why. `field` is a path such as `senders[0].accessToken`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field in the request.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The most errors of a request that are named. Further ones are only counted.
pub const NAMED_MAX: usize = 100;

impl FieldError {
    /// An error that is only counted: a body with a hundred thousand bad fields must not get as many texts in answer.
    pub const fn unnamed() -> Self {
        Self { field: String::new(), message: String::new() }
    }
}

/// Takes the known fields out of a JSON object and collects what is wrong.
#[derive(Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Reads `object`; `prefix` precedes each field's name in errors (`""` at the top).
    pub fn new(object: &'a Map<String, Value>, prefix: &str) -> Self {
        Self { object, prefix: prefix.to_owned(), known: Vec::new(), errors: Vec::new() }
    }

    /// The field's value; `null` counts as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A string field, if present and a string.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.value(name)?;
        let text = value.as_str();
        if text.is_none() {
            self.refuse(name, "must be a string");
        }
        text
    }

    /// A string field of `1..=max` characters.
    pub fn short_text(&mut self, name: &'static str, max: usize) -> Option<&'a str> {
        let text = self.text(name)?;
        if (1..=max).contains(&text.chars().count()) {
            Some(text)
        } else {
            self.refuse(name, format!("must have 1 to {max} characters"));
            None
        }
    }

    /// A string field that `T` can be parsed from; `T`'s error is the message.
    pub fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &'static str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// A string field that must be one of the listed words.
    pub fn one_of<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, format!("must be one of {}", list.join(", ")));
        }
        found
    }

    /// Refuses the request if the field is missing.
    pub fn require(&mut self, name: &'static str) {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.refuse(name, "is required");
        }
    }

    /// Records that `name` is wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(match self.errors.len() {
            ..NAMED_MAX => FieldError { field: format!("{}{name}", self.prefix), message: message.into() },
            NAMED_MAX.. => FieldError::unnamed(),
        });
    }

    /// Takes over errors found by another reader.
    pub fn extend(&mut self, errors: impl IntoIterator<Item = FieldError>) {
        self.errors.extend(errors);
    }

    /// Everything that was wrong, unknown fields included.
    pub fn finish(mut self) -> Vec<FieldError> {
        let known = self.known.join(", ");
        for name in self.object.keys() {
            if !self.known.contains(&name.as_str()) {
                let is_named = self.errors.len() < NAMED_MAX;
                self.refuse(
                    name,
                    if is_named { format!("is not a known field; known are {known}") } else { String::new() },
                );
            }
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_asked_for_twice_is_named_once_where_another_is_not_known() {
        let object = serde_json::json!({"colour": 1});
        let mut fields = Fields::new(object.as_object().unwrap(), "");
        for name in ["name", "senders", "name"] {
            fields.value(name);
        }
        assert_eq!(fields.finish()[0].message, "is not a known field; known are name, senders");
    }
}
