//! Looks through sled's log for records that are broken. When sled replays its log at the start, it takes a broken record
//! for the old half of a segment that was being reused, and leaves out the rest of that segment without a word: right
//! after a power cut, and wrong after a flipped bit.
//!
//! The format is that of sled 0.34.7, to which the workspace is pinned. The file `db` is a row of segments; a segment is
//! a header and messages one after the other, up to one that caps it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// sled's default; it refuses to open a log with another.
pub(crate) const SEGMENT: usize = 512 * 1024;
const SEGMENT_HEADER: usize = 20;
/// No message begins in the last bytes of a segment.
const MESSAGE_HEADER_MAX: usize = 32;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Whole messages.
    pub(crate) messages: u64,
    /// Where the log is broken, in bytes from its beginning. Its unfinished end is not counted.
    pub(crate) broken: Vec<u64>,
    /// Where the segments begin that were looked through: those that sled replays.
    pub(crate) replayed: Vec<u64>,
}

/// What lies where a segment may.
enum Segment {
    /// Never written to, or wiped.
    Blank,
    /// Its header is broken.
    Headless,
    /// A segment, the log's state when it was begun, and where it is broken, if it is.
    Whole { lsn: i64, stable: i64, messages: u64, broken: Option<usize> },
}

/// From which position in the log sled replays when it opens: the end of its last snapshot, which is in that one's name.
pub(crate) fn replayed_from(folder: &Path) -> io::Result<i64> {
    let mut from = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let position = name.to_str().and_then(|name| name.strip_prefix("snap."));
        from = position.and_then(|hex| i64::from_str_radix(hex, 16).ok()).unwrap_or(0).max(from);
    }
    Ok(from)
}

/// Looks through the segments that hold anything at or after position `from`.
pub(crate) fn survey(log: &File, from: i64) -> io::Result<Survey> {
    let size = log.metadata()?.len();
    let segment = u64::try_from(SEGMENT).unwrap_or(u64::MAX);
    let first = from - from % i64::try_from(SEGMENT).unwrap_or(i64::MAX);
    let mut survey = Survey::default();
    let (mut segments, mut stable_max) = (Vec::new(), first);
    let mut bytes = vec![0; SEGMENT];
    for start in (0..).map(|n| n * segment).take_while(|start| *start < size) {
        let mut header = [0; SEGMENT_HEADER];
        let header_len = read_up_to(log, &mut header, start)?;
        match look(header.get(..header_len).unwrap_or_default()) {
            // What lies before the snapshot is not replayed: it is checked when it is read.
            Segment::Whole { lsn, .. } if lsn < first => continue,
            Segment::Whole { .. } => {}
            Segment::Blank => continue,
            Segment::Headless => {
                survey.broken.push(start);
                continue;
            }
        }
        let len = read_up_to(log, &mut bytes, start)?;
        if let Segment::Whole { lsn, stable, messages, broken: offset } = look(bytes.get(..len).unwrap_or_default()) {
            survey.messages += messages;
            stable_max = stable.max(stable_max);
            segments.push((lsn, start, offset));
        }
    }
    // Behind the last position known to be stable, sled looks for the end itself, and stops at the first tear.
    let stable = stable_max - stable_max % i64::try_from(SEGMENT).unwrap_or(i64::MAX);
    for (lsn, start, offset) in segments {
        survey.replayed.push(start);
        if let Some(offset) = offset.filter(|_| lsn < stable) {
            survey.broken.push(start + u64::try_from(offset).unwrap_or(0));
        }
    }
    Ok(survey)
}

pub(crate) fn read_up_to(file: &File, bytes: &mut [u8], start: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + u64::try_from(done).unwrap_or(0))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

fn look(bytes: &[u8]) -> Segment {
    let Some((header, _)) = bytes.split_first_chunk::<SEGMENT_HEADER>() else { return Segment::Blank };
    if header.iter().all(|byte| *byte == 0) {
        return Segment::Blank;
    }
    let Some((crc, body)) = header.split_first_chunk() else { return Segment::Headless };
    if u32::from_le_bytes(*crc) ^ u32::MAX != crc32fast::hash(body) {
        return Segment::Headless;
    }
    let position = |at| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_le_bytes);
    let (Some(lsn), Some(stable)) = (position(4), position(12)) else { return Segment::Headless };
    let (lsn, stable) = (lsn ^ i64::MAX, stable ^ i64::MAX);
    let number = lsn / i64::try_from(SEGMENT).unwrap_or(i64::MAX);
    let (mut at, mut messages) = (SEGMENT_HEADER, 0);
    while at + MESSAGE_HEADER_MAX <= SEGMENT {
        match bytes.get(at..).and_then(message).filter(|message| i64::try_from(message.segment) == Ok(number)) {
            Some(message) if message.is_cap => break,
            Some(message) => {
                at += message.len;
                messages += 1;
            }
            None => return Segment::Whole { lsn, stable, messages, broken: Some(at) },
        }
    }
    Segment::Whole { lsn, stable, messages, broken: None }
}

struct Message {
    len: usize,
    segment: u64,
    is_cap: bool,
}

/// The message at the beginning of `bytes`, if it is whole: checksum, kind, length, segment, page, body.
fn message(bytes: &[u8]) -> Option<Message> {
    const CORRUPTED: u8 = 0;
    const CAP: u8 = 2;
    const LAST: u8 = 11;
    let (crc, rest) = bytes.split_first_chunk()?;
    let (&kind, mut rest) = rest.split_first()?;
    let body_len = usize::try_from(varint(&mut rest)?).ok()?;
    let segment = varint(&mut rest)?;
    varint(&mut rest)?;
    let header_len = bytes.len() - rest.len();
    let body = rest.get(..body_len)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(bytes.get(4..header_len)?);
    let is_whole = u32::from_le_bytes(*crc) == hasher.finalize() ^ u32::MAX && kind != CORRUPTED && kind <= LAST;
    is_whole.then_some(Message { len: header_len + body_len, segment, is_cap: kind == CAP })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let (value, len) = match first {
        0..=240 => (u64::from(first), 0),
        241..=248 => (240 + 256 * (u64::from(first) - 241) + u64::from(*rest.first()?), 1),
        249 => (2288 + 256 * u64::from(*rest.first()?) + u64::from(*rest.get(1)?), 2),
        250..=255 => {
            let len = usize::from(first) - 247;
            let mut number = [0; 8];
            number.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
            (u64::from_le_bytes(number), len)
        }
    };
    *bytes = rest.get(len..)?;
    Some(value)
}
