//! A simulated WhatsApp Cloud API, in process or over HTTP, that twotick is developed and tested against.
//!
//! It checks every request as Meta does and refuses wrong ones with Meta's error envelope, keeps a ledger of what it
//! accepted, and calls the webhook with signed receipts. [`Faults`] make it return errors, throttle, stall, drop the
//! connection before or after it accepted a message, or garble its answers and receipts. With the same seed and the
//! same order of requests it makes the same decisions every time.
//!
//! How a request is served: `server` reads it and `graph` answers it. `checks`, `schema` and `content` refuse or parse
//! it, `matching` picks the faults that apply to it, `ledger` records it, `schedule` plans its receipts, `pending`
//! holds a receipt until it is due, and `emitter` sends it. `media` and `templates` are what else Meta stores,
//! `inbound` is what recipients write, `control` is the `/_sim` API, and `shared` is the state that all of them use.
//!
//! # Over HTTP
//!
//! `docs/simulator.md` documents the calls in full.
//!
//! | call | does |
//! |---|---|
//! | `POST /{version}/{phone_number_id}/messages` (the version is optional) | accepts a message, or marks one as read |
//! | `POST /{version}/{phone_number_id}/media` | uploads a file |
//! | `GET`, `DELETE /{version}/{media_id}` | describes a file; deletes it |
//! | `GET /{version}/{waba_id}/message_templates`, `GET /{version}/{template_id}` | a page of templates; one template |
//! | `GET /{version}/{phone_number_id}?fields=`, `GET /{version}/{waba_id}/subscribed_apps` | what [`Account`] says |
//! | `GET /_sim/messages` (`?after=SEQ&limit=N`) | lists the accepted messages in order |
//! | `GET /_sim/stats` | returns [`Stats`] |
//! | `POST /_sim/inbound` | sends the webhook a message from a recipient |
//! | `POST /_sim/reset` | deletes messages, counts, media, and everything not yet sent; answers 204 |
//! | `GET`, `PUT /_sim/faults` | reads or replaces [`Faults`]; 400 with the reason if they are invalid |
//! | `GET`, `PUT /_sim/account` | reads or replaces [`Account`], likewise |
//! | `GET`, `PUT /_sim/templates` | reads or replaces the templates, likewise |

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
mod pending;
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
