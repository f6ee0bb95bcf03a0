//! Many keys and values as one string of bytes, compressed: a row of entries (length of the key, length of the value, key,
//! value), all of it behind its own length as one LZ4 block. What sled pays for a key is paid once for all of them.

use crate::backend::StoreError;

/// A key, and its value; `None` is a tombstone: the key is deleted.
pub(crate) type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

/// Stands in place of the value's length, and says that the entry is a tombstone.
const TOMBSTONE: u32 = u32::MAX;
const HEADER: usize = 6;

/// Bytes that an entry takes before compression.
pub(crate) fn size_of((key, value): Entry<'_>) -> usize {
    HEADER + key.len() + value.map_or(0, <[u8]>::len)
}

/// Packs the entries in their order. A key of more than 64 KiB, and 4 GiB of a value or of all, are refused.
pub(crate) fn pack<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Result<Vec<u8>, StoreError> {
    let too_long = |_| StoreError::Backend { doing: "pack a record", cause: "it is too long".into() };
    let mut raw = Vec::new();
    for (key, value) in entries {
        raw.extend(u16::try_from(key.len()).map_err(too_long)?.to_le_bytes());
        raw.extend(value.map_or(Ok(TOMBSTONE), |value| u32::try_from(value.len())).map_err(too_long)?.to_le_bytes());
        raw.extend_from_slice(key);
        raw.extend_from_slice(value.unwrap_or_default());
    }
    // LZ4 would write down a length that was cut off.
    u32::try_from(raw.len()).map_err(too_long)?;
    Ok(lz4_flex::block::compress_prepend_size(&raw))
}

/// Entries that were packed.
#[derive(Default)]
pub(crate) struct Unpacked {
    raw: Vec<u8>,
}

impl Unpacked {
    /// Unpacks what [`pack`] made.
    pub(crate) fn new(packed: &[u8]) -> Result<Self, StoreError> {
        let damaged = StoreError::Damaged { what: "block of records" };
        // LZ4 makes of a byte no more than 255; a length beyond that is no reason to take so much memory.
        let len = packed.first_chunk().map_or(u32::MAX, |len| u32::from_le_bytes(*len));
        if usize::try_from(len).unwrap_or(usize::MAX) > packed.len().saturating_mul(255) {
            return Err(damaged);
        }
        let Ok(raw) = lz4_flex::block::decompress_size_prepended(packed) else { return Err(damaged) };
        let unpacked = Self { raw };
        let len: usize = unpacked.iter().map(size_of).sum();
        if len == unpacked.raw.len() { Ok(unpacked) } else { Err(damaged) }
    }

    /// Bytes of memory.
    pub(crate) const fn size(&self) -> usize {
        self.raw.len()
    }

    /// The entries, in the order in which they were packed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = self.raw.as_slice();
        std::iter::from_fn(move || {
            let (entry, behind) = split(rest)?;
            rest = behind;
            Some(entry)
        })
    }
}

/// The first entry, and what is behind it.
fn split(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (key_len, bytes) = bytes.split_first_chunk()?;
    let (value_len, bytes) = bytes.split_first_chunk()?;
    let (key, bytes) = bytes.split_at_checked(u16::from_le_bytes(*key_len).into())?;
    match u32::from_le_bytes(*value_len) {
        TOMBSTONE => Some(((key, None), bytes)),
        len => {
            let (value, bytes) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            Some(((key, Some(value)), bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: [Entry<'static>; 4] =
        [(b"a", Some(b"one")), (b"", None), (b"b", Some(b"")), (b"c", Some(&[7; 5000]))];

    #[test]
    fn what_was_packed_comes_back_in_its_order() {
        for len in 0..=ENTRIES.len() {
            let packed = pack(ENTRIES.into_iter().take(len)).unwrap();
            assert!(Unpacked::new(&packed).unwrap().iter().eq(ENTRIES.into_iter().take(len)));
        }
    }

    #[test]
    fn packed_entries_that_were_cut_off_are_not_taken_for_fewer() {
        let packed = pack(ENTRIES).unwrap();
        for end in 0..packed.len() {
            assert!(Unpacked::new(&packed[..end]).is_err(), "cut at {end}");
        }
    }
}
