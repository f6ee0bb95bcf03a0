//! Mends JSON that strict parsers refuse because of a single byte. Meta cuts texts at a length, which can leave half an
//! emoji, such as `\ud83d`. Gateways may put a byte order mark in front, or write strings by hand, with raw line breaks
//! or `\x41`.

use std::borrow::Cow;

/// Replaces half a character, and is as long as that.
const REPLACEMENT: &str = r"\ufffd";

/// The mark that some put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Something in a string that JSON does not allow.
enum Fault {
    /// Half a character, escaped.
    Half,
    /// A backslash that escapes nothing.
    Backslash,
    /// A control character that is not escaped.
    Control(u8),
}

impl Fault {
    /// How many bytes it takes.
    const fn extent(&self) -> usize {
        match self {
            Self::Half => REPLACEMENT.len(),
            Self::Backslash | Self::Control(_) => 1,
        }
    }

    /// Its replacement.
    fn mended(&self) -> Cow<'static, str> {
        match self {
            Self::Half => REPLACEMENT.into(),
            Self::Backslash => r"\\".into(),
            Self::Control(byte) => format!(r"\u{byte:04x}").into(),
        }
    }
}

/// The same JSON as valid UTF-8 and without a byte order mark. Half characters become U+FFFD, and everything is escaped
/// that must be.
pub fn mend(json: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json));
    let faults = faults(text.as_bytes());
    if faults.is_empty() {
        return text;
    }
    let (mut mended, mut from) = (String::with_capacity(text.len() + faults.len()), 0);
    for (at, fault) in faults {
        mended.push_str(text.get(from..at).unwrap_or_default());
        mended.push_str(&fault.mended());
        from = at + fault.extent();
    }
    mended.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(mended)
}

/// What is wrong in strings, and where.
fn faults(json: &[u8]) -> Vec<(usize, Fault)> {
    let (mut faults, mut at, mut is_in_text) = (Vec::new(), 0, false);
    while let Some(byte) = json.get(at) {
        let (length, fault) = match byte {
            b'\\' if is_in_text => escape(json, at),
            0..=0x1f if is_in_text => (1, Some(Fault::Control(*byte))),
            _ => (1, None),
        };
        is_in_text ^= *byte == b'"';
        faults.extend(fault.map(|fault| (at, fault)));
        at += length;
    }
    faults
}

/// The length of the escape that begins with this backslash, and what is wrong with it.
fn escape(json: &[u8], at: usize) -> (usize, Option<Fault>) {
    let length = REPLACEMENT.len();
    let unit = match json.get(at + 1) {
        Some(b'u') => escaped_unit(json, at),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return (2, None),
        Some(_) | None => None,
    };
    match unit {
        Some(0xd800..=0xdbff) => match escaped_unit(json, at + length) {
            Some(0xdc00..=0xdfff) => (2 * length, None),
            Some(_) | None => (length, Some(Fault::Half)),
        },
        Some(0xdc00..=0xdfff) => (length, Some(Fault::Half)),
        Some(_) => (length, None),
        None => (1, Some(Fault::Backslash)),
    }
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
            (r#""\ud83"#, r#""\\ud83"#),
            (r#""\u+d83""#, r#""\\u+d83""#),
            ("\\", "\\"),
            ("\"ü\\ud83dü\"", "\"ü\\ufffdü\""),
        ] {
            assert_eq!(mend(given.as_bytes()), mended, "{given}");
        }
        assert_eq!(mend(b"\"a\xf0\x9f\""), "\"a\u{fffd}\"");
    }

    #[test]
    fn what_must_be_escaped_within_a_text_is_and_what_stands_around_texts_stays() {
        for (given, mended) in [
            ("\u{feff}{\"a\":1}", "{\"a\":1}"),
            ("\u{feff}\u{feff}1", "\u{feff}1"),
            ("{\n\t\"a\": \"b\nc\t\0\"\r\n}", "{\n\t\"a\": \"b\\u000ac\\u0009\\u0000\"\r\n}"),
            (r#""\x41\'""#, r#""\\x41\\'""#),
            (r#""\"\x\"""#, r#""\"\\x\"""#),
            ("\"a\\\nb\"", r#""a\\\u000ab""#),
            ("\"\\ü\"", r#""\\ü""#),
            (r#""\ud83d\x""#, r#""\ufffd\\x""#),
            (r#"\x "a""#, r#"\x "a""#),
        ] {
            assert_eq!(mend(given.as_bytes()), mended, "{given}");
            assert_eq!(mend(mended.as_bytes()), mended.trim_start_matches('\u{feff}'), "{given}");
        }
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
