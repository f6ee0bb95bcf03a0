//! An undo log for sled's start: a copy of what sled replays of its log, kept while sled opens that log.
//!
//! When sled opens a log that was written to since its last snapshot, it writes a new snapshot and wipes the segments that this
//! one does not need, wherever they are, but it does not sync the folder in between. After a power cut at that moment the
//! wiped segments may be on the disk, and the new snapshot's name not: sled then replays the log from the old snapshot
//! without them, and takes the first for the log's end, or does not know any more which page is where. So all that is
//! replayed is copied before, and put back if the copy is still there at the next start.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use crate::folder::sync_folder;
use crate::sled_log::{self, SEGMENT};

/// Of a segment's copy: where the segment begins in the log, and how much of it there is.
const HEADER: usize = 16;
const CHECKSUM: usize = 4;

fn path_in(folder: &Path) -> PathBuf {
    folder.join("log.rescue")
}

/// Copies the segments that begin at `starts`.
pub(crate) fn save(folder: &Path, log: &File, starts: &[u64]) -> io::Result<()> {
    let mut copy = BufWriter::new(File::create(path_in(folder))?);
    let (mut hasher, mut bytes) = (Hasher::new(), vec![0; SEGMENT]);
    for start in starts {
        let len = sled_log::read_up_to(log, &mut bytes, *start)?;
        let header = [start.to_be_bytes(), u64::try_from(len).unwrap_or(0).to_be_bytes()].concat();
        for part in [header.as_slice(), bytes.get(..len).unwrap_or_default()] {
            hasher.update(part);
            copy.write_all(part)?;
        }
    }
    copy.write_all(&hasher.finalize().to_be_bytes())?;
    copy.into_inner()?.sync_all()?;
    sync_folder(folder)
}

/// Puts the copy back, if there is one. One that is not whole was being made when the power went: sled had not begun.
pub(crate) fn restore(folder: &Path, log: &Path) -> io::Result<()> {
    let copy = match File::open(path_in(folder)) {
        Ok(copy) => copy,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let log = File::options().read(true).write(true).open(log)?;
    let mut is_of_this_log = true;
    let is_whole = visit(&copy, |start, bytes| {
        // sled, as it starts, only wipes; another log was put there from a backup.
        let mut now = vec![0; bytes.len()];
        sled_log::read_up_to(&log, &mut now, start)?;
        is_of_this_log &= now.iter().zip(bytes).all(|(now, then)| *now == 0 || now == then);
        Ok(())
    })?;
    if is_whole && is_of_this_log {
        visit(&copy, |start, bytes| log.write_all_at(bytes, start))?;
        log.sync_all()?;
    }
    clear(folder)
}

/// Hands over each segment in a copy with its position in the log; whether the copy is whole.
fn visit(copy: &File, mut act: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<bool> {
    let size = copy.metadata()?.len();
    let (mut hasher, mut at) = (Hasher::new(), 0);
    loop {
        let mut bytes = vec![0; HEADER + SEGMENT];
        let read = sled_log::read_up_to(copy, &mut bytes, at)?;
        bytes.truncate(read);
        if let Ok(checksum) = <[u8; CHECKSUM]>::try_from(bytes.as_slice()) {
            return Ok(hasher.finalize().to_be_bytes() == checksum && at + 4 == size);
        }
        let Some((start, len)) = header(&bytes) else { return Ok(false) };
        let Some(segment) = bytes.get(HEADER..).and_then(|rest| rest.get(..len)) else { return Ok(false) };
        hasher.update(bytes.get(..HEADER + len).unwrap_or_default());
        act(start, segment)?;
        at += u64::try_from(HEADER + len).unwrap_or(u64::MAX);
    }
}

fn header(bytes: &[u8]) -> Option<(u64, usize)> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*start), usize::try_from(u64::from_be_bytes(*len)).ok()?))
}

/// Removes the copy, for good: put back later it would undo what was written since.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_file(path_in(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_folder(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of three segments in a folder.
    fn log(fill: [u8; 3]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        fs::write(&path, fill.map(|byte| vec![byte; SEGMENT]).concat()).unwrap();
        (temp, path)
    }

    fn save_last_two(temp: &tempfile::TempDir, path: &Path) {
        save(temp.path(), &File::open(path).unwrap(), &[SEGMENT as u64, 2 * SEGMENT as u64]).unwrap();
    }

    #[test]
    fn what_was_wiped_is_put_back_once() {
        let (temp, path) = log([1, 2, 3]);
        let before = fs::read(&path).unwrap();
        save_last_two(&temp, &path);
        // One segment is wiped, and of the other the file was cut off.
        fs::write(&path, [vec![1; SEGMENT], vec![0; SEGMENT]].concat()).unwrap();
        restore(temp.path(), &path).unwrap();
        assert!(fs::read(&path).unwrap() == before);
        assert!(!path_in(temp.path()).exists());
    }

    #[test]
    fn another_log_is_left_as_it_is() {
        let (temp, path) = log([1, 2, 3]);
        save_last_two(&temp, &path);
        let other = [4, 0, 6].map(|byte| vec![byte; SEGMENT]).concat();
        fs::write(&path, &other).unwrap();
        restore(temp.path(), &path).unwrap();
        assert!(fs::read(&path).unwrap() == other);
    }

    #[test]
    fn a_copy_that_was_cut_off_is_not_used() {
        let (temp, path) = log([1, 2, 3]);
        save_last_two(&temp, &path);
        let copy = fs::read(path_in(temp.path())).unwrap();
        fs::write(path_in(temp.path()), &copy[..copy.len() - 9]).unwrap();
        let wiped = vec![0; 3 * SEGMENT];
        fs::write(&path, &wiped).unwrap();
        restore(temp.path(), &path).unwrap();
        assert!(fs::read(&path).unwrap() == wiped);
    }
}
