//! What a check found so far, each with its field's path.

use serde_json::{Map, Value};

use crate::fields::FieldError;

/// The most warnings that are collected.
const WARNINGS_MAX: usize = 100;

/// What was found in a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What Meta certainly refuses.
    pub errors: Vec<FieldError>,
    /// What is unknown here and passed on: Meta decides.
    pub warnings: Vec<FieldError>,
}

impl Findings {
    pub(super) fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
    }

    pub(super) fn warn(&mut self, field: impl Into<String>, what: &str) {
        if self.warnings.len() < WARNINGS_MAX {
            let message = format!("is not a {what} that twotick knows; it is passed on for WhatsApp to decide");
            self.warnings.push(FieldError { field: field.into(), message });
        }
    }

    /// Warns about members that are not among the known ones.
    pub(super) fn warn_of_others(&mut self, object: &Map<String, Value>, path: &str, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.warn(format!("{path}.{name}"), "field");
        }
    }

    pub(super) fn text(
        &mut self,
        object: &Map<String, Value>,
        path: &str,
        name: &str,
        required: bool,
        max: Option<usize>,
    ) {
        let field = format!("{path}.{name}");
        match object.get(name) {
            None | Some(Value::Null) if !required => {}
            None | Some(Value::Null) => self.refuse(field, "is required"),
            Some(Value::String(text)) if text.is_empty() && required => self.refuse(field, "must not be empty"),
            Some(Value::String(text)) => {
                // Meta may count in UTF-16, which never gives less.
                let count = text.chars().count();
                if let Some(max) = max.filter(|max| count > *max) {
                    self.refuse(field, format!("has {count} characters; WhatsApp allows {max}"));
                }
            }
            Some(_) => self.refuse(field, "must be a string"),
        }
    }

    /// A required object.
    pub(super) fn object<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        path: &str,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        if matches!(object.get(name), None | Some(Value::Null)) {
            self.refuse(format!("{path}.{name}"), "is required");
        }
        self.object_if_any(object, path, name)
    }

    /// An optional object.
    pub(super) fn object_if_any<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        path: &str,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        let value = object.get(name).filter(|value| !value.is_null())?;
        if !value.is_object() {
            self.refuse(format!("{path}.{name}"), "must be an object");
        }
        value.as_object()
    }

    /// The objects of a required array, each with its path.
    pub(super) fn objects<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        path: &str,
        name: &str,
        max: Option<usize>,
    ) -> Vec<(String, &'a Map<String, Value>)> {
        let field = format!("{path}.{name}");
        match object.get(name) {
            Some(Value::Array(items)) if items.is_empty() => self.refuse(field, "must not be empty"),
            Some(Value::Array(items)) => match max.filter(|max| items.len() > *max) {
                Some(max) => self.refuse(field, format!("has {} items; WhatsApp allows {max}", items.len())),
                None => return self.each(items, &field),
            },
            None | Some(Value::Null) => self.refuse(field, "is required"),
            Some(_) => self.refuse(field, "must be an array"),
        }
        Vec::new()
    }

    /// The objects of an array, each with its path.
    pub(super) fn each<'a>(&mut self, items: &'a [Value], path: &str) -> Vec<(String, &'a Map<String, Value>)> {
        let mut objects = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let at = format!("{path}[{i}]");
            match item.as_object() {
                Some(object) => objects.push((at, object)),
                None => self.refuse(at, "must be an object"),
            }
        }
        objects
    }
}
