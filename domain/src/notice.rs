//! What Meta reports about a sender that changes no message: errors of its account, and items that we do not
//! understand.

use std::fmt;

/// Meta's words are no longer than this and have no more digits than a version. Anything else may be a name or a
/// number.
const WORD_MAX: usize = 48;
const DIGITS_MAX: usize = 4;

/// Something that Meta reported about a sender. It holds nothing about a person, so it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// Meta's name for its list or field, such as `errors` or `statuses`.
    pub item: String,
    /// Meta's word for its status, type or event.
    pub word: Option<String>,
    /// Meta's code, if it is an error.
    pub code: Option<i64>,
}

impl Notice {
    /// An error that concerns no message.
    pub fn error(code: i64) -> Self {
        Self { item: "errors".to_owned(), word: None, code: Some(code) }
    }

    /// An item that we do not understand. Text that does not look like one of Meta's words is left out.
    pub fn unread(item: &str, word: Option<&str>) -> Self {
        let word = word.filter(|word| is_word(word)).map(str::to_owned);
        Self { item: if is_word(item) { item.to_owned() } else { "unknown".to_owned() }, word, code: None }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.item)?;
        match (&self.word, self.code) {
            (_, Some(code)) => write!(f, " {code}"),
            (Some(word), None) => write!(f, " {word}"),
            (None, None) => Ok(()),
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=WORD_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_word_of_meta_s_is_told() {
        for (word, told) in [
            ("deleted", "statuses deleted"),
            ("DISABLED_UPDATE", "statuses DISABLED_UPDATE"),
            ("x_20312", "statuses"),
            ("v24", "statuses v24"),
            ("4915112345678", "statuses"),
            ("Ada Lovelace", "statuses"),
            ("Grüße", "statuses"),
            ("", "statuses"),
        ] {
            assert_eq!(Notice::unread("statuses", Some(word)).to_string(), told);
        }
        assert_eq!(Notice::unread("4915112345678", None).to_string(), "unknown");
        assert_eq!(Notice::error(131_031).to_string(), "errors 131031");
    }
}
