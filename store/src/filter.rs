//! Which sorted runs need not be asked for a key: a Bloom filter of each run's keys.

use std::hash::BuildHasher;
use std::ops::Range;

use fastbloom::{AtomicBloomFilter, DefaultHasher};

use crate::keys;

/// Of keys that are not there, 8 in 1000 pass.
const BITS_PER_KEY: usize = 10;
const HASHES: u32 = 7;
/// So many of a key's first bytes count: its letter, its organisation, and a hash. What follows a hash is asked for together.
const COUNTED: usize = 21;
/// How keys become bits. A filter that was kept by another version is made anew.
const VERSION: u8 = 1;

/// A Bloom filter: the keys that may be in a run. Others may pass, too.
pub(crate) struct Filter(AtomicBloomFilter);

/// What a filter knows of a key.
#[derive(Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(DefaultHasher::seeded(&[0; 16]).hash_one(key.get(..COUNTED).unwrap_or(key)))
    }

    /// Whether it is of no other key than this.
    pub(crate) fn knows(key: &[u8]) -> bool {
        key.len() <= COUNTED
    }

    /// That of all keys within `range`, if they have the same.
    pub(crate) fn of_all(range: &Range<Vec<u8>>) -> Option<Self> {
        let counted = range.start.get(..COUNTED)?;
        (range.end <= keys::within(counted.to_vec()).end).then(|| Self::of(counted))
    }
}

impl Filter {
    /// One with room for so many keys.
    pub(crate) fn new(keys: usize) -> Self {
        Self(AtomicBloomFilter::with_num_bits(keys.max(1).saturating_mul(BITS_PER_KEY)).hashes(HASHES))
    }

    /// One that lets all keys pass.
    pub(crate) fn open() -> Self {
        Self(AtomicBloomFilter::from_vec(vec![u64::MAX]).hashes(HASHES))
    }

    /// For how many keys it has room.
    pub(crate) fn room(&self) -> usize {
        self.0.num_bits() / BITS_PER_KEY
    }

    pub(crate) fn insert(&self, key: Hash) {
        self.0.insert_hash(key.0);
    }

    pub(crate) fn may_hold(&self, key: Hash) -> bool {
        self.0.contains_hash(key.0)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [VERSION].into_iter().chain(self.0.iter().flat_map(u64::to_le_bytes)).collect()
    }

    /// What [`Self::to_bytes`] made; `None` if another version did.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.strip_prefix(&[VERSION])?.as_chunks() else { return None };
        let words: Vec<_> = words.iter().copied().map(u64::from_le_bytes).collect();
        (!words.is_empty()).then(|| Self(AtomicBloomFilter::from_vec(words).hashes(HASHES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Vec<u8> {
        [b"i".as_slice(), &[0; 4], &[7; 12], &n.to_be_bytes()].concat()
    }

    #[test]
    fn what_was_put_in_passes_also_after_it_was_kept_and_hardly_anything_else() {
        let filter = Filter::new(1000);
        (0..1000).for_each(|n| filter.insert(Hash::of(&key(n))));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert_eq!(filter.room(), 1004);
        assert!((0..1000).all(|n| filter.may_hold(Hash::of(&key(n)))));
        let passed = (1000..101_000).filter(|n| filter.may_hold(Hash::of(&key(*n)))).count();
        assert!((500..1200).contains(&passed), "{passed} of 100,000");
        for other in [&[][..], &[VERSION], &[VERSION, 0, 0], &[VERSION + 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Filter::from_bytes(other).is_none());
        }
    }

    #[test]
    fn an_open_one_lets_everything_pass() {
        assert!((0..1000).all(|n| Filter::open().may_hold(Hash::of(&key(n)))));
    }

    /// If this fails the library hashes in another way: [`VERSION`] must change, so that filters that were kept are made anew.
    #[test]
    fn keys_become_the_bits_that_they_were_when_filters_were_kept() {
        let filter = Filter::new(6);
        filter.insert(Hash::of(&key(1)));
        assert_eq!(filter.to_bytes(), [VERSION, 0, 0, 0, 32, 18, 0, 0, 81]);
    }

    #[test]
    fn keys_of_one_hash_are_asked_for_together() {
        let hash = key(1);
        let range = keys::within(hash.clone());
        assert_eq!(Hash::of_all(&range).unwrap().0, Hash::of(&[&*hash, b"and more"].concat()).0);
        assert!(Hash::of_all(&(key(1)..key(3))).is_none());
        assert!(Hash::of_all(&keys::within(b"i".to_vec())).is_none());
        let from = [&*hash, b"from"].concat();
        assert!(Hash::of_all(&(from..range.end)).is_some());
    }
}
