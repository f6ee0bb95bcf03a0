//! Sorted blocks in sled: neighbouring records packed together. A block lies under the first key that it may hold and
//! reaches up to the next block's; what lies before the first block belongs to it, too.

use std::ops::Bound;

use ::sled::{Batch, Db, IVec};

use crate::backend::StoreError;
use crate::memtable::Changes;
use crate::packed::{Entry, Unpacked, pack, size_of};
use crate::sled::failed;

/// No record's key is below this one; sled holds other things there.
pub(crate) const FIRST: &[u8] = &[1];
/// Bytes of a block before it is packed. sled writes a page of more than 128 KiB to a file of its own and never syncs
/// that file; a page holds up to 17 values.
const BLOCK_MAX: usize = 7 * 1024;
/// Bytes of blocks that are written at once: enough that a sync costs little beside them, and no more than moments of others' time.
const STEP: usize = 256 << 10;

/// A block, as it was at one moment.
pub(crate) struct Block {
    from: IVec,
    records: Unpacked,
}

impl Block {
    /// The block that `key` belongs to.
    pub(crate) fn of(tree: &Db, key: &[u8]) -> Result<Self, StoreError> {
        Self::last_of(tree, Bound::Included(key))
    }

    /// The block that the last key before `end` belongs to.
    pub(crate) fn before(tree: &Db, end: &[u8]) -> Result<Self, StoreError> {
        Self::last_of(tree, Bound::Excluded(end))
    }

    fn last_of(tree: &Db, end: Bound<&[u8]>) -> Result<Self, StoreError> {
        let found = tree.range::<&[u8], _>((Bound::Included(FIRST), end)).next_back();
        match found.transpose().map_err(failed("read"))? {
            Some((from, packed)) => Ok(Self { from, records: Unpacked::new(&packed)? }),
            None => Ok(Self { from: FIRST.into(), records: Unpacked::default() }),
        }
    }

    /// The first key that may be in it.
    pub(crate) fn from(&self) -> &[u8] {
        if *self.from == *FIRST { &[] } else { &self.from }
    }

    /// Where the next one begins by now: it, too, may have been split since it was read.
    pub(crate) fn next(&self, tree: &Db) -> Result<Option<IVec>, StoreError> {
        Ok(tree.get_gt(&self.from).map_err(failed("read"))?.map(|(key, _)| key))
    }

    /// The value of `key`, which belongs to this block.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().find(|(found, _)| *found == key).and_then(|(_, value)| value)
    }

    /// Its records, in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.iter()
    }

    /// Writes its records with `changes`, which belong to it, into as many blocks as they need; of how many bytes these are.
    fn change<'a>(&self, changes: impl Iterator<Item = Entry<'a>>, batch: &mut Batch) -> Result<usize, StoreError> {
        let (mut changes, mut records) = (changes.peekable(), self.records.iter().peekable());
        let mut merged = Vec::new();
        loop {
            let change_is_next = match (changes.peek(), records.peek()) {
                (Some((change, _)), Some((record, _))) => change <= record,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if !change_is_next {
                merged.extend(records.next());
            } else if let Some((key, value)) = changes.next() {
                records.next_if(|(record, _)| *record == key);
                merged.extend(value.map(|value| (key, Some(value))));
            }
        }
        self.write(&merged, batch)
    }

    /// Puts `records` in its place, in blocks of about the same size; of how many bytes these are.
    fn write(&self, records: &[Entry<'_>], batch: &mut Batch) -> Result<usize, StoreError> {
        let size: usize = records.iter().copied().map(size_of).sum();
        let enough = size.div_ceil(size.div_ceil(BLOCK_MAX).max(1));
        let (mut from, mut rest, mut bytes) = (&*self.from, records, 0);
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |entry: &&Entry<'_>| {
                let before = size;
                size += size_of(**entry);
                before == 0 || (before < enough && size <= BLOCK_MAX)
            };
            let (block, behind) = rest.split_at(rest.iter().take_while(fits).count());
            let packed = pack(block.iter().copied())?;
            bytes += packed.len();
            batch.insert(from, packed);
            rest = behind;
            from = rest.first().map_or(from, |(key, _)| key);
        }
        if records.is_empty() {
            batch.remove(&*self.from);
        }
        Ok(bytes)
    }
}

/// How many records lie under a key of sled.
pub(crate) fn count(key: &[u8], value: &[u8]) -> Result<u64, StoreError> {
    if key < FIRST {
        return Ok(0);
    }
    Ok(u64::try_from(Unpacked::new(value)?.iter().count()).unwrap_or(u64::MAX))
}

/// Puts `changes` from key `from` on into the blocks that they belong to, until `batch` has about [`STEP`] more bytes. From which
/// key on changes are left, if any are.
pub(crate) fn absorb(
    tree: &Db,
    changes: &Changes,
    from: &[u8],
    batch: &mut Batch,
) -> Result<Option<Vec<u8>>, StoreError> {
    let (mut from, mut bytes) = (from.to_vec(), 0);
    while let Some((next, _)) = changes.range::<[u8], _>((Bound::Included(&*from), Bound::Unbounded)).next() {
        if bytes >= STEP {
            return Ok(Some(from));
        }
        // What the batch already holds is not in the tree yet; but it has taken all changes of the blocks before.
        let block = Block::of(tree, next)?;
        let to = block.next(tree)?;
        let end = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let changes = changes.range::<[u8], _>((Bound::Included(next.as_slice()), end));
        bytes += block.change(changes.map(|(key, value)| (key.as_slice(), value.as_deref())), batch)?;
        match to {
            Some(to) => from = to.to_vec(),
            None => break,
        }
    }
    Ok(None)
}
