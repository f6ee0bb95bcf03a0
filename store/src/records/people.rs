//! People: what they wrote, the names they are known by, and their erasure.

use std::sync::Arc;

use domain::Inbound;
use domain::erasure::Erasure;
use domain::people::{Former, NameOwners, Person};

use super::audit::{ByV1, ErasedV1};
use super::ids::{Id, Millis, Text};
use super::wire::wire_struct;

wire_struct!(InboundV1 of Inbound {
    id: Id,
    provider_id: Text,
    sender: Text,
    sender_no: u16,
    from: Option<Text>,
    user_id: Option<String>,
    kind: String,
    opens_window: bool,
    payload: Arc<[u8]>,
    at: Millis,
    received_at: Millis,
});
wire_struct!(PersonV1 of Person { id: Id, names: Vec<String>, former: Vec<FormerV1> });
wire_struct!(FormerV1 of Former { name: String, until: Millis });
wire_struct!(NameOwnersV1 of NameOwners { now: Option<Id>, before: Vec<Id> });
wire_struct!(ErasureV1 of Erasure {
    id: Id,
    names: Vec<String>,
    former: Vec<FormerV1>,
    by: ByV1,
    begun_at: Millis,
    before: u64,
    told_to: u64,
    erased: ErasedV1,
});
