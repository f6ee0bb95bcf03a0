//! Durable commits.
//!
//! The only write is a [`Commit`]: everything that one step changes, of one organisation. The [`Committer`] groups the
//! commits that arrive during a flush into the next one and says of each when it is durable. Reads go through
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
mod erase;
mod filter;
pub mod folder;
pub mod group_commit;
mod inbound;
mod journal;
mod keys;
mod mark;
pub mod memory;
mod memtable;
mod mover;
mod open;
mod packed;
mod people;
mod purge;
mod quota;
mod random;
pub mod records;
pub mod repair;
mod rescue;
mod reseal;
pub mod restore;
mod restored;
mod resync;
mod runs;
pub mod scratch;
pub mod seal;
pub mod search;
pub mod sled;
mod sled_log;
mod space;
mod statuses;
mod store;
mod table;
pub mod verify;

pub use backend::{Backend, StoreError};
pub use commit::Commit;
pub use erase::Taken;
pub use folder::DataFolder;
pub use group_commit::{CommitError, Committer, Unavailable};
pub use memory::MemoryBackend;
pub use open::open;
pub use people::Called;
pub use quota::Counted;
pub use records::{Head, Lane, Parked, Restored, Upkeep};
pub use reseal::Resealed;
pub use seal::{KeyId, MasterKey};
pub use sled::SledBackend;
pub use store::{DueEntry, Store};
