//! A simulated WhatsApp Cloud API, in process or over HTTP: the other side that twotick is held against.
//!
//! It checks every request as Meta does and refuses wrong ones with Meta's error envelope, keeps a ledger of what it
//! accepted, and calls the webhook back with signed receipts. [`Faults`] make it err, throttle, stall, drop the
//! connection before or after a message was accepted, or garble its answers and receipts; with one seed and one order
//! of requests it decides the same every time.
//!
//! How a request goes through it: `server` reads it and `graph` answers it; `checks`, `schema` and `content` refuse it or
//! take it apart, `matching` says which faults meet it, `ledger` keeps it, `schedule` plans its receipts and `emitter`
//! sends them. `media` and `templates` are what else Meta keeps, `inbound` is what recipients write, `control` looks
//! inside. `shared` is the state of all.
//!
//! # Over HTTP
//!
//! In full in `docs/simulator.md`.
//!
//! | call | does |
//! |---|---|
//! | `POST /{version}/{phone_number_id}/messages` (the version may be left out) | accepts a message, or that one was read |
//! | `POST /{version}/{phone_number_id}/media`, `GET`, `DELETE /{version}/{media_id}` | keeps, tells and forgets a file |
//! | `GET /{version}/{waba_id}/message_templates`, `GET /{version}/{template_id}` | a page of the templates; one of them |
//! | `GET /{version}/{phone_number_id}?fields=`, `GET /{version}/{waba_id}/subscribed_apps` | what [`Account`] says |
//! | `GET /_sim/messages` (`?after=SEQ&limit=N`) | an array of the accepted messages, in order |
//! | `GET /_sim/stats` | [`Stats`] |
//! | `POST /_sim/inbound` | tells the webhook what a recipient writes |
//! | `POST /_sim/reset` | forgets messages, counts, media, and what was not yet sent; 204 |
//! | `GET`, `PUT /_sim/faults` | [`Faults`]; 400 with the reason if they are wrong |
//! | `GET`, `PUT /_sim/account` | [`Account`]; likewise |
//! | `GET`, `PUT /_sim/templates` | the templates; likewise |

mod account;
mod answers;
mod checks;
mod codes;
mod content;
mod control;
mod emitter;
mod errors;
mod faults;
mod graph;
mod inbound;
mod ledger;
mod matching;
mod media;
mod schedule;
mod schema;
mod server;
mod settings;
mod shared;
mod simulator;
mod templates;

pub use account::Account;
pub use faults::{BadFaults, Fault, Faults, Rule, UpTo};
pub use ledger::{Accepted, Stats};
pub use settings::Settings;
pub use simulator::{Simulator, StartError};
