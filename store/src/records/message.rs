//! A message and how far it has come.

use std::sync::Arc;

use domain::message::{Category, Dossier, ErasureMark, OnUnknown, Priority};
use domain::state::{AttemptStatus, Phase, Wait};
use domain::{Attempt, Failure, FailureCode, Message, State};

use super::ids::{Id, Millis, Text};
use super::wire::{Wire, wire_enum, wire_struct};

wire_struct!(MessageV1 of Message {
    id: Id,
    from: Text,
    sender: u16,
    to: Text,
    template_code: Option<String>,
    payload: Arc<[u8]>,
    dossier: Option<DossierV1>,
    subject: Option<String>,
    idempotency_key: Option<String>,
    send_at: Option<Millis>,
    expires_at: Option<Millis>,
    priority: PriorityV1,
    category: CategoryV1,
    on_unknown: Option<OnUnknownV1>,
    created_at: Millis,
    erased: Option<MarkV1>,
});

wire_enum!(DossierV1 of Dossier { Number(text: String), Text(text: String) });
wire_enum!(PriorityV1 of Priority { High, Normal, Low });
wire_enum!(CategoryV1 of Category { Transactional, Marketing, Confirmation, BilledMarketing });
wire_enum!(OnUnknownV1 of OnUnknown { Resend, Hold });
wire_struct!(MarkV1 of ErasureMark { at: Millis, idempotency: Option<[u8; 16]> });

wire_struct!(StateV1 of State {
    version: u32,
    phase: PhaseV1,
    attempts: Vec<AttemptV1>,
    budget_start: u16,
    max_attempts: u16,
    wait: WaitV1,
    deferred: bool,
    failure: Option<FailureV1>,
    updated_at: Millis,
    sent_at: Option<Millis>,
    delivered_at: Option<Millis>,
    read_at: Option<Millis>,
    trail: Vec<u64>,
});

/// What a state's record begins with: its version and its phase.
pub(crate) type StateStartV1 = (u32, PhaseV1);

wire_enum!(PhaseV1 of Phase {
    Queued { due: Millis },
    Sending { due: Millis },
    Sent,
    Delivered,
    Read,
    Failed,
    Cancelled,
});
wire_enum!(WaitV1 of Wait {
    Schedule, Retry, Pair, Rate, Sender, Template, Deferred, DailyQuota, RecipientQuota, Restored, Way,
});
wire_struct!(AttemptV1 of Attempt {
    no: u16,
    charged: bool,
    started_at: Millis,
    finished_at: Option<Millis>,
    status: AttemptStatusV1,
    provider_id: Option<Text>,
    failure: Option<FailureV1>,
    next_retry_at: Option<Millis>,
    receipts: u8,
});
wire_enum!(AttemptStatusV1 of AttemptStatus { Sending, Accepted, Failed, Unknown });
wire_struct!(FailureV1 of Failure { code: String, message: String });

impl Wire<FailureCode> for String {
    fn of(value: &FailureCode) -> Self {
        value.to_string()
    }

    fn into_value(self) -> FailureCode {
        FailureCode::parse(&self)
    }
}
