//! JSON that others wrote, shown digit by digit as it came.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// An object with one member that somebody else wrote.
pub(crate) struct Carrying {
    view: Value,
    name: &'static str,
    json: Option<Box<RawValue>>,
}

impl Carrying {
    /// `view` is an object. What is not JSON is carried as a string.
    pub(super) fn new(view: Value, name: &'static str, json: Option<&[u8]>) -> Self {
        // Meta may cut a text within a character, which not every parser takes.
        let raw = |json: &[u8]| {
            let mended = whatsapp::mend(json).into_owned();
            RawValue::from_string(mended).or_else(|_| to_raw_value(&String::from_utf8_lossy(json))).ok()
        };
        Self { view, name, json: json.and_then(raw) }
    }
}

impl Serialize for Carrying {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.view.as_object().into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(self.name, &self.json)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_keeps_its_digits_and_what_is_no_json_is_a_string() {
        for (came, shown) in [
            (
                r#"{"a": 106.81666600000001, "b": 18446744073709551616}"#,
                r#"{"a": 106.81666600000001, "b": 18446744073709551616}"#,
            ),
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            ("<html>", r#""<html>""#),
        ] {
            let carrying = Carrying::new(serde_json::json!({"id": 1}), "payloadJson", Some(came.as_bytes()));
            assert_eq!(serde_json::to_string(&carrying).unwrap(), format!(r#"{{"id":1,"payloadJson":{shown}}}"#));
        }
        let nothing = Carrying::new(serde_json::json!({}), "evidence", None);
        assert_eq!(serde_json::to_string(&nothing).unwrap(), r#"{"evidence":null}"#);
    }
}
