//! The hashes that recognise a request when it comes again.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::audit::Hash;

/// `serde_json` keeps objects sorted, so two texts of the same JSON have the same fingerprint. The idempotency key may
/// come in the body or in the header, so it is left out.
pub(super) fn first(body: &Map<String, Value>) -> Hash {
    let rest: BTreeMap<_, _> = body.iter().filter(|(name, _)| *name != "idempotencyKey").collect();
    Sha256::digest(serde_json::to_vec(&rest).unwrap_or_default()).into()
}

/// Adds the numbers that lose digits when they are parsed. It never equals the first fingerprint, so neither passes for
/// the other.
pub(super) fn whole(first: &Hash, odd_numbers: &[&str]) -> Hash {
    Sha256::new().chain_update(first).chain_update(odd_numbers.join(",")).finalize().into()
}
