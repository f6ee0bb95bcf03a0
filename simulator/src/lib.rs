//! A simulated WhatsApp Cloud API, in process or over HTTP: the other side that twotick is held against.
//!
//! It checks every request as Meta does and refuses wrong ones with Meta's error envelope, keeps a ledger of what it
//! accepted, and calls the webhook back with signed receipts. [`Faults`] make it err, throttle, stall, drop the
//! connection before or after a message was accepted, or garble its answers and receipts; with one seed and one order
//! of requests it decides the same every time.
//!
//! How a request goes through it: `server` reads it, `checks` refuses it or takes it apart, `matching` says which faults
//! meet it, `ledger` keeps it, `schedule` plans its receipts and `emitter` sends them. `shared` is the state of all.
//!
//! # Over HTTP
//!
//! | call | does |
//! |---|---|
//! | `POST /{version}/{phone_number_id}/messages` (the version may be left out) | accepts a message |
//! | `GET /{version}/{phone_number_id}?fields=`, `GET /{version}/{waba_id}/subscribed_apps` | what [`Account`] says |
//! | `GET /_sim/messages` (`?after=SEQ&limit=N`) | an array of the accepted messages, in order |
//! | `GET /_sim/stats` | [`Stats`] |
//! | `POST /_sim/reset` | forgets messages, counts and receipts not yet sent; 204 |
//! | `GET`, `PUT /_sim/faults` | [`Faults`]; 400 with the reason if they are wrong |
//! | `GET`, `PUT /_sim/account` | [`Account`]; likewise |

mod account;
mod checks;
mod emitter;
mod errors;
mod faults;
mod ledger;
mod matching;
mod schedule;
mod server;
mod settings;
mod shared;
mod simulator;

pub use account::Account;
pub use faults::{BadFaults, Fault, Faults, Rule, UpTo};
pub use ledger::{Accepted, Stats};
pub use settings::Settings;
pub use simulator::{Simulator, StartError};
