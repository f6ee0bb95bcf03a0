//! One file of the write-ahead log (journal): a header, then batches one after the other, each synced before the next is written.
//! Begun anew it is written over in place: its space is there already, so that a sync has nothing to do but the batch itself.
//!
//! Every checksum goes over a salt that is drawn when the file is begun. So neither what an earlier use has left in the
//! file, nor what somebody may have put into a message, can be taken for a batch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crc32fast::Hasher;

use crate::backend::StoreError;
use crate::folder::open_or_make;
use crate::random::random;
use crate::sled::failed_io;

const MAGIC: &[u8; 8] = b"twotick1";
/// Magic, salt, the first batch's number, checksum; to a whole number of [`ALIGN`].
const HEADER: usize = 32;
/// Checksum, length, the batch's number.
const FRAME: usize = 16;
/// Batches begin at multiples of it.
const ALIGN: usize = 8;
/// The file grows by so many bytes at a time: a sync of one that has grown costs twice as much.
const GROWTH: u64 = 256 << 10;
/// A file with so many bytes of batches is full: it is read back as a whole at a start. Less than [`KEPT_MAX`], so that one
/// that was full keeps its space.
const FULL: u64 = 12 << 20;
/// A file of more bytes than this is cut off when it is begun anew: it once held a batch of unusual size.
const KEPT_MAX: u64 = 16 << 20;

type Salt = [u8; 8];

/// A file that takes batches, or can be begun.
pub(super) struct JournalFile {
    file: File,
    /// Bytes of the file.
    len: u64,
    begun: Option<Begun>,
    /// What is to be written, kept for its memory.
    buffer: Vec<u8>,
}

/// What a file in use holds.
struct Begun {
    salt: Salt,
    /// The number of its first batch.
    first: u64,
    /// Where the next batch goes.
    end: u64,
}

impl JournalFile {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = open_or_make(path)?;
        let len = file.metadata()?.len();
        let mut header = [0; HEADER];
        let begun = match file.read_exact_at(&mut header, 0) {
            Ok(()) => Begun::read(&header),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, len, begun, buffer: Vec::new() })
    }

    /// The number of its first batch, whether or not that came to be written; `None` if it was not begun.
    pub(super) fn first(&self) -> Option<u64> {
        self.begun.as_ref().map(|begun| begun.first)
    }

    /// Whether it holds as much as it should.
    pub(super) fn is_full(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.end >= FULL)
    }

    /// Bytes that it takes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Hands over its batches, in their order, up to the first that is not whole. The last may be cut off, since nobody was
    /// told of it; the number of one behind it that is whole tells that more was acknowledged.
    pub(super) fn replay(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        let Some(begun) = &mut self.begun else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0).map_err(failed_io("read its journal"))?;
        // A process that was killed may have left batches that only the system's memory has.
        self.file.sync_data().map_err(failed_io("sync its journal"))?;
        let (mut at, mut next) = (HEADER, begun.first);
        while let Some((number, batch)) = begun.frame(&bytes, at).filter(|(number, _)| *number == next) {
            each(batch)?;
            at += aligned(FRAME + batch.len());
            next = number + 1;
        }
        begun.end = u64::try_from(at).unwrap_or(u64::MAX);
        // No batch is written before the one before it is synced: where another follows, this one was whole.
        let behind = (at..bytes.len()).step_by(ALIGN).skip(1);
        Ok(behind
            .filter_map(|at| begun.frame(&bytes, at))
            .map(|(number, _)| number)
            .filter(|number| *number > next)
            .max())
    }

    /// Writes a batch behind the last; when it returns `Ok` that is durable. Otherwise nothing of it stays, unless the disk
    /// refuses even that; and nothing more may be written before the file was opened again.
    pub(super) fn append(&mut self, number: u64, batch: &[u8]) -> Result<(), StoreError> {
        self.buffer.clear();
        let begun = match &mut self.begun {
            Some(begun) => begun,
            None => {
                if self.len > KEPT_MAX {
                    self.file.set_len(0).map_err(failed_io("cut off its journal"))?;
                    self.len = 0;
                }
                let begun = self.begun.insert(Begun { salt: random()?, first: number, end: 0 });
                begun.write(&mut self.buffer);
                begun
            }
        };
        begun.write_frame(number, batch, &mut self.buffer)?;
        let start = begun.end;
        begun.end += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        if begun.end > self.len {
            let grown = begun.end.next_multiple_of(GROWTH) - start;
            self.buffer.resize(usize::try_from(grown).unwrap_or(usize::MAX), 0);
        }
        self.len = self.len.max(start + u64::try_from(self.buffer.len()).unwrap_or(0));
        let written = self.file.write_all_at(&self.buffer, start).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Best effort: the error that is told is the first one.
            let _ = self.file.set_len(start);
        }
        written.map_err(failed_io("write its journal"))
    }

    /// Its batches are not needed any more.
    pub(super) fn free(&mut self) {
        self.begun = None;
    }

    /// Removes its batches, so that the disk does not hold them either.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.free();
        self.file.set_len(0)?;
        self.len = 0;
        self.file.sync_all()
    }
}

impl Begun {
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let (magic, rest) = header.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        let begun = Self { salt: *salt, first: u64::from_le_bytes(*first), end: HEADER as u64 };
        (magic == MAGIC && begun.checksum(&[first]) == u32::from_le_bytes(*checksum)).then_some(begun)
    }

    fn write(&self, into: &mut Vec<u8>) {
        let first = self.first.to_le_bytes();
        into.extend_from_slice(MAGIC);
        into.extend_from_slice(&self.salt);
        into.extend_from_slice(&first);
        into.extend_from_slice(&self.checksum(&[&first]).to_le_bytes());
        into.resize(HEADER, 0);
    }

    fn write_frame(&self, number: u64, batch: &[u8], into: &mut Vec<u8>) -> Result<(), StoreError> {
        let too_long = |_| StoreError::Backend { doing: "write", cause: "the batch is too large".into() };
        let len = u32::try_from(batch.len()).map_err(too_long)?.to_le_bytes();
        let number = number.to_le_bytes();
        into.extend_from_slice(&self.checksum(&[&len, &number, batch]).to_le_bytes());
        into.extend_from_slice(&len);
        into.extend_from_slice(&number);
        into.extend_from_slice(batch);
        into.resize(aligned(into.len()), 0);
        Ok(())
    }

    /// The whole batch that begins there, and its number.
    fn frame<'a>(&self, bytes: &'a [u8], at: usize) -> Option<(u64, &'a [u8])> {
        let (checksum, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let batch = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let is_whole = || self.checksum(&[len, number, batch]) == u32::from_le_bytes(*checksum);
        let number = u64::from_le_bytes(*number);
        // A file holds far fewer batches than that: most of what is not one is told from it without its checksum.
        let may_be = (self.first..self.first.saturating_add(1 << 32)).contains(&number);
        (may_be && is_whole()).then_some((number, batch))
    }

    fn checksum(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(&self.salt);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

const fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn batch(number: u64) -> Vec<u8> {
        vec![u8::try_from(number).unwrap(); 5 + 37 * usize::try_from(number % 5).unwrap()]
    }

    /// A file with these batches.
    fn file(path: &Path, numbers: std::ops::RangeInclusive<u64>) -> JournalFile {
        let mut file = JournalFile::open(path).unwrap();
        file.free();
        numbers.for_each(|number| file.append(number, &batch(number)).unwrap());
        file
    }

    fn replay(file: &mut JournalFile) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        let behind = file.replay(|batch| {
            found.push(batch.to_vec());
            Ok(())
        })?;
        match behind {
            None => Ok(found),
            Some(acknowledged) => Err(StoreError::Lost { acknowledged, found: 0 }),
        }
    }

    fn replayed(path: &Path) -> Result<Vec<Vec<u8>>, StoreError> {
        replay(&mut JournalFile::open(path).unwrap())
    }

    fn batches(numbers: std::ops::RangeInclusive<u64>) -> Vec<Vec<u8>> {
        numbers.map(batch).collect()
    }

    #[test]
    fn batches_come_back_in_their_order_and_more_can_follow() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        file(&path, 3..=9);
        let mut file = JournalFile::open(&path).unwrap();
        assert_eq!(file.first(), Some(3));
        assert_eq!(replay(&mut file).unwrap(), batches(3..=9));
        file.append(10, &batch(10)).unwrap();
        assert_eq!(replayed(&path).unwrap(), batches(3..=10));
    }

    #[test]
    fn a_last_batch_that_was_cut_off_is_left_out_and_its_place_is_used_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        let end = file(&path, 1..=3).begun.unwrap().end;
        file(&path, 1..=4);
        let whole = fs::read(&path).unwrap();
        for cut in (end..end + aligned(FRAME + batch(4).len()) as u64).step_by(8) {
            let mut torn = whole.clone();
            torn[usize::try_from(cut).unwrap()..].fill(0);
            fs::write(&path, torn).unwrap();
            let mut file = JournalFile::open(&path).unwrap();
            let found = replay(&mut file).unwrap();
            assert_eq!(found, batches(1..=3), "cut off at {cut}");
            file.append(4, b"another").unwrap();
            assert_eq!(replayed(&path).unwrap().last().unwrap(), b"another");
        }
    }

    #[test]
    fn a_broken_batch_before_others_is_noticed_wherever_it_is_broken() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        let end = file(&path, 1..=3).begun.unwrap().end;
        file(&path, 1..=5);
        let whole = fs::read(&path).unwrap();
        for at in HEADER..usize::try_from(end).unwrap() - ALIGN {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, broken).unwrap();
            // What only fills up to the next batch's place may break.
            let found = replayed(&path).unwrap_or_default();
            assert!(found.is_empty() || found == batches(1..=5), "broken at {at}");
        }
    }

    #[test]
    fn what_an_earlier_use_has_left_is_not_taken_for_a_batch() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        file(&path, 1..=9);
        // The same numbers again, as if nothing but the salt told them apart.
        for last in 1..=9 {
            file(&path, 1..=last);
            assert_eq!(replayed(&path).unwrap(), batches(1..=last));
        }
    }

    #[test]
    fn a_file_of_which_the_beginning_is_broken_holds_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        file(&path, 1..=2);
        let whole = fs::read(&path).unwrap();
        for at in 0..HEADER - 4 {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, broken).unwrap();
            assert_eq!(JournalFile::open(&path).unwrap().first(), None);
        }
    }

    #[test]
    fn it_grows_in_steps_and_shrinks_after_a_batch_of_unusual_size() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("0");
        assert_eq!(file(&path, 1..=9).len(), GROWTH);
        let mut big = JournalFile::open(&path).unwrap();
        replay(&mut big).unwrap();
        big.append(10, &vec![7; usize::try_from(KEPT_MAX).unwrap()]).unwrap();
        assert_eq!(big.len(), fs::metadata(&path).unwrap().len());
        assert!(big.len() > KEPT_MAX);
        assert_eq!(file(&path, 11..=12).len(), GROWTH);
        assert_eq!(fs::metadata(&path).unwrap().len(), GROWTH);
    }
}
