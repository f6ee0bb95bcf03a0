//! What a receipt's `pricing` says about the message.

use std::borrow::Cow;

use domain::billing::BilledAs;
use serde::Deserialize;

#[derive(Deserialize)]
struct Pricing<'a> {
    #[serde(borrow)]
    category: Cow<'a, str>,
}

/// The category that Meta bills; `None` if it says nothing about the template. `pricing` is Meta's object, as JSON
/// text.
pub fn category(pricing: &[u8]) -> Option<BilledAs> {
    let pricing: Pricing<'_> = serde_json::from_slice(pricing).ok()?;
    BilledAs::parse(&pricing.category)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_is_read_whatever_else_is_there() {
        let full = br#"{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}"#;
        assert_eq!(category(full), Some(BilledAs::Marketing));
        for nothing in [&b"{}"[..], b"[]", b"null", br#"{"category":null}"#, br#"{"category":"service"}"#] {
            assert_eq!(category(nothing), None);
        }
    }
}
