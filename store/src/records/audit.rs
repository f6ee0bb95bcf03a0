//! The audit trail. The hash chain covers the bytes of [`SealedV1`]: an entry that is written in another form later must still
//! be sealed in this one.

use domain::audit::{Block, By, Denial, Entry, Fact, Hash, Kept, Personal, ReceiptEffect, Subject};
use domain::billing::BilledAs;
use domain::consent::Refusal;
use domain::erasure::Erased;
use domain::notice::Notice;
use domain::retention::Purged;

use super::consent::{ChoiceV1, CoversV1, StandingV1};
use super::ids::{AttemptRefV1, Id, Millis, Text};
use super::message::{CategoryV1, FailureV1};
use super::receipt::ReceiptV1;
use super::wire::{Wire, wire_enum, wire_struct};
use crate::backend::StoreError;
use crate::codec;

wire_struct!(KeptV1 of Kept { entry: EntryV1, personal: PersonalV1 });
wire_enum!(PersonalV1 of Personal { None, Held { salt: [u8; 16], texts: Vec<String> }, Erased(hash: Hash) });
wire_struct!(EntryV1 of Entry { at: Millis, subject: SubjectV1, by: ByV1, fact: FactV1 });
wire_enum!(SubjectV1 of Subject {
    Message(id: Id),
    Organisation,
    ApiKey(id: String),
    Sender(id: Text),
    Inbound(id: Id),
    Consent(id: Id),
    Erasure(id: Id),
    Person(id: Id),
});
wire_enum!(ByV1 of By { System, ApiKey(name: String), Admin, WhatsApp, Config });
wire_enum!(FactV1 of Fact {
    Created,
    Accepted { attempt: u16, provider_id: Text },
    RetryScheduled { attempt: u16, failure: FailureV1, due: Millis },
    OutcomeUnknown { attempt: u16, failure: FailureV1, settle_by: Millis },
    Resending { attempt: u16 },
    Failed { attempt: Option<u16>, failure: FailureV1 },
    Receipt { attempt: u16, receipt: Box<ReceiptV1>, effect: ReceiptEffectV1 },
    Cancelled,
    Requeued,
    OrgPut,
    KeyCreated,
    KeyRevoked,
    OrgDeleted,
    Postponed { attempt: u16, failure: FailureV1, due: Millis },
    Paused { reason: String },
    Resumed,
    Received { kind: String },
    Denied { denial: DenialV1 },
    Consent { choice: ChoiceV1, covers: CoversV1 },
    Blocked(refusal: RefusalV1),
    ErasureBegun,
    Erased(erased: ErasedV1),
    Purged(purged: PurgedV1),
    Linked { names: u8, former: u8 },
    Restored { backup: String, taken_at: Millis, held: u64 },
    Released { messages: u64 },
    TemplateBilled { account: String, template: String, language: String, category: BilledAsV1, message: Id },
    Throttled { code: i64, until: Millis },
    Unthrottled { code: i64 },
    Noticed(notice: NoticeV1),
    IdTaken { attempt: u16, holder: AttemptRefV1 },
    Repaired { keys: u64 },
});
wire_enum!(DenialV1 of Denial { Expired, Scope, OtherOrg, NotAdmin, Revoked });
wire_enum!(ReceiptEffectV1 of ReceiptEffect { Applied, Kept, Anomaly, Overruled });
wire_struct!(RefusalV1 of Refusal { category: CategoryV1, revoked: Option<StandingV1> });
wire_struct!(ErasedV1 of Erased { messages: u64, inbound: u64, statements: u64, receipts: u64 });
wire_struct!(PurgedV1 of Purged { messages: u64, payloads: u64, inbound: u64, entries: u64 });
wire_enum!(BilledAsV1 of BilledAs { Marketing, Transactional });
wire_struct!(NoticeV1 of Notice { item: String, word: Option<String>, code: Option<i64> });

wire_struct!(BlockV1 of Block { first: u64, last: u64, previous: Hash, hash: Hash });

/// What the hash chain covers of an entry.
type SealedV1 = (EntryV1, Option<Hash>);

/// The bytes that the hash chain covers of an entry.
pub(crate) fn sealed(kept: &Kept) -> Result<Vec<u8>, StoreError> {
    let (entry, personal) = kept.sealed();
    let sealed: SealedV1 = (EntryV1::of(entry), personal);
    codec::encode_wire("audit entry", 1, &sealed)
}
