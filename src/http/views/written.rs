//! JSON that others wrote, kept digit by digit as it came.

use serde_json::value::{RawValue, to_raw_value};

/// What somebody wrote, as JSON. What is not JSON becomes a string.
pub(super) fn as_written(json: &[u8]) -> Option<Box<RawValue>> {
    // Meta may cut a text within a character, which not every parser takes.
    let mended = whatsapp::mend(json).into_owned();
    RawValue::from_string(mended).or_else(|_| to_raw_value(&String::from_utf8_lossy(json))).ok()
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
            assert_eq!(as_written(came.as_bytes()).unwrap().get(), shown);
        }
    }
}
