//! Ids, times and secrets on disk: numbers, bytes and texts.

use std::sync::Arc;

use domain::message::Recipient;
use domain::org::Secret;
use domain::receipt::Receipts;
use domain::{AttemptNo, AttemptRef, Epoch, MessageId, OrgId, OrgNo, PhoneNumberId, ProviderId, SenderNo, Timestamp};
use serde_bytes::ByteArray;

use super::wire::{Wire, wire_struct};

/// Milliseconds since the Unix epoch.
pub(crate) type Millis = u64;
/// The sixteen bytes of a message's id, behind their number.
pub(crate) type Id = ByteArray<16>;
/// A text that is shared in memory.
pub(crate) type Text = Arc<str>;

impl Wire<Timestamp> for Millis {
    fn of(value: &Timestamp) -> Self {
        value.as_millis()
    }

    fn into_value(self) -> Timestamp {
        Timestamp::from_millis(self)
    }
}

impl Wire<MessageId> for Id {
    fn of(value: &MessageId) -> Self {
        Self::new(*value.as_bytes())
    }

    fn into_value(self) -> MessageId {
        MessageId::from_bytes(self.into_array())
    }
}

/// A time as a field of something else that is written.
pub(crate) mod millis {
    use domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_millis())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

/// Numbers.
macro_rules! numbers {
    ($($domain:ident: $number:ty),* $(,)?) => { $(
        impl Wire<$domain> for $number {
            fn of(value: &$domain) -> Self {
                value.0
            }

            fn into_value(self) -> $domain {
                $domain(self)
            }
        }
    )* };
}

numbers!(AttemptNo: u16, SenderNo: u16, OrgNo: u32, Epoch: u64);

/// Texts.
macro_rules! texts {
    ($($domain:ident),* $(,)?) => { $(
        impl Wire<$domain> for Text {
            fn of(value: &$domain) -> Self {
                value.to_record()
            }

            fn into_value(self) -> $domain {
                $domain::from_record(self)
            }
        }
    )* };
}

texts!(OrgId, PhoneNumberId, ProviderId, Recipient);

impl Wire<Secret> for String {
    fn of(value: &Secret) -> Self {
        value.expose().to_owned()
    }

    fn into_value(self) -> Secret {
        Secret::from_record(self)
    }
}

impl Wire<Receipts> for u8 {
    fn of(value: &Receipts) -> Self {
        value.bits()
    }

    fn into_value(self) -> Receipts {
        Receipts::from_bits(self)
    }
}

wire_struct!(AttemptRefV1 of AttemptRef { message: Id, attempt: u16 });
