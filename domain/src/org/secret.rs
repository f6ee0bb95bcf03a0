//! Texts that must stay secret: access tokens, app secrets, verify tokens, keys.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroize;

const SECRET_MAX: usize = 4096;

/// One of a sender's secrets. The numbers are stored on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SecretField {
    /// [`super::Sender::access_token`].
    AccessToken = 1,
    /// [`super::Sender::app_secret`].
    AppSecret = 2,
    /// [`super::Sender::verify_token`].
    VerifyToken = 3,
    /// [`super::Sender::previous_app_secret`].
    PreviousAppSecret = 4,
}

/// A secret text. `Debug` hides it; only [`Secret::expose`] shows it. Its memory is wiped on drop.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that must use it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// From a record, where it is empty if the text is encrypted elsewhere.
    pub const fn from_record(text: String) -> Self {
        Self(text)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if printable && (1..=SECRET_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 4096 printable ASCII characters without blanks")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let secret: Secret = "EAAG-token".parse().unwrap();
        assert!(!format!("{secret:?}").contains("EAAG"));
    }
}
