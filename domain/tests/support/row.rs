//! How a row of the table is written.

use std::panic::Location;

use domain::AttemptNo;
use domain::audit::{Fact, ReceiptEffect};
use domain::lifecycle::{Event, Ignored};
use domain::outcome::Outcome;
use domain::receipt::ReceiptKind;
use domain::state::{Status, Wait};

use crate::given::Given;

/// A row of the table: at this point, this event leads to that.
pub(crate) struct Row {
    pub(crate) given: Given,
    pub(crate) event: Event,
    pub(crate) then: Then,
    pub(crate) waits: Option<Wait>,
    pub(crate) line: u32,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Then {
    Ignored(Ignored),
    Moves { to: Status, call: Option<AttemptNo>, due_in: Option<u64>, says: Vec<Said> },
}

impl Given {
    #[track_caller]
    pub(crate) fn when(self, event: Event) -> When {
        When { given: self, event, line: Location::caller().line() }
    }
}

/// A row without its end.
pub(crate) struct When {
    pub(crate) given: Given,
    pub(crate) event: Event,
    pub(crate) line: u32,
}

impl When {
    fn then(self, then: Then) -> Row {
        Row { given: self.given, event: self.event, line: self.line, then, waits: None }
    }

    pub(crate) fn ignored(self, reason: Ignored) -> Row {
        self.then(Then::Ignored(reason))
    }

    pub(crate) fn to(self, to: Status) -> Row {
        self.then(Then::Moves { to, call: None, due_in: None, says: Vec::new() })
    }
}

impl Row {
    pub(crate) fn call(mut self, no: u16) -> Self {
        let Then::Moves { call, .. } = &mut self.then else { panic!("nothing is called") };
        *call = Some(AttemptNo(no));
        self
    }

    pub(crate) fn due_in(mut self, secs: u64) -> Self {
        let Then::Moves { due_in, .. } = &mut self.then else { panic!("nothing is due") };
        *due_in = Some(secs);
        self
    }

    pub(crate) const fn waits_for(mut self, wait: Wait) -> Self {
        self.waits = Some(wait);
        self
    }

    pub(crate) fn says(mut self, fact: Said) -> Self {
        let Then::Moves { says, .. } = &mut self.then else { panic!("nothing is said") };
        says.push(fact);
        self
    }

    pub(crate) fn effect(self, effect: ReceiptEffect) -> Self {
        self.says(Said::Receipt(effect))
    }
}

/// A fact without its data.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Accepted,
    RetryScheduled,
    Postponed,
    OutcomeUnknown,
    Resending,
    Failed,
    Blocked,
    Receipt(ReceiptEffect),
    Cancelled,
    Requeued,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are not about what happens to a message")]
pub(crate) fn said(fact: &Fact) -> Said {
    match fact {
        Fact::Accepted { .. } => Said::Accepted,
        Fact::RetryScheduled { .. } => Said::RetryScheduled,
        Fact::Postponed { .. } => Said::Postponed,
        Fact::OutcomeUnknown { .. } => Said::OutcomeUnknown,
        Fact::Resending { .. } => Said::Resending,
        Fact::Failed { .. } => Said::Failed,
        Fact::Blocked(_) => Said::Blocked,
        Fact::Receipt { effect, .. } => Said::Receipt(*effect),
        Fact::Cancelled => Said::Cancelled,
        Fact::Requeued => Said::Requeued,
        other => panic!("no event of a message says {other:?}"),
    }
}

/// The kinds of event, told apart as far as their rows differ, and `ALL` of them.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) enum Kind { $($kind),* }

        impl Kind {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

kinds! {
    SendPermit, Expiry, OutcomeTimeout, Postpone, DueNow, Restored, WindowClosed, ConsentDenied, Accepted, Refused, NotSent, Unreachable, Unknown, CutOff,
    ReceiptSent, ReceiptDelivered, ReceiptRead, ReceiptFailed, Cancel, Requeue, Crash,
}

impl Kind {
    /// Without a wildcard: a new variant must be named here, and then has no rows.
    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::SendPermit => Self::SendPermit,
            Event::Expiry => Self::Expiry,
            Event::OutcomeTimeout => Self::OutcomeTimeout,
            Event::Postpone { .. } => Self::Postpone,
            Event::DueNow => Self::DueNow,
            Event::Restored => Self::Restored,
            Event::WindowClosed => Self::WindowClosed,
            Event::ConsentDenied(_) => Self::ConsentDenied,
            Event::Settled { outcome: Outcome::Accepted(_), .. } => Self::Accepted,
            Event::Settled { outcome: Outcome::Refused(_), .. } => Self::Refused,
            Event::Settled { outcome: Outcome::NotSent(_), .. } => Self::NotSent,
            Event::Settled { outcome: Outcome::Unreachable(_), .. } => Self::Unreachable,
            Event::Settled { outcome: Outcome::Unknown(_), .. } => Self::Unknown,
            Event::Settled { outcome: Outcome::CutOff(_), .. } => Self::CutOff,
            Event::Receipt { receipt, .. } => match receipt.kind {
                ReceiptKind::Sent => Self::ReceiptSent,
                ReceiptKind::Delivered => Self::ReceiptDelivered,
                ReceiptKind::Read => Self::ReceiptRead,
                ReceiptKind::Failed => Self::ReceiptFailed,
            },
            Event::Cancel => Self::Cancel,
            Event::Requeue => Self::Requeue,
            Event::Crash { .. } => Self::Crash,
        }
    }
}
