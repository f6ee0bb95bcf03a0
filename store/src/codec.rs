//! How a record becomes bytes: one byte of format, then bincode. A new format gets a new number and keeps a reader for
//! the old one.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::StoreError;

/// The formats that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Format {
    /// All in clear.
    Plain = 1,
    /// Of an organisation: with its secrets sealed.
    Sealed = 2,
}

/// No record is longer, by far. What a damaged one says of its lengths is not believed beyond this: to make room for it would
/// end the process.
const LONGEST: usize = 64 << 20;
const CONFIG: Configuration<LittleEndian, Varint, Limit<LONGEST>> = standard().with_limit();

/// A record kind, named in errors.
pub(crate) type Kind = &'static str;

pub(crate) fn encode<T: Serialize>(kind: Kind, record: &T) -> Result<Vec<u8>, StoreError> {
    encode_as(Format::Plain, kind, record)
}

pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, StoreError> {
    decode_as(Format::Plain, kind, bytes)
}

/// What a record is written in.
pub(crate) fn format(kind: Kind, bytes: &[u8]) -> Result<Format, StoreError> {
    match bytes.first() {
        Some(1) => Ok(Format::Plain),
        Some(2) => Ok(Format::Sealed),
        Some(&found) if found > Format::Sealed as u8 => Err(StoreError::Newer { what: kind, found }),
        Some(_) | None => Err(StoreError::Damaged { what: kind }),
    }
}

pub(crate) fn encode_as<T: Serialize>(format: Format, kind: Kind, record: &T) -> Result<Vec<u8>, StoreError> {
    let bytes = bincode::serde::encode_to_vec((format as u8, record), CONFIG);
    bytes.map_err(|error| StoreError::Backend { doing: kind, cause: error.to_string() })
}

pub(crate) fn decode_as<T: DeserializeOwned>(wanted: Format, kind: Kind, bytes: &[u8]) -> Result<T, StoreError> {
    let found = format(kind, bytes)?;
    if found != wanted {
        return Err(StoreError::Newer { what: kind, found: found as u8 });
    }
    let body = bytes.get(1..).unwrap_or_default();
    match bincode::serde::decode_from_slice(body, CONFIG) {
        Ok((record, read)) if read == body.len() => Ok(record),
        Ok(_) | Err(_) => Err(StoreError::Damaged { what: kind }),
    }
}

/// Decodes what a record in clear begins with, and leaves the rest unread.
pub(crate) fn decode_start<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, StoreError> {
    match format(kind, bytes)? {
        Format::Plain => {}
        found @ Format::Sealed => return Err(StoreError::Newer { what: kind, found: found as u8 }),
    }
    let start = bincode::serde::decode_from_slice(bytes.get(1..).unwrap_or_default(), CONFIG);
    start.map(|(start, _)| start).map_err(|_| StoreError::Damaged { what: kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let bytes = encode("test", &("text", 5u64, [1u8; 3])).unwrap();
        assert_eq!(bytes[0], Format::Plain as u8);
        assert_eq!(decode::<(String, u64, [u8; 3])>("test", &bytes).unwrap(), ("text".to_owned(), 5, [1; 3]));
    }

    #[test]
    fn damaged_or_newer_bytes_are_told_apart_and_never_guessed() {
        let mut bytes = encode("test", &7u64).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u64>("test", &bytes), Err(StoreError::Damaged { .. })));
        bytes[0] = Format::Plain as u8 + 1;
        assert!(matches!(decode::<u64>("test", &bytes), Err(StoreError::Newer { found: 2, .. })));
        assert!(matches!(decode::<u64>("test", &[]), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_length_that_cannot_be_is_damage_and_not_believed() {
        for length in [1u64 << 40, u64::MAX >> 1] {
            let mut bytes = encode("test", &length).unwrap();
            bytes.extend(b"text");
            assert!(matches!(decode::<String>("test", &bytes), Err(StoreError::Damaged { .. })), "{length}");
            assert!(matches!(decode::<Vec<u64>>("test", &bytes), Err(StoreError::Damaged { .. })), "{length}");
        }
    }
}
