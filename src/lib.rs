//! twotick: a durable, multi-tenant outbox for WhatsApp.
//!
//! This package is the outside of it: configuration, HTTP and commands. What carries the messages is in `actors`; what
//! may happen to one is in `domain`. ARCHITECTURE.md is the map.

mod admin;
mod admin_key;
mod api;
mod backups;
mod bench;
pub mod cli;
mod command;
mod compact;
pub mod config;
mod demo;
mod descriptors;
mod doctor;
mod engine;
mod http;
mod logging;
mod master_key;
mod private_file;
pub mod query;
mod rekey;
mod restore;
mod serve;
mod service;
mod simulate;
mod verify;

pub use config::Config;
pub use master_key::MasterKeyError;
pub use service::{Service, ServiceError};
