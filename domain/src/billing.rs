//! What WhatsApp bills a template's messages as. WhatsApp decides that, not the sender, so it also decides which
//! consent they need.

use crate::gate::TemplateKey;
use crate::ids::Seq;
use crate::time::Timestamp;

/// What Meta calls a template's messages when it bills them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BilledAs {
    /// Advertising.
    Marketing,
    /// Part of the recipient's business with the organisation, or a code to sign in with.
    Transactional,
}

impl BilledAs {
    /// Reads Meta's word; `None` for a word that says nothing about a template, such as `service`.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase().replace('-', "_");
        match word.strip_prefix("group_").unwrap_or(&word) {
            "marketing" | "marketing_lite" => Some(Self::Marketing),
            "utility" | "authentication" | "authentication_international" => Some(Self::Transactional),
            _ => None,
        }
    }

    /// The category as clients know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "MARKETING",
            Self::Transactional => "TRANSACTIONAL",
        }
    }
}

/// What is known of one account's template. It is kept once the template was billed as marketing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billed {
    /// The WhatsApp business account, or the phone number if the account is unknown.
    pub account: String,
    /// The template's name.
    pub name: String,
    /// Its language's code.
    pub language: String,
    /// The category on the latest receipt.
    pub category: BilledAs,
    /// When Meta reported that, by its clock.
    pub at: Timestamp,
    /// The audit entry about it.
    pub record: Seq,
}

impl Billed {
    /// The template.
    pub fn template(&self) -> TemplateKey {
        TemplateKey { name: self.name.clone(), language: self.language.clone() }
    }
}

/// Whether a receipt of this time and category is news about a template: that it is billed as marketing, or no longer
/// is.
pub fn is_news(known: Option<&Billed>, category: BilledAs, at: Timestamp) -> bool {
    match known {
        None => category == BilledAs::Marketing,
        // Of two reports in one second the stricter counts.
        Some(known) if category == BilledAs::Marketing => known.category != category && at >= known.at,
        Some(known) => known.category != category && at > known.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BilledAs::{Marketing, Transactional};

    #[test]
    fn metas_words_are_read_and_others_say_nothing() {
        for (word, category) in [
            ("marketing", Some(Marketing)),
            ("MARKETING", Some(Marketing)),
            ("marketing_lite", Some(Marketing)),
            ("group_marketing", Some(Marketing)),
            ("authentication-international", Some(Transactional)),
            ("group_service", None),
            ("utility", Some(Transactional)),
            ("authentication", Some(Transactional)),
            ("service", None),
            ("referral_conversion", None),
            ("", None),
        ] {
            assert_eq!(BilledAs::parse(word), category, "{word}");
        }
    }

    #[test]
    fn the_latest_receipt_counts_and_only_marketing_is_news_at_first() {
        let known = |category, secs| Billed {
            account: "1".into(),
            name: "n".into(),
            language: "de".into(),
            category,
            at: Timestamp::from_secs(secs),
            record: 1,
        };
        for (known, category, secs, expected) in [
            (None, Marketing, 5, true),
            (None, Transactional, 5, false),
            (Some(known(Marketing, 5)), Marketing, 9, false),
            (Some(known(Marketing, 5)), Transactional, 5, false),
            (Some(known(Marketing, 5)), Transactional, 6, true),
            (Some(known(Transactional, 6)), Marketing, 5, false),
            (Some(known(Transactional, 6)), Marketing, 6, true),
        ] {
            assert_eq!(
                is_news(known.as_ref(), category, Timestamp::from_secs(secs)),
                expected,
                "{known:?} {category:?}"
            );
        }
    }
}
