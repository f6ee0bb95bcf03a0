//! Problems, as RFC 9457 has them.

use serde::{Deserialize, Serialize};

use crate::{BulkResult, Word};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:twotick:problem:` and the code in lower case, with hyphens.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the status means.
    pub title: Word,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// What programs tell problems apart by.
    pub code: Word,
    /// How far a call came that changes many messages.
    #[serde(flatten)]
    pub done: Option<BulkResult>,
    /// What is wrong with which field. Left out if none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// How many more fields are wrong. Left out if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_errors: Option<usize>,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Its path, such as `payloadJson.template.name`.
    pub field: String,
    /// What it must be.
    pub message: String,
}
