//! New keys: 256 random bits.

/// A new key, such as `tt_4f…`. Hexadecimal, so that it can be copied anywhere.
pub(crate) fn new_key(prefix: &str) -> String {
    format!("{prefix}_{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// A new id for a key; not secret.
pub(crate) fn new_key_id() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}
