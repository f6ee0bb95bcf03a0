//! The proof that a webhook comes from Meta: an HMAC over the raw body.

use domain::org::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header that carries the signature, in lower case.
pub const HEADER: &str = "x-hub-signature-256";

/// Meta also sends a SHA-1 signature in another header; only SHA-256 counts.
const PREFIX: &str = "sha256=";

/// The signature of `body` for [`HEADER`]. Empty if the secret is empty: an empty key proves nothing.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    mac(secret, body).map(|mac| format!("{PREFIX}{}", hex::encode(mac.finalize().into_bytes()))).unwrap_or_default()
}

/// Whether `header` is the signature of exactly these bytes. `body` must be as it came: the same JSON written again has
/// another signature. The comparison takes constant time.
pub fn verify(secret: &Secret, body: &[u8], header: &str) -> bool {
    match (digest(header), mac(secret, body)) {
        (Some(given), Some(mac)) => mac.verify_slice(&given).is_ok(),
        (None | Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether a header looks like a signature. Others need not be verified.
pub fn is_one(header: &str) -> bool {
    digest(header).is_some()
}

/// Whether `given` equals the secret, such as a webhook's verify token. The comparison takes constant time, and nothing
/// equals an empty secret.
pub fn is_secret(secret: &Secret, given: &str) -> bool {
    let secret = secret.expose().as_bytes();
    !secret.is_empty() && bool::from(secret.ct_eq(given.as_bytes()))
}

fn digest(header: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(header.strip_prefix(PREFIX)?, &mut digest).ok()?;
    Some(digest)
}

/// `None` only for an empty secret: anybody could sign with that, and HMAC takes keys of any other length.
fn mac(secret: &Secret, body: &[u8]) -> Option<Hmac<Sha256>> {
    let key = Some(secret.expose()).filter(|key| !key.is_empty())?;
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    Some(mac.chain_update(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account", "name":"Gr\u00fc\u00dfe", "entry":[]}"#;

    fn secret(text: &str) -> Secret {
        text.parse().unwrap()
    }

    #[test]
    fn a_signature_is_what_the_standard_says() {
        // RFC 4231, test case 2.
        assert_eq!(
            sign(&secret("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_signature_proves_the_body_in_lower_and_upper_case() {
        let header = sign(&secret("s"), BODY);
        assert!(is_one(&header) && verify(&secret("s"), BODY, &header));
        let digits = header.strip_prefix(PREFIX).unwrap();
        assert!(verify(&secret("s"), BODY, &format!("{PREFIX}{}", digits.to_uppercase())));
    }

    #[test]
    fn another_secret_or_body_is_refused() {
        let header = sign(&secret("s"), BODY);
        assert!(!verify(&secret("S"), BODY, &header));
        assert!(!verify(&secret("s"), &BODY[1..], &header));
        let value: serde_json::Value = serde_json::from_slice(BODY).unwrap();
        assert!(!verify(&secret("s"), &serde_json::to_vec(&value).unwrap(), &header), "the same JSON written again");
    }

    #[test]
    fn a_header_of_another_shape_is_refused() {
        let header = sign(&secret("s"), BODY);
        let digits = header.strip_prefix(PREFIX).unwrap();
        for bad in [
            String::new(),
            PREFIX.to_owned(),
            digits.to_owned(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("sha256={}", &digits[..62]),
            format!("sha256={digits}00"),
            format!("sha256={digits} "),
            format!("sha256={}", "x".repeat(64)),
            format!("sha256=é{}", &digits[2..]),
        ] {
            assert!(!is_one(&bad) && !verify(&secret("s"), BODY, &bad), "{bad}");
        }
    }

    #[test]
    fn an_empty_secret_proves_nothing() {
        let forged = Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes();
        assert!(!verify(&Secret::default(), BODY, &format!("{PREFIX}{}", hex::encode(forged))));
        assert_eq!(sign(&Secret::default(), BODY), "");
        assert!(!is_secret(&Secret::default(), ""));
    }

    #[test]
    fn a_verify_token_is_compared_whole() {
        assert!(is_secret(&secret("token"), "token"));
        for wrong in ["", "toke", "tokens", "Token"] {
            assert!(!is_secret(&secret("token"), wrong), "{wrong}");
        }
    }
}
