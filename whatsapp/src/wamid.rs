//! What Meta's id of a message says about a person: it is base64 and contains the digits of the other party's number.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use domain::people::Former;
use domain::receipt::Reported;
use domain::{ProviderId, spelling};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The fewest digits of a phone number.
const DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 15;

/// Whether a receipt is about a message to the person with these names: canonical spellings of phone numbers, and
/// Meta's ids of users. A former name counts until they gave it up.
pub fn concerns(reported: &Reported, names: &[String], former: &[Former]) -> bool {
    let is_told = |name: &String| reported.names.iter().any(|told| spelling::canonical(told) == name.as_str());
    let embeds = |name: &String| spelling::all(name).iter().any(|name| embeds(&reported.receipt.provider_id, name));
    let was_theirs = former.iter().filter(|former| reported.receipt.at <= former.until).map(|former| &former.name);
    names.iter().chain(was_theirs).any(|name| is_told(name) || embeds(name))
}

/// Numbers in an id that may be the other party's.
pub fn numbers(id: &ProviderId) -> Vec<String> {
    let Some(bytes) = id.as_str().strip_prefix("wamid.").and_then(|coded| BASE64.decode(coded).ok()) else {
        return Vec::new();
    };
    let runs = bytes.split(|byte| !byte.is_ascii_digit()).filter(|run| (DIGITS_MIN..=DIGITS_MAX).contains(&run.len()));
    runs.map(|digits| format!("+{}", String::from_utf8_lossy(digits))).collect()
}

/// Whether an id belongs to a message from or to a person of this name: a phone number, or Meta's id of a user.
fn embeds(id: &ProviderId, name: &str) -> bool {
    let name = name.trim_start_matches('+').as_bytes();
    let Some(coded) = id.as_str().strip_prefix("wamid.").filter(|_| !name.is_empty()) else { return false };
    BASE64.decode(coded).is_ok_and(|bytes| bytes.windows(name.len()).any(|part| part == name))
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::receipt::{Receipt, ReceiptKind};

    use super::*;

    #[test]
    fn an_id_names_the_other_party() {
        // Formed like the samples in Meta's documentation.
        let id = ProviderId::new("wamid.HBgLMTY0NjcwNDM1OTUVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkEA");
        assert!(embeds(&id, "+16467043595"));
        assert!(!embeds(&id, "+16467043596"));
        assert!(numbers(&id).contains(&"+16467043595".to_owned()), "{:?}", numbers(&id));
        for other in ["", "wamid.", "wamid.!", "gBGGFlA5FpafAgkOuJbRq54qwbM"] {
            assert!(!embeds(&ProviderId::new(other), "+16467043595"), "{other}");
        }
    }

    #[test]
    fn a_name_that_somebody_gave_up_is_theirs_until_then() {
        let receipt = |secs, id: &str| Receipt {
            provider_id: ProviderId::new(id),
            attempt: None,
            kind: ReceiptKind::Delivered,
            at: Timestamp::from_secs(secs),
            error: None,
            pricing: None,
        };
        let told = |secs| Reported { receipt: receipt(secs, "wamid.x"), names: vec!["+16467043595".into()] };
        let embedded = |secs| Reported {
            receipt: receipt(secs, "wamid.HBgLMTY0NjcwNDM1OTUVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkEA"),
            names: Vec::new(),
        };
        let former = [Former { name: "+16467043595".into(), until: Timestamp::from_secs(5) }];
        for (secs, is_theirs) in [(5, true), (6, false)] {
            for reported in [told(secs), embedded(secs)] {
                assert_eq!(concerns(&reported, &["US.1".into()], &former), is_theirs);
            }
        }
    }
}
