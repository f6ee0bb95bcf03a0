//! End-to-end tests: the real binary and its HTTP API against a simulated WhatsApp. They cover what users rely on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod accept;
mod actor_tree;
mod admin_commands;
mod backups;
mod bad_input;
mod bench;
mod chaos;
mod classes;
mod commands;
mod consent;
mod contradictions;
mod corpus;
mod crashes;
mod damage;
mod docs;
mod doctor;
mod erasure;
mod front_door;
mod generated;
mod inbound;
mod keys;
mod life;
mod load;
mod lost_answers;
mod manual;
mod neighbours;
mod organisation_files;
mod organisations;
mod outages;
mod people;
mod privacy;
mod quotas;
mod reading;
mod reload;
mod restore;
mod retention;
mod scopes;
mod secrets;
mod shutdown;
mod standstill;
mod startup;
mod strangers;
mod support;
mod tenants;
mod torture;
mod unwell;
mod upgrades;
mod user_ids;
mod way_out;
mod webhook_shapes;
mod webhooks;
