//! The journal: each batch as it was written, in sled, until all that it changed is in the blocks.

use std::ops::RangeInclusive;

use ::sled::{Batch, Db};

use crate::backend::{StoreError, Write};
use crate::packed::{Unpacked, pack};
use crate::sled::failed;

/// Below [`crate::blocks::FIRST`].
const PREFIX: &[u8] = b"\0j";
/// Bytes under one key: as for [`crate::blocks`].
const PART_MAX: usize = 7 * 1024;

fn key(batch: u64, part: u16) -> Vec<u8> {
    [PREFIX, &batch.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// The number of the batch and of its part.
fn numbers(key: &[u8]) -> Option<(u64, u16)> {
    let (batch, part) = key.strip_prefix(PREFIX)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*batch), u16::from_be_bytes(part.try_into().ok()?)))
}

/// Writes down what the batch of this number changes.
pub(crate) fn append(no: u64, writes: &[Write], batch: &mut Batch) -> Result<(), StoreError> {
    let packed = pack(writes.iter().map(Write::entry))?;
    if packed.len() > PART_MAX * usize::from(u16::MAX) {
        return Err(StoreError::Backend { doing: "write", cause: "the batch is too large".into() });
    }
    for (part, bytes) in (0..).zip(packed.chunks(PART_MAX)) {
        batch.insert(key(no, part), bytes);
    }
    Ok(())
}

/// Hands over what each batch behind number `after` has changed, in order; the number of the last.
pub(crate) fn replay(tree: &Db, after: u64, mut apply: impl FnMut(Vec<Write>)) -> Result<u64, StoreError> {
    let (mut last, mut packed) = (after, Vec::new());
    let mut finish = |packed: &[u8]| -> Result<(), StoreError> {
        let writes = Unpacked::new(packed)?;
        apply(writes.iter().map(|(key, value)| Write::new(key.to_vec(), value.map(<[u8]>::to_vec))).collect());
        Ok(())
    };
    let mut next_part = 0;
    for item in tree.range(key(after + 1, 0)..=key(u64::MAX, u16::MAX)) {
        let (key, part) = item.map_err(failed("read"))?;
        let damaged = StoreError::Damaged { what: "journal" };
        match numbers(&key) {
            Some((no, 0)) if no == last + 1 => {
                if last > after {
                    finish(&packed)?;
                }
                (last, packed) = (no, part.to_vec());
                next_part = 1;
            }
            Some((no, found)) if no == last && found == next_part => {
                packed.extend_from_slice(&part);
                next_part += 1;
            }
            Some(_) | None => return Err(damaged),
        }
    }
    if last > after {
        finish(&packed)?;
    }
    Ok(last)
}

/// Removes batches, whose changes are all in the blocks.
pub(crate) fn forget(tree: &Db, batches: RangeInclusive<u64>, batch: &mut Batch) -> Result<(), StoreError> {
    for item in tree.range(key(*batches.start(), 0)..=key(*batches.end(), u16::MAX)).keys() {
        batch.remove(item.map_err(failed("read"))?);
    }
    Ok(())
}
