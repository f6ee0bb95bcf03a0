//! A copy of the log's end while sled opens it.
//!
//! When sled opens a log that was written to since its last snapshot, it writes a new snapshot and wipes segments that this
//! one no longer needs, but it does not sync the folder in between. After a power cut at that moment the wiped segments may
//! be on the disk, and the new snapshot's name not: sled then reads the log from the old snapshot, takes the first
//! wiped segment for its end, and all behind it is lost. So the end is copied before, and put back if the copy is still
//! there at the next start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::folder::sync_folder;
use crate::sled_log::{self, SEGMENT};

fn place(folder: &Path) -> PathBuf {
    folder.join("log.rescue")
}

/// Copies the segments that begin at `starts`.
pub(crate) fn save(folder: &Path, log: &File, starts: &[u64]) -> io::Result<()> {
    let mut copy = Vec::with_capacity(starts.len() * (SEGMENT + 16) + 4);
    for start in starts {
        let mut bytes = vec![0; SEGMENT];
        let len = sled_log::read_up_to(log, &mut bytes, *start)?;
        bytes.truncate(len);
        copy.extend(start.to_be_bytes());
        copy.extend(u64::try_from(len).unwrap_or(0).to_be_bytes());
        copy.extend(bytes);
    }
    let checksum = crc32fast::hash(&copy);
    copy.extend(checksum.to_be_bytes());
    let mut file = File::create(place(folder))?;
    file.write_all(&copy)?;
    file.sync_all()?;
    sync_folder(folder)
}

/// Puts the copy back, if there is one. One that is not whole was being made when the power went: sled had not begun.
pub(crate) fn restore(folder: &Path, log: &Path) -> io::Result<()> {
    let copy = match fs::read(place(folder)) {
        Ok(copy) => copy,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Some((copy, checksum)) = copy.split_last_chunk()
        && crc32fast::hash(copy).to_be_bytes() == *checksum
    {
        let log = File::options().read(true).write(true).open(log)?;
        let segments = segments(copy);
        if is_of(&segments, &log)? {
            for (start, bytes) in segments {
                log.write_all_at(bytes, start)?;
            }
            log.sync_all()?;
        }
    }
    clear(folder)
}

/// Whether the copy was made of this log: sled, as it starts, only wipes. Another log was put there from a backup.
fn is_of(segments: &[(u64, &[u8])], log: &File) -> io::Result<bool> {
    for (start, bytes) in segments {
        let mut now = vec![0; bytes.len()];
        sled_log::read_up_to(log, &mut now, *start)?;
        if now.iter().zip(*bytes).any(|(now, then)| *now != 0 && now != then) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The segments in a copy, each with its place in the log.
fn segments(mut copy: &[u8]) -> Vec<(u64, &[u8])> {
    let mut segments = Vec::new();
    while let Some((start, len, rest)) = header(copy) {
        let Some((bytes, rest)) = rest.split_at_checked(len) else { break };
        segments.push((start, bytes));
        copy = rest;
    }
    segments
}

fn header(bytes: &[u8]) -> Option<(u64, usize, &[u8])> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*start), usize::try_from(u64::from_be_bytes(*len)).ok()?, rest))
}

/// Removes the copy, for good: put back later it would undo what was written since.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_file(place(folder)) {
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
        assert!(!place(temp.path()).exists());
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
        let copy = fs::read(place(temp.path())).unwrap();
        fs::write(place(temp.path()), &copy[..copy.len() - 9]).unwrap();
        let wiped = vec![0; 3 * SEGMENT];
        fs::write(&path, &wiped).unwrap();
        restore(temp.path(), &path).unwrap();
        assert!(fs::read(&path).unwrap() == wiped);
    }
}
