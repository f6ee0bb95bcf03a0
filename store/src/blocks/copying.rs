//! What is done to blocks while nobody else uses them: they are copied to another file, and those that cannot be read are given up.

use ::sled::IVec;

use super::{Blocks, MOVED, Step, places};
use crate::backend::StoreError;
use crate::packed::Unpacked;
use crate::runs::Run;

impl Blocks {
    /// Takes blocks that cannot be read out of the index; how many.
    pub(crate) fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let (mut step, mut gone) = (Step::default(), 0);
        for item in places(&self.index) {
            let (key, place) = item?;
            let packed = self.file.get(place)?;
            let is_readable = match Run::is_filter(&key) {
                true => packed.is_some(),
                false => packed.is_some_and(|packed| Unpacked::new(&packed).is_ok()),
            };
            if !is_readable {
                step.index.remove(key);
                step.before.push(place);
                gone += 1;
            }
        }
        self.commit(step)?;
        Ok(gone)
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
        step.index.insert(MOVED, &self.moved()?.to_be_bytes());
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
        places(&self.index).map(|item| {
            let (key, place) = item?;
            let packed = self.file.get(place)?.ok_or(StoreError::Damaged { what: "block of records" })?;
            Ok((key, packed))
        })
    }
}
