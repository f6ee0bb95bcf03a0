//! The meaning of Meta's error codes in plain words, and what a person can do about them. Meta's own words are not
//! used: they may contain a phone number.

use domain::{OrgId, PhoneNumberId};

/// The meaning of a code that stops or slows down a sender.
pub const fn meaning(code: i64) -> &'static str {
    match code {
        0 | 102 | 104 | 190 => "the access token is missing, expired or revoked",
        3 | 101 => "the Meta app is unknown, or lacks a capability",
        5 => "the Meta app does not allow calls from this machine's address",
        10 | 200..=299 | 131005 => "the access token lacks a permission",
        12 | 2500 | 2635 => "the address or the version of the API is wrong",
        100 => {
            "the phone number id does not exist, the access token may not use it, or the app wants an appsecret_proof"
        }
        33 | 803 => "the phone number id does not exist, or the access token may not use it",
        131037 => "the number's display name is not approved",
        131045 | 133010 => "the number is not registered with the Cloud API",
        368 | 131031 => "the account is restricted or locked",
        131042 | 141006 => "the account has a payment problem",
        134011 | 134102 => "the account has terms to accept, or is not onboarded",
        141000..=141999 => "Meta's health check blocks the account",
        4 | 17 | 32 | 341 | 613 => "the Meta app has made as many calls as it may",
        80000..=80014 => "the account has made as many calls as it may",
        131048 => "the number is limited, since recipients blocked it or complained",
        131064 => "the account is limited, since templates are in a wrong category",
        130429 | 429 => "the number sends faster than Meta allows",
        131057 | 2494100 => "the number is in maintenance at Meta",
        _ => "see Meta's list of error codes",
    }
}

/// What a person can do about a code that stops or slows down a sender.
pub fn remedy(code: i64, org: &OrgId, sender: &PhoneNumberId) -> String {
    let resume = format!("`twotick org resume {org} --sender {sender}`");
    let token = format!("`twotick org put {org} --sender {sender} --access-token env:NAME`");
    match code {
        0 | 102 | 104 | 190 => format!("Put a new token, which resumes it: {token}."),
        3 | 101 => format!("See in Meta's app dashboard that the app is live and has WhatsApp, then {resume}."),
        5 => format!(
            "Add this machine's public address to the app's server IP allowlist (App settings, Advanced), then {resume}."
        ),
        10 | 200..=299 | 131005 => format!(
            "Give the token's system user the account and the permission whatsapp_business_messaging, or put another token: \
             {token}; then {resume}."
        ),
        12 | 2500 | 2635 => format!(
            "Set whatsapp.base_url without a version (https://graph.facebook.com) and a whatsapp.api_version that Meta serves, \
             restart, then {resume}."
        ),
        33 | 100 | 803 => format!(
            "See in WhatsApp Manager that {sender} is the id of the phone number (not the number itself) and that the token's \
             system user has its account, and in the app's advanced settings that it requires no app secret proof; then {resume}."
        ),
        131037 => format!("Have the display name approved in WhatsApp Manager, then {resume}."),
        131045 | 133010 => format!("Register the number with the Cloud API (POST /{sender}/register), then {resume}."),
        131042 | 141006 => format!("Mend the account's payment method in Meta Business Manager, then {resume}."),
        134011 | 134102 => format!("Accept the terms in WhatsApp Manager, then {resume}."),
        4 | 17 | 32 | 341 | 613 | 80000..=80014 => format!(
            "It goes on by itself within an hour; another program with the same app or account may be using it up. To try now: \
             {resume}."
        ),
        131048 | 131064 => format!(
            "It goes on by itself, in hours: see the quality rating and the account's alerts in WhatsApp Manager. To try now: \
             {resume}."
        ),
        130429 | 429 => format!(
            "It goes on by itself, more slowly. If it comes again and again, set a lower rate: `twotick org put {org} --sender \
             {sender} --messages-per-second N`. To try now: {resume}."
        ),
        131057 | 2494100 => format!("It goes on by itself, in minutes. To try now: {resume}."),
        _ => format!("See the account in WhatsApp Manager, mend what it says, then {resume}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Origin, Signal, classify};
    use domain::outcome::{Class, Scope};

    #[test]
    fn every_code_that_stops_or_slows_a_sender_has_a_meaning_and_a_remedy() {
        let (org, sender) = ("acme".parse().unwrap(), "1065".parse().unwrap());
        let codes = (0..1000).chain([2500, 2635]).chain(80_000..80_010).chain(130_000..142_000).chain([2_494_100]);
        for code in codes {
            let details = if code == 100 { "missing permissions" } else { "" };
            let origin = Origin::Answer;
            let verdict =
                classify(&Signal { code, subcode: None, details, http_status: None, is_transient: false, origin });
            let is_of_sender = matches!(verdict.scope, Scope::Number | Scope::Account | Scope::App)
                && matches!(verdict.class, Class::Blocked | Class::Throttled);
            if is_of_sender {
                assert_ne!(meaning(code), meaning(-1), "{code}");
                assert!(remedy(code, &org, &sender).contains("acme"), "{code}");
            }
        }
    }
}
