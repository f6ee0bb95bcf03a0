//! The storage boundary: ordered keys and values, written in atomic, durable batches.

use std::ops::{ControlFlow, Range};

use crate::encryption::KeyId;

/// One change of one key.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to the value.
    Put(Vec<u8>, Vec<u8>),
    /// Removes the key, if it is there.
    Delete(Vec<u8>),
}

impl Write {
    /// `value`, or none, under `key`.
    pub(crate) fn new(key: Vec<u8>, value: Option<Vec<u8>>) -> Self {
        match value {
            Some(value) => Self::Put(key, value),
            None => Self::Delete(key),
        }
    }

    /// The key, and its value unless it is removed.
    pub(crate) fn entry(&self) -> (&[u8], Option<&[u8]>) {
        match self {
            Self::Put(key, value) => (key, Some(value)),
            Self::Delete(key) => (key, None),
        }
    }

    /// The same, taken.
    pub(crate) fn into_entry(self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Put(key, value) => (key, Some(value)),
            Self::Delete(key) => (key, None),
        }
    }

    /// Bytes of the key and its value.
    pub(crate) fn size(&self) -> usize {
        let (key, value) = self.entry();
        key.len() + value.map_or(0, <[u8]>::len)
    }
}

/// In which order a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// What a scan calls for each key and value; it ends early at [`ControlFlow::Break`].
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An ordered key-value store.
pub trait Backend: Send + Sync + 'static {
    /// Applies `writes` in order, all or none. When it returns `Ok` they survive a power cut; on `Err` nothing may be
    /// assumed of them, and the caller must not write again before the store was reopened.
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError>;

    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the keys within `range` and their values.
    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError>;

    /// Bytes on disk; 0 where there is no disk.
    fn size_on_disk(&self) -> Result<u64, StoreError>;
}

/// What can go wrong with a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The backend could not do it: a full disk, an I/O error, a damaged file.
    #[error("store could not {doing}: {cause}")]
    Backend {
        /// What it was doing.
        doing: &'static str,
        /// The backend's own words.
        cause: String,
    },
    /// A record is not what it should be.
    #[error("store holds a damaged {what}")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
    },
    /// There is less than was acknowledged.
    #[error("store has lost what it had acknowledged: {found} of {acknowledged} batches are there")]
    Lost {
        /// Batches that were acknowledged.
        acknowledged: u64,
        /// Batches that are there.
        found: u64,
    },
    /// Its records contradict each other.
    #[error("store contradicts itself in {wrong} places; the first: {first}")]
    Contradicts {
        /// In how many places.
        wrong: u64,
        /// What is wrong in the first.
        first: String,
    },
    /// A record was written by a newer version.
    #[error("store holds a {what} of format {found}, newer than this version can read")]
    Newer {
        /// Which kind of record.
        what: &'static str,
        /// Its format.
        found: u8,
    },
    /// Secrets are encrypted, and the master key was not given.
    #[error("store holds encrypted secrets, and the master key was not given")]
    Locked,
    /// Secrets are encrypted under another master key.
    #[error("store holds secrets encrypted under master key {found}; the one given is {given}")]
    OtherKey {
        /// What they are encrypted under.
        found: KeyId,
        /// What was given.
        given: KeyId,
    },
}

/// Linux's numbers for a file that may grow no more, a disk that is full, and a user's share of one that is.
const NO_ROOM: [&str; 3] = ["os error 27)", "os error 28)", "os error 122)"];

impl StoreError {
    /// Whether the disk is full: making room mends it.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Backend { cause, .. } if NO_ROOM.iter().any(|error| cause.contains(error)))
    }
}
