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
use crate::sled_log::SEGMENT;

fn place(folder: &Path) -> PathBuf {
    folder.join("log.rescue")
}

/// Copies the segments that begin at `starts`.
pub(crate) fn save(folder: &Path, log: &File, starts: &[u64]) -> io::Result<()> {
    let mut copy = Vec::with_capacity(starts.len() * (SEGMENT + 16) + 4);
    for start in starts {
        let mut bytes = vec![0; SEGMENT];
        let len = crate::sled_log::read_up_to(log, &mut bytes, *start)?;
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
        let log = File::options().write(true).open(log)?;
        let mut rest = copy;
        while let Some((start, len, next)) = header(rest) {
            let Some((bytes, next)) = next.split_at_checked(len) else { break };
            log.write_all_at(bytes, start)?;
            rest = next;
        }
        log.sync_all()?;
    }
    clear(folder)
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
