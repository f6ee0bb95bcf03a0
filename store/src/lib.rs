//! Durable commits.
//!
//! The only write is a [`Commit`]: everything that one step changes, of one organisation. The [`Committer`] groups the
//! commits that arrive while a batch is written into the next batch and says of each when it is durable. Reads go through
//! [`Store`], which knows the records; a [`Backend`] below it knows only ordered keys and values, so that a database
//! server can stand there one day.
//!
//! Deliberately absent: any write that is not a commit, and any type of a backend's library.

pub mod backend;
pub mod backup;
mod billing;
mod block_file;
mod blocks;
mod codec;
pub mod commit;
pub mod compact;
#[cfg(feature = "conformance")]
pub mod conformance;
mod consent;
pub mod encryption;
mod erase;
mod filter;
mod flusher;
pub mod folder;
mod fsync_recovery;
pub mod group_commit;
mod high_water_mark;
mod inbound;
mod journal;
mod keys;
pub mod memory;
mod memtable;
mod open;
mod packed;
mod people;
mod purge;
mod quota;
mod random;
pub mod records;
mod reencrypt;
pub mod repair;
pub mod restore;
mod restored;
mod runs;
pub mod scratch;
pub mod search;
pub mod sled;
mod sled_log;
mod space;
mod statuses;
mod store;
mod table;
mod undo_log;
pub mod verify;

pub use backend::{Backend, StoreError};
pub use commit::Commit;
pub use encryption::{KeyId, MasterKey};
pub use erase::Taken;
pub use folder::DataFolder;
pub use group_commit::{CommitError, Committer, Unavailable};
pub use memory::MemoryBackend;
pub use open::open;
pub use people::KnownNames;
pub use quota::Counted;
pub use records::{Head, Lane, Parked, Restored, Upkeep};
pub use reencrypt::Reencrypted;
pub use sled::SledBackend;
pub use store::{DueEntry, Store};
