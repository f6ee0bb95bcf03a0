//! Faults on purpose, for tests only: the feature `faults` is never on in a release build.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::vitals::Kind;

/// What happens to an actor that begins to handle a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panics.
    Panic,
    /// It does not get on for so long.
    Stall(Duration),
}

/// A sort of message: to whom, and its label.
type Sort = (Kind, &'static str);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    times: u32,
    /// Only actors whose path begins so meet it.
    within: &'static str,
}

/// The faults that are to come.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<HashMap<Sort, Armed>>,
    /// Every kind of message that was ever handled.
    seen: Mutex<Vec<Sort>>,
}

impl Faults {
    /// The next `times` messages of this sort to actors below the path `within` meet the fault. `what` is the message's label, as
    /// the actor tree's `doing` has it.
    pub fn arm(&self, within: &'static str, kind: Kind, what: &'static str, fault: Fault, times: u32) {
        let armed = Armed { fault, times, within };
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, what), armed);
    }

    /// Whether a fault that was armed has not all been met.
    pub fn is_armed(&self) -> bool {
        !self.armed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Every sort of message that was handled so far.
    pub fn seen(&self) -> Vec<Sort> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An actor begins to handle a message.
    #[expect(clippy::panic, reason = "that is what it is for")]
    pub(crate) async fn strike(&self, path: &str, kind: Kind, what: &'static str) {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.contains(&(kind, what)) {
                seen.push((kind, what));
            }
        }
        match self.next(path, kind, what) {
            None => {}
            Some(Fault::Panic) => panic!("a fault on purpose: {what}"),
            Some(Fault::Stall(time)) => tokio::time::sleep(time).await,
        }
    }

    fn next(&self, path: &str, kind: Kind, what: &'static str) -> Option<Fault> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let next = armed.get_mut(&(kind, what)).filter(|armed| path.starts_with(armed.within))?;
        let fault = next.fault;
        next.times -= 1;
        if next.times == 0 {
            armed.remove(&(kind, what));
        }
        Some(fault)
    }
}
