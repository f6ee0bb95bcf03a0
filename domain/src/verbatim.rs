//! JSON as it was written: a program that parses numbers and writes them again may lose digits.

use std::collections::BTreeMap;

use serde_json::Number;
use serde_json::value::RawValue;

/// The text of one member of an object. Of several members with one name it is the last, as in every parser here.
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    members.get(name).map(|value| value.get())
}

/// The same text on one line, without blanks between its tokens.
pub fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    for piece in pieces(json) {
        match piece {
            Piece::String(text) => compact.push_str(text),
            Piece::Between(text) => compact.extend(text.split_ascii_whitespace()),
        }
    }
    compact
}

/// The numbers that would change if they were parsed and written again, sorted.
pub(crate) fn odd_numbers(json: &str) -> Vec<&str> {
    let is_odd = |text: &&str| match serde_json::from_str::<Number>(text) {
        Ok(number) => number.to_string() != *text,
        Err(_) => false,
    };
    let mut odd: Vec<_> = pieces(json)
        .filter_map(|piece| match piece {
            Piece::Between(text) => Some(text),
            Piece::String(_) => None,
        })
        .flat_map(|text| text.split(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')))
        .filter(is_odd)
        .collect();
    odd.sort_unstable();
    odd
}

enum Piece<'a> {
    /// A string with its quotes.
    String(&'a str),
    /// The text between two strings.
    Between(&'a str),
}

fn pieces(mut rest: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        let is_string = rest.starts_with('"');
        let end = if is_string { end_of_string(rest) } else { rest.find('"') };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(if is_string { Piece::String(piece) } else { Piece::Between(piece) })
    })
}

/// The position after the quote that ends the string at the beginning of `text`.
fn end_of_string(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let last = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    last.map(|last| last + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_blanks_between_tokens_go() {
        for (json, short) in [
            (" { \"a b\" :\n[ 1 ,\t2.50 , true ] } ", r#"{"a b":[1,2.50,true]}"#),
            (r#"{"a":"x \" y", "b":"\\", "c" : "\\\" "}"#, r#"{"a":"x \" y","b":"\\","c":"\\\" "}"#),
            ("{\"ä \u{2028}\" : \"\u{a0} \"}", "{\"ä \u{2028}\":\"\u{a0} \"}"),
            ("", ""),
        ] {
            assert_eq!(compact(json), short);
        }
    }

    #[test]
    fn a_member_is_found_by_its_name_however_that_is_spelt_and_the_last_of_two_counts() {
        assert_eq!(member(r#"{"a": 1.0, "b": {"a": 2}}"#, "a"), Some("1.0"));
        assert_eq!(member(r#"{"\u0061": 1, "a": 3}"#, "a"), Some("3"));
        assert_eq!(member("{}", "a"), None);
    }

    #[test]
    fn numbers_that_change_when_they_are_read_are_found_outside_of_strings() {
        let json = r#"{"a":[106.81666600000001,1,-2.5,1.0,1e2,true,null],"18446744073709551616":18446744073709551616,"s":"1e3"}"#;
        assert_eq!(odd_numbers(json), ["106.81666600000001", "18446744073709551616", "1e2"]);
    }
}
