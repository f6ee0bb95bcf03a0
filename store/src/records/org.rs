//! An organisation: its senders, its keys, its settings.

use std::time::Duration;

use domain::audit::Hash;
use domain::consent::{WordList, Words};
use domain::org::{ApiKey, ConsentPolicy, KeyScope, Org, Pause, PausedBy, Sender};
use domain::quota::Quotas;
use domain::retention::Retention;

use super::ids::{Millis, Text};
use super::wire::{wire_enum, wire_struct};

wire_struct!(OrgV2 of Org {
    id: Text,
    no: u32,
    name: String,
    consent: ConsentPolicyV1,
    words: WordsV1,
    retention: RetentionV1,
    paused: Option<PauseV1>,
    senders: Vec<SenderV1>,
    retired: Vec<(Text, u16)>,
    next_sender: u16,
    keys: Vec<ApiKeyV1>,
    revoked: Vec<ApiKeyV1>,
    created_at: Millis,
    updated_at: Millis,
    deleted_at: Option<Millis>,
    quotas: QuotasV1,
});
wire_enum!(ConsentPolicyV1 of ConsentPolicy { Default, Required, Off });
wire_struct!(WordsV1 of Words {
    stop: WordListV1,
    start: WordListV1,
    stop_reply: Option<String>,
    start_reply: Option<String>,
});
wire_enum!(WordListV1 of WordList { Default, Own(words: Vec<String>) });
wire_struct!(RetentionV1 of Retention {
    messages: Option<Duration>,
    payloads: Option<Duration>,
    inbound: Option<Duration>,
    audit: Option<Duration>,
});
wire_struct!(SenderV1 of Sender {
    no: u16,
    phone_number_id: Text,
    waba_id: Option<String>,
    access_token: String,
    app_secret: String,
    verify_token: String,
    messages_per_second: Option<u32>,
    paused: Option<PauseV1>,
    previous_app_secret: Option<String>,
});
wire_struct!(PauseV1 of Pause { reason: String, by: PausedByV1, since: Millis });
wire_enum!(PausedByV1 of PausedBy { Operator, Meta });
wire_struct!(ApiKeyV1 of ApiKey {
    id: String,
    name: String,
    hash: Hash,
    scopes: Vec<KeyScopeV1>,
    created_at: Millis,
    expires_at: Option<Millis>,
});
wire_enum!(KeyScopeV1 of KeyScope { Send, Read, Manage });
wire_struct!(QuotasV1 of Quotas {
    messages_per_day: Option<u32>,
    max_queued: Option<u32>,
    recipients_per_day: Option<u32>,
});
