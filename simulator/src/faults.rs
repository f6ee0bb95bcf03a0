//! The faults that can be injected, for whom and how often.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The faults that a simulator injects; none by default. In JSON `{"rules":[…]}`.
///
/// Rules belong to five families. In each family the first rule that applies to a request decides:
///
/// 1. `delay`: the answer comes late. Like Meta's, the message's receipts do not wait for it and may come first.
/// 2. `throttle`: requests above a rate per phone number id are refused; family 3 does not apply to them.
/// 3. `error`, `dropBefore`, `dropAfter`, `notJson`, `noEnvelope`: the caller gets this instead of the usual answer.
/// 4. `receiptError`: the message is accepted, and a receipt reports later that it failed.
/// 5. `receipts`: the receipts are late, doubled, shuffled, lost or incomplete.
///
/// A rule applies if its `to` and `phoneNumberId` match, its `count` is not used up and a random number falls within
/// its `share`; otherwise the next rule of its family is tried. Rules apply only to well-formed requests, and those of
/// families 4 and 5 only to accepted messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Faults {
    /// The rules, in the order in which they are tried.
    pub rules: Vec<Rule>,
}

/// One fault, whom it affects and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Only for this recipient, compared by its digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only for this sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// For this share of the requests, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// How often the rule applies before it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What goes wrong.
    pub fault: Fault,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// Meta's error envelope instead of success.
    Error {
        /// Meta's code.
        code: i64,
        /// Meta's `error_subcode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subcode: Option<i64>,
        /// The HTTP status; by default Meta's status for the code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        http_status: Option<u16>,
        /// Whether the message is accepted all the same.
        #[serde(default)]
        accept: bool,
    },
    /// The message is accepted, and a receipt reports `failed` later.
    ReceiptError {
        /// Meta's code.
        code: i64,
    },
    /// Requests above a rate are refused. Each phone number id has a token bucket that holds one second's worth.
    Throttle {
        /// How many requests pass in a second.
        per_second: f64,
        /// Meta's code.
        #[serde(default = "throughput_reached")]
        code: i64,
    },
    /// The answer comes late; the message is accepted without delay.
    Delay {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// The connection is closed without an answer, and the message is not accepted.
    DropBefore {},
    /// The connection is closed without an answer, but the message is accepted and its receipts come.
    DropAfter {},
    /// Status 200 with a page that is not JSON.
    NotJson {
        /// Whether the message is accepted all the same.
        #[serde(default)]
        accept: bool,
    },
    /// A server error without Meta's envelope.
    NoEnvelope {
        /// The HTTP status.
        #[serde(default = "internal_server_error")]
        status: u16,
        /// Whether the message is accepted all the same.
        #[serde(default)]
        accept: bool,
    },
    /// Something is wrong with the message's receipts.
    Receipts {
        /// How many milliseconds later than usual they come.
        #[serde(default)]
        late_ms: u64,
        /// Each comes twice.
        #[serde(default)]
        double: bool,
        /// They come in a wrong order.
        #[serde(default)]
        shuffle: bool,
        /// None comes.
        #[serde(default)]
        lose: bool,
        /// They come without `biz_opaque_callback_data`.
        #[serde(default)]
        no_opaque: bool,
        /// The last receipt that comes; with a `receiptError`, the last before `failed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up_to: Option<UpTo>,
    },
}

/// How far a message gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpTo {
    /// It was sent.
    Sent,
    /// It reached the recipient.
    Delivered,
    /// The recipient opened it.
    Read,
}

/// Why faults are invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct BadFaults(String);

const fn throughput_reached() -> i64 {
    130_429
}

const fn internal_server_error() -> u16 {
    500
}

impl Faults {
    /// Reads `{"rules":[…]}`.
    pub fn from_json(text: &[u8]) -> Result<Self, BadFaults> {
        serde_json::from_slice(text).map_err(|error| BadFaults(error.to_string()))
    }
}

impl Rule {
    /// A rule for every request.
    pub const fn new(fault: Fault) -> Self {
        Self { to: None, phone_number_id: None, share: None, count: None, fault }
    }

    /// Only for this recipient.
    #[must_use]
    pub fn to(self, to: &str) -> Self {
        Self { to: Some(to.to_owned()), ..self }
    }

    /// Only for this share of the requests.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { share: Some(share), ..self }
    }

    /// Only so many times.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("share must be from 0 to 1");
        }
        if self.to.as_ref().is_some_and(|to| !to.bytes().any(|b| b.is_ascii_digit())) {
            return Err("to must be a phone number such as +4915112345678");
        }
        let failing = |status: u16| (400..=599).contains(&status);
        match self.fault {
            Fault::Error { http_status: Some(status), .. } if !failing(status) => {
                Err("httpStatus must be from 400 to 599")
            }
            Fault::NoEnvelope { status, .. } if !failing(status) => Err("status must be from 400 to 599"),
            Fault::Throttle { per_second, .. } if !(per_second.is_finite() && per_second >= 0.0) => {
                Err("perSecond must not be negative")
            }
            Fault::Error { .. }
            | Fault::ReceiptError { .. }
            | Fault::Throttle { .. }
            | Fault::Delay { .. }
            | Fault::DropBefore {}
            | Fault::DropAfter {}
            | Fault::NotJson { .. }
            | Fault::NoEnvelope { .. }
            | Fault::Receipts { .. } => Ok(()),
        }
    }
}

/// Unvalidated faults. The rules are read one by one so that an error can name its rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    rules: Vec<Value>,
}

impl TryFrom<Unchecked> for Faults {
    type Error = BadFaults;

    fn try_from(unchecked: Unchecked) -> Result<Self, BadFaults> {
        let rule = |(i, value): (usize, Value)| {
            let bad = |why: &dyn std::fmt::Display| BadFaults(format!("rules[{i}]: {why}"));
            let rule: Rule = serde_json::from_value(value).map_err(|error| bad(&error))?;
            rule.check().map_err(|error| bad(&error))?;
            Ok(rule)
        };
        Ok(Self { rules: unchecked.rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        Faults::from_json(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_fault_is_read_and_written_back() {
        let text = r#"{"rules":[
            {"to":"+49151","fault":{"kind":"error","code":131026,"subcode":33,"httpStatus":400,"accept":true}},
            {"phoneNumberId":"1","share":0.05,"fault":{"kind":"receiptError","code":131026}},
            {"count":3,"fault":{"kind":"throttle","perSecond":20}},
            {"fault":{"kind":"delay","ms":1000}}, {"fault":{"kind":"dropBefore"}}, {"fault":{"kind":"dropAfter"}},
            {"fault":{"kind":"notJson","accept":true}}, {"fault":{"kind":"noEnvelope","status":502}},
            {"fault":{"kind":"receipts","lateMs":5,"double":true,"shuffle":true,"noOpaque":true,"upTo":"delivered"}}]}"#;
        let faults = Faults::from_json(text.as_bytes()).unwrap();
        assert_eq!(faults.rules.len(), 9);
        assert_eq!(faults.rules[2].fault, Fault::Throttle { per_second: 20.0, code: 130_429 });
        assert_eq!(faults.rules[7].fault, Fault::NoEnvelope { status: 502, accept: false });
        assert_eq!(Faults::from_json(&serde_json::to_vec(&faults).unwrap()).unwrap(), faults);
    }

    #[test]
    fn an_invalid_rule_is_reported_with_its_index() {
        for (text, says) in [
            ("[]", "invalid"),
            ("{}", "missing field `rules`"),
            (r#"{"rule":[]}"#, "unknown field `rule`"),
            (r#"{"rules":[{"fault":{"kind":"dropBefore"}},{"shaer":1}]}"#, "rules[1]: unknown field `shaer`"),
            (r#"{"rules":[{"share":0.5}]}"#, "rules[0]: missing field `fault`"),
            (r#"{"rules":[{"fault":{"kind":"explode"}}]}"#, "rules[0]: unknown variant `explode`"),
            (r#"{"rules":[{"fault":{"kind":"delay","sec":1}}]}"#, "rules[0]: unknown field `sec`"),
            (r#"{"rules":[{"fault":{"kind":"dropAfter","ms":1}}]}"#, "rules[0]: unknown field `ms`"),
            (r#"{"rules":[{"share":5,"fault":{"kind":"dropAfter"}}]}"#, "rules[0]: share must be from 0 to 1"),
            (r#"{"rules":[{"fault":{"kind":"noEnvelope","status":200}}]}"#, "rules[0]: status must be"),
            (r#"{"rules":[{"fault":{"kind":"throttle","perSecond":-1}}]}"#, "rules[0]: perSecond must not"),
        ] {
            assert!(complaint(text).contains(says), "{text}: {}", complaint(text));
        }
    }
}
