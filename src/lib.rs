//! twotick: a durable, multi-tenant outbox for WhatsApp.
//!
//! This package is the outside of it: configuration, HTTP and commands. What carries the messages is in `actors`; what
//! may happen to one is in `domain`. ARCHITECTURE.md is the map.

mod checks;
pub mod cli;
pub mod config;
mod http;
mod service;

pub use config::Config;
pub use http::query;
pub use service::master_key::MasterKeyError;
pub use service::{Service, ServiceError};
