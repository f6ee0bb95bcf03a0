//! A secret in the configuration: written out, or `env:NAME`, or `file:PATH`. Shows as `***`.

use std::fmt;
use std::path::Path;

use domain::org::Secret;
use serde::{Deserialize, Serialize, Serializer};

/// Guesses are slowed down, so this many are enough; the ones made here are of 32 random bytes.
const ADMIN_KEY_MIN: usize = 12;

/// Where a secret comes from.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(String);

impl SecretRef {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is written out, for all to see who see the configuration.
    pub fn is_literal(&self) -> bool {
        !self.is_empty() && !self.0.starts_with("env:") && !self.0.starts_with("file:")
    }

    /// The file that it is in, if so.
    pub fn file(&self) -> Option<&Path> {
        self.0.strip_prefix("file:").map(Path::new)
    }

    /// The secret itself, or why it is not to be had.
    pub fn resolve(&self) -> Result<String, String> {
        if is_typo(&self.0) {
            let reason = "looks like a misspelt env:NAME or file:PATH: write it so; or, if it is the secret itself, keep it in a \
                          file and name that";
            return Err(reason.into());
        }
        if let Some(name) = self.0.strip_prefix("env:") {
            std::env::var(name).map_err(|_| format!("environment variable {name} is not set"))
        } else if let Some(path) = self.0.strip_prefix("file:") {
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            Ok(text.trim_end().to_owned())
        } else {
            Ok(self.0.clone())
        }
    }
}

/// Whether a text was meant to say where a secret is, and does not quite: taken for the secret, it would be sent to Meta, and
/// nobody would see why that is refused.
fn is_typo(text: &str) -> bool {
    // A path, or what other programs read a file by.
    let is_path = |text: &str| ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    if is_path(text) || text.strip_prefix(['@', '<']).is_some_and(|rest| is_path(rest.trim_start())) {
        return true;
    }
    if let Some(inner) = text.strip_prefix(['"', '\'', '`', '<', '@']).filter(|inner| !inner.is_empty()) {
        let inner = inner.trim_end_matches(['"', '\'', '`']);
        return inner.starts_with("env:") || inner.starts_with("file:") || is_typo(inner);
    }
    let word_end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(word_end);
    let (word, mut rest) = (word.to_lowercase(), rest.chars());
    let Some(sign) = rest.next() else { return false };
    let what = rest.as_str();
    let is_known = matches!(word.as_str(), "env" | "file");
    if text.starts_with("env:") || text.starts_with("file:") {
        // A name with blanks at its ends is no name.
        return what.trim() != what || what.is_empty();
    }
    match sign {
        ':' | ';' | '=' => is_known || word.starts_with("env") || is_near(&word),
        '_' | '-' => is_known && what.starts_with(|c: char| c.is_ascii_uppercase() || c == '/'),
        '.' | ',' | ' ' | '/' | '\\' | '|' | '>' | '"' | '\'' => is_known,
        // What a shell should have put in, and did not.
        '$' | '%' => word.is_empty() && what.starts_with(|c: char| c.is_ascii_uppercase() || c == '{' || c == '('),
        _ => false,
    }
}

/// Whether a word is one slip of a finger away from `env` or `file`.
fn is_near(word: &str) -> bool {
    ["env", "file"].iter().any(|known| {
        let one_less = |long: &str, short: &str| {
            (0..long.len())
                .any(|at| long.chars().enumerate().filter(|(n, _)| *n != at).map(|(_, c)| c).eq(short.chars()))
        };
        let differ = || known.chars().zip(word.chars()).filter(|(a, b)| a != b).count();
        let sorted = |text: &str| {
            let mut letters: Vec<_> = text.chars().collect();
            letters.sort_unstable();
            letters
        };
        match word.len().cmp(&known.len()) {
            std::cmp::Ordering::Less => word.len() + 1 == known.len() && one_less(known, word),
            std::cmp::Ordering::Greater => word.len() == known.len() + 1 && one_less(word, known),
            std::cmp::Ordering::Equal => differ() == 1 || sorted(word) == sorted(known),
        }
    })
}

impl From<String> for SecretRef {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretRef {
    /// Where it comes from may be seen, what it is may not.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_literal() { "***" } else { &self.0 })
    }
}

/// A key as somebody chose it: it opens everything, so it must not be one that can be guessed.
pub(crate) fn parse_admin_key(text: &str) -> Result<Secret, String> {
    if text.chars().count() < ADMIN_KEY_MIN {
        return Err(format!(
            "must have at least {ADMIN_KEY_MIN} characters, such as `openssl rand -hex 32` makes; or leave it out, and one is made"
        ));
    }
    text.parse().map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_stand_in_a_file_and_loses_its_last_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        assert_eq!(SecretRef::from(format!("file:{}", file.path().display())).resolve().unwrap(), "hush");
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = SecretRef::from("env:TWOTICK_NO_SUCH_VARIABLE".to_owned()).resolve().unwrap_err();
        assert!(error.contains("TWOTICK_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn what_looks_like_a_misspelt_place_of_a_secret_is_not_taken_for_the_secret() {
        for text in [
            "env;NEWTOK",
            "env=TOK",
            "env TOK",
            "env.TOK",
            "env/TOK",
            "ENV:TOK",
            "Env:TOK",
            "evn:TOK",
            "en:TOK",
            "envv:TOK",
            "env: TOK",
            "env:TOK ",
            "env:",
            "environment:TOK",
            "file;/run/tok",
            "File:/run/tok",
            "flie:/run/tok",
            "fil:/x",
            "files:/run/tok",
            "file=/run/tok",
            "file /run/tok",
            "file:",
            "$TOK",
            "${TOK}",
            "$(cat tok)",
            "%TOK%",
        ] {
            let error = SecretRef::from(text.to_owned()).resolve().unwrap_err();
            assert!(error.contains("env:NAME or file:PATH") && !error.contains("TOK"), "{text}: {error}");
        }
        for text in [
            "EAAGm0PX4ZCpsBA",
            "env-prod",
            "file_server_1",
            "environs",
            "file",
            "a:b",
            "s3cret;x",
            "tt_4f",
            "$2y$10$abc",
        ] {
            assert_eq!(SecretRef::from(text.to_owned()).resolve().as_deref(), Ok(text));
        }
    }
}
