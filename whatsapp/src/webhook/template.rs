//! Changes of templates.

use crate::fields::{Fields, plain};

/// A change of a template's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateUpdate {
    /// Meta's word for what happened, such as `APPROVED` or `PAUSED`.
    pub event: String,
    /// The template's name.
    pub name: String,
    /// Its language's code, as in a send: `en_US`.
    pub language: String,
}

impl TemplateUpdate {
    /// Whether the template can be used from now on. `None` leaves that to the next send: messages of a template that
    /// is gone for good must fail, not wait.
    pub fn is_usable(&self) -> Option<bool> {
        match self.event.as_str() {
            "APPROVED" | "REINSTATED" | "UNARCHIVED" => Some(true),
            "PAUSED" => Some(false),
            _ => None,
        }
    }
}

/// `None` if it lacks the event, the name or the language.
pub(super) fn read(value: &Fields<'_>) -> Option<TemplateUpdate> {
    Some(TemplateUpdate {
        event: plain(value.get("event")?).to_owned(),
        name: value.text("message_template_name")?,
        // Meta's examples have `en-US` where a send needs `en_US`.
        language: plain(value.get("message_template_language")?).replace('-', "_"),
    })
}
