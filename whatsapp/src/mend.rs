//! JSON whose texts were cut within a character. Meta cuts texts at a length: half of an emoji then stands alone, as `\ud83d`, which strict
//! readers refuse, and with it all that stands around it.

use std::borrow::Cow;

/// What stands for a half that stands alone: as long as that is.
const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The same JSON with U+FFFD in place of each half of a character that stands alone, and of bytes that are not UTF-8.
pub fn mend(json: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(json);
    let lone = lone_halves(text.as_bytes());
    if lone.is_empty() {
        return text;
    }
    let mut bytes = text.into_owned().into_bytes();
    for at in lone {
        if let Some(half) = bytes.get_mut(at..at + REPLACEMENT.len()) {
            half.copy_from_slice(REPLACEMENT);
        }
    }
    Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
}

/// Where the escapes of halves begin that have no other half beside them.
fn lone_halves(json: &[u8]) -> Vec<usize> {
    let (mut lone, mut from) = (Vec::new(), 0);
    while let Some(step) = json.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let at = from + step;
        let unit = escaped_unit(json, at);
        from = at + if unit.is_some() { REPLACEMENT.len() } else { 2 };
        match unit {
            Some(0xd800..=0xdbff) => match escaped_unit(json, from) {
                Some(0xdc00..=0xdfff) => from += REPLACEMENT.len(),
                Some(_) | None => lone.push(at),
            },
            Some(0xdc00..=0xdfff) => lone.push(at),
            Some(_) | None => {}
        }
    }
    lone
}

/// The UTF-16 unit of an escape such as `\ud83d`.
fn escaped_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + REPLACEMENT.len())?.strip_prefix(br"\u")?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn only_halves_that_stand_alone_are_replaced() {
        for (given, mended) in [
            (r#""caf\ud83d""#, r#""caf\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\uD83D\uDE00\ude00""#, r#""\uD83D\uDE00\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#"{"\ud83d":1}"#, r#"{"\ufffd":1}"#),
            (r#""\ud83"#, r#""\ud83"#),
            (r#""\u+d83""#, r#""\u+d83""#),
            ("\\", "\\"),
            ("\"ü\\ud83dü\"", "\"ü\\ufffdü\""),
        ] {
            assert_eq!(mend(given.as_bytes()), mended, "{given}");
        }
        assert_eq!(mend(b"\"a\xf0\x9f\""), "\"a\u{fffd}\"");
    }

    #[test]
    fn what_is_whole_is_not_copied() {
        assert!(matches!(mend(r#"{"a":"\u00e4 \ud83d\ude00 ü"}"#.as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn many_halves_cost_no_more_than_they_are_long() {
        let many = format!("\"{}\"", r"\ud83d".repeat(500_000));
        let text: Value = serde_json::from_str(&mend(many.as_bytes())).unwrap();
        assert_eq!(text.as_str().unwrap().chars().count(), 500_000);
    }
}
