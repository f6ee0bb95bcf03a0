//! The high-water mark: how many batches were acknowledged, noted outside sled's log. sled takes a log without its end, or no log
//! at all, for a store to which less was written; only a note kept elsewhere tells that more was acknowledged.
//!
//! The mark is a line of text behind the head of the file `twotick.store`. Two slots take turns, each in a sector of its own, so
//! that a write that is cut off leaves the mark before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const SECTORS: [u64; 2] = [512, 1024];
/// `turn …20… batches …20… trusted …8…\n`
const LINE: usize = 72;

/// How far the store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HighWaterMark {
    /// Batches that were acknowledged.
    pub(crate) batches: u64,
    /// False once something was found to be amiss, until the store was verified: sled tidies up when it opens a damaged
    /// log, and the next start would see nothing of it.
    pub(crate) trusted: bool,
}

/// The two slots that hold it.
#[derive(Debug)]
pub(crate) struct HighWaterMarkSlots {
    file: File,
    turn: u64,
    last: Option<HighWaterMark>,
}

impl HighWaterMarkSlots {
    /// Reads the last mark, if there is a whole one.
    pub(crate) fn read(file: File) -> io::Result<Self> {
        let mut slots = Self { file, turn: 0, last: None };
        for sector in SECTORS {
            let mut line = [0; LINE];
            match slots.file.read_exact_at(&mut line, sector) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(error),
            }
            if let Some((turn, mark)) = parse(&line)
                && turn >= slots.turn
            {
                (slots.turn, slots.last) = (turn, Some(mark));
            }
        }
        Ok(slots)
    }

    /// The last mark; `None` where none was ever made, or both slots are damaged.
    pub(crate) const fn last(&self) -> Option<HighWaterMark> {
        self.last
    }

    /// Notes `mark`. It outlives the process at once, and a power cut once the system has written it out, or after
    /// [`HighWaterMarkSlots::sync`]. A mark that is too low after a power cut only says less.
    pub(crate) fn note(&mut self, mark: HighWaterMark) -> io::Result<()> {
        let turn = self.turn + 1;
        let sector = if turn.is_multiple_of(2) { SECTORS[0] } else { SECTORS[1] };
        self.file.write_all_at(line(turn, mark).as_bytes(), sector)?;
        (self.turn, self.last) = (turn, Some(mark));
        Ok(())
    }

    /// Makes what was noted survive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn line(turn: u64, mark: HighWaterMark) -> String {
    let word = if mark.trusted { "trusted" } else { "doubted" };
    let text = format!("turn {turn:020} batches {:020} {word} ", mark.batches);
    format!("{text}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<(u64, HighWaterMark)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (_, turn, _, batches, word) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let turn = turn.parse().ok()?;
    let mark = HighWaterMark { batches: batches.parse().ok()?, trusted: word == "trusted" };
    (line(turn, mark) == text).then_some((turn, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(file: &File) -> HighWaterMarkSlots {
        HighWaterMarkSlots::read(file.try_clone().unwrap()).unwrap()
    }

    #[test]
    fn the_last_mark_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(slots(&file).last(), None);
        for batches in [1, 2, 3, 0] {
            let mark = HighWaterMark { batches, trusted: batches != 2 };
            slots(&file).note(mark).unwrap();
            assert_eq!(slots(&file).last(), Some(mark));
        }
    }

    #[test]
    fn a_mark_that_was_cut_off_leaves_the_one_before() {
        let file = tempfile::tempfile().unwrap();
        let mark = |batches| HighWaterMark { batches, trusted: true };
        slots(&file).note(mark(7)).unwrap();
        slots(&file).note(mark(8)).unwrap();
        for cut in 0..LINE {
            let mut torn = line(3, mark(9)).into_bytes();
            torn[cut] ^= 1;
            file.write_all_at(&torn, SECTORS[1]).unwrap();
            assert_eq!(slots(&file).last(), Some(mark(8)), "at {cut}");
        }
    }
}
