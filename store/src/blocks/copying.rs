//! What is done to blocks while nobody else uses them: they are copied to another file, and those that cannot be read are given up.

use std::ops::Range;

use ::sled::IVec;

use super::{Blocks, FLUSHED, Step, extents};
use crate::backend::StoreError;
use crate::block_file::Extent;
use crate::filter::Hash;
use crate::keys;
use crate::packed::{Unpacked, pack};
use crate::runs::Run;

impl Blocks {
    /// Takes blocks that cannot be read out of the index; how many. With a block of a run goes what it may have overwritten or
    /// deleted in older runs: else that would come back.
    pub(crate) fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let (mut step, mut forgotten) = (Step::default(), 0);
        for item in extents(&self.index) {
            let (key, extent) = item?;
            let packed = self.file.get(extent)?;
            let is_readable = match Run::is_filter(&key) {
                true => packed.is_some(),
                false => packed.is_some_and(|packed| Unpacked::new(&packed).is_ok()),
            };
            if !is_readable {
                step.index.remove(key);
                step.before.push(extent);
                forgotten += 1;
            }
        }
        self.forget_overwritten(&mut step)?;
        self.commit(step)?;
        Ok(forgotten)
    }

    /// Takes out of each run what a block of a newer one may have changed that cannot be read.
    fn forget_overwritten(&self, step: &mut Step) -> Result<(), StoreError> {
        let runs = self.runs.load();
        let mut lost: Vec<(&Run, Range<Vec<u8>>)> = Vec::new();
        for run in runs.iter() {
            let lost_before = lost.len();
            let mut blocks = self.blocks_of(&run.row).peekable();
            while let Some((key, at)) = blocks.next().transpose()? {
                let at = Extent::from_bytes(&at)?;
                let Some(records) = self.file.get(at)?.and_then(|packed| Unpacked::new(&packed).ok()) else {
                    let next = blocks.peek().and_then(|next| next.as_ref().ok()).map(|(next, _)| next.to_vec());
                    let [from, to] = [key.to_vec(), next.unwrap_or_else(|| keys::within(run.row.clone()).end)];
                    lost.push((run, from..to));
                    continue;
                };
                let is_doubtful = |key: &[u8]| {
                    Hash::knows(key)
                        && lost.iter().take(lost_before).any(|(newer, range)| {
                            range.contains(&[&*newer.row, key].concat()) && newer.filter.may_hold(Hash::of(key))
                        })
                };
                let left: Vec<_> = records.iter().filter(|(key, _)| !is_doubtful(key)).collect();
                if left.len() == records.iter().count() {
                    continue;
                }
                step.index.remove(&key);
                step.before.push(at);
                if !left.is_empty() {
                    self.put(&key, &pack(left)?, step)?;
                }
            }
        }
        Ok(())
    }

    /// Writes all blocks to `copy`, which has none yet, and compares the two; how many records they hold. `progress` is told now
    /// and then how many there were so far.
    pub(crate) fn copy_to(&self, copy: &Self, progress: &mut dyn FnMut(u64)) -> Result<u64, StoreError> {
        self.merge_all()?;
        let (mut records, mut step) = (0, Step::default());
        for block in self.packed() {
            let (key, packed) = block?;
            if !Run::is_filter(&key) {
                records += u64::try_from(Unpacked::new(&packed)?.iter().count()).unwrap_or(u64::MAX);
            }
            copy.put(&key, &packed, &mut step)?;
            if step.bytes >= copy.step_bytes {
                copy.commit(std::mem::take(&mut step))?;
                progress(records);
            }
        }
        step.index.insert(FLUSHED, &self.flushed()?.to_be_bytes());
        copy.commit(step)?;
        let mut copied = copy.packed();
        for block in self.packed() {
            if copied.next().transpose()? != Some(block?) {
                return Err(StoreError::Damaged { what: "copy; the store itself is as it was" });
            }
        }
        match copied.next() {
            Some(_) => Err(StoreError::Damaged { what: "copy; the store itself is as it was" }),
            None => Ok(records),
        }
    }

    /// Every block and filter as it lies in the file, and its key in the index.
    fn packed(&self) -> impl Iterator<Item = Result<(IVec, Vec<u8>), StoreError>> {
        extents(&self.index).map(|item| {
            let (key, extent) = item?;
            let packed = self.file.get(extent)?.ok_or(StoreError::Damaged { what: "block of records" })?;
            Ok((key, packed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Changes;

    #[test]
    fn what_was_overwritten_or_deleted_in_a_block_that_is_given_up_does_not_come_back() {
        let (index, temp) = (::sled::Config::new().temporary(true).open().unwrap(), tempfile::tempdir().unwrap());
        let open = || Blocks::open(index.clone(), temp.path(), 4 << 10, || Ok(())).unwrap();
        let hash = |n: u8| [b"c".as_slice(), &[n; 20]].concat();
        let older: Changes = (0..200).map(|n| (hash(n), Some(vec![1; 50]))).collect();
        let newer: Changes = (0..200).step_by(2).map(|n| (hash(n), (n % 4 == 0).then(|| vec![2; 50]))).collect();
        let blocks = open();
        [&older, &newer].into_iter().for_each(|changes| blocks.flush_all(changes));
        let (key, at) = blocks.blocks_of(&blocks.runs.load()[0].row).nth(1).unwrap().unwrap();
        let to = blocks.blocks_of(&blocks.runs.load()[0].row).nth(2).unwrap().unwrap().0;
        let lost = key[Run::ROW..].to_vec()..to[Run::ROW..].to_vec();
        blocks.file.damage(Extent::from_bytes(&at).unwrap());
        drop(blocks);
        let blocks = open();
        assert!(blocks.get(&hash(lost.start[1])).is_err());
        assert_eq!(blocks.forget_unreadable().unwrap(), 1);
        let mut kept_beside = 0;
        for n in 0..200 {
            let expected = match n % 4 {
                _ if n % 2 == 0 && lost.contains(&hash(n)) => None,
                0 => Some(vec![2; 50]),
                2 => None,
                _ => Some(vec![1; 50]),
            };
            let found = blocks.get(&hash(n)).unwrap();
            kept_beside += u8::from(found.is_some() && lost.contains(&hash(n)));
            // A filter lets pass a few others.
            assert!(found == expected || (found.is_none() && lost.contains(&hash(n))), "{n}: {found:?}");
        }
        assert!(kept_beside > 5, "what was not changed is kept");
        assert_eq!(blocks.forget_unreadable().unwrap(), 0);
    }
}
