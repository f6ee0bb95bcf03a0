//! The state machine: what an event does to a message. It is a pure function; the actors only carry out what it
//! decides.
//!
//! ```text
//! QUEUED → SENDING → SENT → DELIVERED → READ
//!    │        │        │
//!    └────────┴────────┴──→ FAILED          QUEUED → CANCELLED
//! ```

mod decision;
mod event;
mod manual;
mod outcomes;
mod policy;
mod receipts;
mod refusals;
mod step;
mod waiting;

use crate::message::Message;
use crate::state::State;
use crate::time::Timestamp;
use step::Step;

pub use decision::{Decision, Ignored, Move};
pub use event::{Event, OptOut};
pub use policy::Policy;

/// Decides what `event` does to a message in `state`, at `now`. `roll` in `0.0..1.0` draws the jitter.
pub fn decide(message: &Message, state: &State, event: &Event, policy: &Policy, now: Timestamp, roll: f64) -> Decision {
    let opt_out = event.opt_out(now);
    let step = Step { message, policy, now, roll, next: state.clone(), facts: Vec::new(), call: None, opt_out };
    match event {
        Event::SendPermit => step.begin(),
        Event::Expiry => step.expire(),
        Event::OutcomeTimeout => step.outcome_timeout(),
        Event::Settled { attempt, outcome, wait } => step.settle(*attempt, outcome, *wait),
        Event::Postpone { until, wait } => step.postpone_until(*until, *wait),
        Event::DueNow => step.make_due(),
        Event::Restored => step.restored(),
        Event::WindowClosed => step.window_closed(),
        Event::ConsentDenied(refusal) => step.consent_denied(*refusal),
        Event::Receipt { attempt, receipt } => step.receipt(*attempt, receipt),
        Event::Cancel => step.cancel(),
        Event::Requeue => step.requeue(),
        Event::Crash { cause } => step.crash(cause),
    }
}
