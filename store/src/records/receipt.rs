//! What Meta reported.

use std::sync::Arc;

use domain::outcome::{Class, ProviderError, Scope, Verdict};
use domain::receipt::{Receipt, ReceiptKind, Reported};

use super::Parked;
use super::ids::{AttemptRefV1, Millis, Text};
use super::wire::{wire_enum, wire_struct};

wire_struct!(ParkedV1 of Parked { reported: ReportedV1, at: Millis });
wire_struct!(ReportedV1 of Reported { receipt: ReceiptV1, names: Vec<String> });
wire_struct!(ReceiptV1 of Receipt {
    provider_id: Text,
    attempt: Option<AttemptRefV1>,
    kind: ReceiptKindV1,
    at: Millis,
    error: Option<ProviderErrorV1>,
    pricing: Option<Arc<[u8]>>,
});
wire_enum!(ReceiptKindV1 of ReceiptKind { Sent, Delivered, Read, Failed });
wire_struct!(ProviderErrorV1 of ProviderError { code: i64, message: String, verdict: VerdictV1 });
wire_struct!(VerdictV1 of Verdict { class: ClassV1, scope: ScopeV1 });
wire_enum!(ClassV1 of Class { Transient, Throttled, Blocked, Deferred, Permanent, OptedOut });
wire_enum!(ScopeV1 of Scope { Message, Recipient, Marketing, Pair, Template, Number, Account, App });
