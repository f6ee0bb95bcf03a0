//! A secret in the configuration: written out, or `env:NAME`, or `file:PATH`. Shows as `***`.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

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
}
