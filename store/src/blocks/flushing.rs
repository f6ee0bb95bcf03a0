//! Flushing a memtable into the blocks, a step at a time: hashes into a sorted run of their own, then all else in place.

use std::ops::Bound;
use std::sync::Arc;

use super::{Block, Blocks, FIRST, FLUSHED, IN_PLACE, Step};
use crate::backend::StoreError;
use crate::filter::Hash;
use crate::keys;
use crate::memtable::Changes;
use crate::packed::{Entry, size_of};
use crate::runs::Run;

/// How far a memtable is flushed.
#[derive(Default)]
pub(crate) enum FlushProgress {
    /// Nothing is flushed.
    #[default]
    NotBegun,
    /// Hashes are left from this key on; they go into the run.
    Hashes(Arc<Run>, Vec<u8>),
    /// All else is left from this key on.
    InPlace(Vec<u8>),
}

impl Blocks {
    /// Flushes a part of `changes`, which are those of batches up to number `last`, durably. Tells how far they are flushed then;
    /// `None` if they all are, and so all batches up to `last`.
    pub(crate) fn flush(
        &self,
        changes: &Changes,
        last: u64,
        progress: &FlushProgress,
    ) -> Result<Option<FlushProgress>, StoreError> {
        let mut step = Step::default();
        let left = match progress {
            FlushProgress::NotBegun => {
                let hashes = changes.keys().filter(|key| keys::is_hashed(key)).count();
                if hashes == 0 {
                    return Ok(Some(FlushProgress::InPlace(vec![])));
                }
                let run = self.runs.begin(hashes);
                self.flush_hashes(changes, &run, &[], &mut step)?
            }
            FlushProgress::Hashes(run, from) => self.flush_hashes(changes, run, from, &mut step)?,
            FlushProgress::InPlace(from) => {
                let left = self.flush_in_place(changes, from, &mut step)?;
                if left.is_none() {
                    step.index.insert(FLUSHED, &last.to_be_bytes());
                }
                left
            }
        };
        self.commit(step)?;
        Ok(left)
    }

    /// Flushes all of it.
    #[cfg(test)]
    pub(super) fn flush_all(&self, changes: &Changes) {
        let mut progress = Some(FlushProgress::NotBegun);
        while let Some(from) = progress {
            progress = self.flush(changes, 1, &from).unwrap();
        }
    }

    fn flush_hashes(
        &self,
        changes: &Changes,
        run: &Arc<Run>,
        from: &[u8],
        step: &mut Step,
    ) -> Result<Option<FlushProgress>, StoreError> {
        let mut left = changes_from(changes, from).filter(|(key, _)| keys::is_hashed(key)).peekable();
        let (mut records, mut size) = (Vec::new(), 0);
        while let Some(record) = left.next_if(|_| size < self.step_bytes) {
            size += size_of(record);
            records.push(record);
        }
        self.fill(run, &records, step)?;
        if let Some((from, _)) = left.peek() {
            return Ok(Some(FlushProgress::Hashes(Arc::clone(run), from.to_vec())));
        }
        self.keep_filter(run, step)?;
        Ok(Some(FlushProgress::InPlace(vec![])))
    }

    /// Writes records behind all that are in a run.
    pub(super) fn fill(&self, run: &Run, records: &[Entry<'_>], step: &mut Step) -> Result<(), StoreError> {
        let Some((first, _)) = records.first() else { return Ok(()) };
        records.iter().for_each(|(key, _)| run.filter.insert(Hash::of(key)));
        self.write(&run.row, first, records, step)
    }

    fn flush_in_place(
        &self,
        changes: &Changes,
        from: &[u8],
        step: &mut Step,
    ) -> Result<Option<FlushProgress>, StoreError> {
        let mut from = from.to_vec();
        loop {
            let mut left = changes_from(changes, &from).filter(|(key, _)| !keys::is_hashed(key)).peekable();
            let Some((next, _)) = left.peek() else { return Ok(None) };
            if step.bytes >= self.step_bytes {
                return Ok(Some(FlushProgress::InPlace(next.to_vec())));
            }
            // What the step already holds is not in the index yet; but it has taken all changes of the blocks before.
            let block = self.of(IN_PLACE, next)?;
            let to = self.next(&block)?;
            self.change(&block, left.take_while(|(key, _)| to.as_deref().is_none_or(|to| *key < to)), step)?;
            let Some(to) = to else { return Ok(None) };
            from = to;
        }
    }

    /// Writes the records of a block in place with `changes`, which belong to it, into as many blocks as they need.
    fn change<'a>(
        &self,
        block: &Block,
        changes: impl Iterator<Item = Entry<'a>>,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let (mut changes, mut records) = (changes.peekable(), block.records.iter().peekable());
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
        step.before.extend(block.extent);
        step.index.remove(&block.key);
        // Not by the key of a deleted record: that key would outlive even a compaction.
        let from = merged.first().map_or(FIRST, |(first, _)| if block.key == FIRST { FIRST } else { first });
        self.write(IN_PLACE, from, &merged, step)
    }
}

fn changes_from<'a>(changes: &'a Changes, from: &[u8]) -> impl Iterator<Item = Entry<'a>> {
    let from = (Bound::Included(from), Bound::Unbounded);
    changes.range::<[u8], _>(from).map(|(key, value)| (key.as_slice(), value.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::super::extents;
    use super::*;

    #[test]
    fn the_index_holds_no_key_of_a_deleted_record() {
        let (index, temp) = (::sled::Config::new().temporary(true).open().unwrap(), tempfile::tempdir().unwrap());
        let blocks = Blocks::open(index, temp.path(), 4 << 10, || Ok(())).unwrap();
        let key = |n: u16| [b"q".as_slice(), &n.to_be_bytes()].concat();
        let begins = || -> Vec<Vec<u8>> {
            extents(&blocks.index).map(|item| item.unwrap().0.to_vec()).filter(|key| key != FIRST).collect()
        };
        blocks.flush_all(&(0..1000).map(|n| (key(n), Some(vec![7; 50]))).collect());
        let deleted = begins();
        assert!(deleted.len() > 5);
        blocks.flush_all(&deleted.iter().map(|key| (key.clone(), None)).collect());
        assert!(begins().len() > 5 && begins().iter().all(|key| !deleted.contains(key)));
        for n in 0..1000 {
            let expected = (!deleted.contains(&key(n))).then(|| vec![7; 50]);
            assert_eq!(blocks.get(&key(n)).unwrap(), expected);
        }
        // What comes before those that are left has a block, too.
        blocks.flush_all(&deleted.iter().map(|key| (key.clone(), Some(vec![8]))).collect());
        assert!(deleted.iter().all(|key| blocks.get(key).unwrap() == Some(vec![8])));
    }
}
