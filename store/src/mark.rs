//! How far the store has come, noted outside sled's log. sled takes a log without its end, or no log at all, for a store
//! to which less was written; only a note kept elsewhere tells that more was acknowledged.
//!
//! The note is a line of text behind the head of the file `twotick.store`, in one of two sectors that take turns, so that a
//! write that is cut off leaves the one before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const SECTORS: [u64; 2] = [512, 1024];
/// `turn …20… batches …20… trusted …8…\n`
const LINE: usize = 72;

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Batches that were acknowledged.
    pub(crate) batches: u64,
    /// False once something was found to be amiss, until the store was verified: sled tidies up when it opens a damaged
    /// log, and the next start would see nothing of it.
    pub(crate) trusted: bool,
}

/// The two sectors.
#[derive(Debug)]
pub(crate) struct Marks {
    file: File,
    turn: u64,
    last: Option<Mark>,
}

impl Marks {
    /// Reads the last mark, if there is a whole one.
    pub(crate) fn read(file: File) -> io::Result<Self> {
        let mut marks = Self { file, turn: 0, last: None };
        for sector in SECTORS {
            let mut line = [0; LINE];
            match marks.file.read_exact_at(&mut line, sector) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(error),
            }
            if let Some((turn, mark)) = parse(&line)
                && turn >= marks.turn
            {
                (marks.turn, marks.last) = (turn, Some(mark));
            }
        }
        Ok(marks)
    }

    /// The last mark; `None` where none was ever made, or both sectors are damaged.
    pub(crate) const fn last(&self) -> Option<Mark> {
        self.last
    }

    /// Notes `mark`. It outlives the process at once, and a power cut once the system has written it out, or after
    /// [`Marks::sync`]. A mark that is too low after a power cut only says less.
    pub(crate) fn note(&mut self, mark: Mark) -> io::Result<()> {
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

fn line(turn: u64, mark: Mark) -> String {
    let word = if mark.trusted { "trusted" } else { "doubted" };
    let text = format!("turn {turn:020} batches {:020} {word} ", mark.batches);
    format!("{text}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<(u64, Mark)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (_, turn, _, batches, word) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let turn = turn.parse().ok()?;
    let mark = Mark { batches: batches.parse().ok()?, trusted: word == "trusted" };
    (line(turn, mark) == text).then_some((turn, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(file: &File) -> Marks {
        Marks::read(file.try_clone().unwrap()).unwrap()
    }

    #[test]
    fn the_last_mark_is_read_back() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(marks(&file).last(), None);
        for batches in [1, 2, 3, 0] {
            let mark = Mark { batches, trusted: batches != 2 };
            marks(&file).note(mark).unwrap();
            assert_eq!(marks(&file).last(), Some(mark));
        }
    }

    #[test]
    fn a_mark_that_was_cut_off_leaves_the_one_before() {
        let file = tempfile::tempfile().unwrap();
        let mark = |batches| Mark { batches, trusted: true };
        marks(&file).note(mark(7)).unwrap();
        marks(&file).note(mark(8)).unwrap();
        for cut in 0..LINE {
            let mut torn = line(3, mark(9)).into_bytes();
            torn[cut] ^= 1;
            file.write_all_at(&torn, SECTORS[1]).unwrap();
            assert_eq!(marks(&file).last(), Some(mark(8)), "at {cut}");
        }
    }
}
