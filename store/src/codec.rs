//! How a record becomes bytes: one byte that is its version, then bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::StoreError;
use crate::records::{Record, Wire};

/// No record is longer, by far. What a damaged one says of its lengths is not believed beyond this: to make room for it would
/// end the process.
const LONGEST: usize = 64 << 20;
const CONFIG: Configuration<LittleEndian, Varint, Limit<LONGEST>> = standard().with_limit();

/// A record kind, named in errors.
pub(crate) type Kind = &'static str;

/// A record as the newest version of its kind.
pub(crate) fn encode<R: Record>(kind: Kind, record: &R) -> Result<Vec<u8>, StoreError> {
    encode_wire(kind, R::VERSION, &R::Wire::of(record))
}

/// Reads a record of any version.
pub(crate) fn decode<R: Record>(kind: Kind, bytes: &[u8]) -> Result<R, StoreError> {
    let (version, body) = split(kind, bytes)?;
    if version == R::VERSION {
        return decode_body::<R::Wire>(kind, body).map(R::Wire::into_value);
    }
    let older = if version < R::VERSION { R::older(version, kind, body) } else { None };
    older.unwrap_or(Err(unknown(kind, version, R::VERSION)))
}

/// The version of a record, and what follows it.
pub(crate) fn split(kind: Kind, bytes: &[u8]) -> Result<(u8, &[u8]), StoreError> {
    bytes.split_first().map(|(version, body)| (*version, body)).ok_or(StoreError::Damaged { what: kind })
}

/// A version that is not read: a newer twotick wrote it, or nobody.
pub(crate) const fn unknown(kind: Kind, found: u8, newest: u8) -> StoreError {
    if found > newest { StoreError::Newer { what: kind, found } } else { StoreError::Damaged { what: kind } }
}

/// A wire type behind the number of its version.
pub(crate) fn encode_wire<W: Serialize>(kind: Kind, version: u8, wire: &W) -> Result<Vec<u8>, StoreError> {
    let bytes = bincode::serde::encode_to_vec((version, wire), CONFIG);
    bytes.map_err(|error| StoreError::Backend { doing: kind, cause: error.to_string() })
}

/// A wire type that takes up all of what follows the version.
pub(crate) fn decode_body<W: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<W, StoreError> {
    match bincode::serde::decode_from_slice(body, CONFIG) {
        Ok((wire, read)) if read == body.len() => Ok(wire),
        Ok(_) | Err(_) => Err(StoreError::Damaged { what: kind }),
    }
}

/// What a body begins with; the rest is left unread.
pub(crate) fn decode_start<W: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<W, StoreError> {
    let start = bincode::serde::decode_from_slice(body, CONFIG);
    start.map(|(start, _)| start).map_err(|_| StoreError::Damaged { what: kind })
}

#[cfg(test)]
mod tests {
    use domain::state::Status;
    use domain::{Epoch, MessageId, Timestamp};

    use super::*;
    use crate::Head;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let record = (MessageId::from_bytes([7; 16]), [1u8; 32]);
        let bytes = encode("test", &record).unwrap();
        assert_eq!(bytes[0], 1);
        assert_eq!(decode::<(MessageId, [u8; 32])>("test", &bytes).unwrap(), record);
    }

    #[test]
    fn damaged_or_newer_bytes_are_told_apart_and_never_guessed() {
        let mut bytes = encode("test", &Timestamp::from_secs(7)).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<Timestamp>("test", &bytes), Err(StoreError::Damaged { .. })));
        bytes[0] = 2;
        assert!(matches!(decode::<Timestamp>("test", &bytes), Err(StoreError::Newer { found: 2, .. })));
        bytes[0] = 0;
        assert!(matches!(decode::<Timestamp>("test", &bytes), Err(StoreError::Damaged { .. })));
        assert!(matches!(decode::<Timestamp>("test", &[]), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_length_that_cannot_be_is_damage_and_not_believed() {
        for length in [1u64 << 40, u64::MAX >> 1] {
            let mut bytes = encode_wire("test", 1, &length).unwrap();
            bytes.extend(b"text");
            let body = &bytes[1..];
            assert!(matches!(decode_body::<String>("test", body), Err(StoreError::Damaged { .. })), "{length}");
            assert!(matches!(decode_body::<Vec<u64>>("test", body), Err(StoreError::Damaged { .. })), "{length}");
        }
    }

    #[test]
    fn a_head_of_the_first_version_is_read_and_written_as_the_second() {
        let old = encode_wire("head", 1, &(3u64, 9u64, [4u64, 0, 1, 0, 2, 0, 0])).unwrap();
        let head = decode::<Head>("head", &old).unwrap();
        assert_eq!((head.epoch, head.last_seq, head.total()), (Epoch(3), 9, 7));
        assert_eq!([Status::Queued, Status::Sent, Status::Read].map(|status| head.count(status)), [4, 1, 2]);
        let new = encode("head", &head).unwrap();
        assert_eq!((new[0], decode::<Head>("head", &new).unwrap()), (2, head));
    }
}
