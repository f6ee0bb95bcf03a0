//! The hash chain that seals the trail.

use sha2::{Digest, Sha256};

use crate::ids::Seq;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A sealed run of audit entries. Its hash covers the previous block, so nobody can change or remove an entry without
/// changing every later block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first entry in it.
    pub first: Seq,
    /// The last entry in it.
    pub last: Seq,
    /// The hash of the previous block; zeros for the first.
    pub previous: Hash,
    /// The hash of this block.
    pub hash: Hash,
}

impl Block {
    /// Seals entries `first..` after the block whose hash is `previous`. Each entry is given as the bytes of
    /// [`super::Kept::sealed`].
    pub fn seal<'a>(first: Seq, previous: Hash, entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        let mut next = first;
        for bytes in entries {
            hasher.update(next.to_be_bytes());
            hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(bytes);
            next += 1;
        }
        Self { first, last: next.saturating_sub(1), previous, hash: hasher.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(previous: Hash, entries: &[&[u8]]) -> Hash {
        Block::seal(1, previous, entries.iter().copied()).hash
    }

    #[test]
    fn a_block_changes_with_any_entry_its_order_its_borders_and_its_past() {
        let whole = seal([0; 32], &[b"ab", b"c"]);
        assert_ne!(whole, seal([0; 32], &[b"ab", b"d"]));
        assert_ne!(whole, seal([0; 32], &[b"c", b"ab"]));
        assert_ne!(whole, seal([0; 32], &[b"a", b"bc"]));
        assert_ne!(whole, seal([0; 32], &[b"ab"]));
        assert_ne!(whole, seal([1; 32], &[b"ab", b"c"]));
    }
}
