//! The form of a backup file, and every way in which one can be wrong.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backend::{StoreError, Write};
use crate::codec;
use crate::records::millis;

/// What a backup file begins with; its last letter is the format's number.
const MAGIC: &[u8; 16] = b"twotick backup 1";
/// Frames begin with it. A new version of a backup gets a new [`MAGIC`].
const VERSION: u8 = 1;
const KIND: codec::Kind = "backup";
/// No frame is longer, by far: a length beyond it is damage.
const FRAME_MAX: usize = 64 << 20;

/// What a backup file holds, in order.
#[derive(Serialize, Deserialize)]
pub(super) enum Frame {
    Header(Header),
    Writes(Vec<Change>),
    End(End),
}

/// One key, and its value unless it is removed. As bytes, not as lists of numbers: a store is large.
#[derive(Serialize, Deserialize)]
pub(super) struct Change {
    #[serde(with = "serde_bytes")]
    pub(super) key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) value: Option<Vec<u8>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) id: String,
    #[serde(with = "millis")]
    pub(super) begun_at: Timestamp,
    pub(super) master_keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct End {
    #[serde(with = "millis")]
    pub(super) taken_at: Timestamp,
    pub(super) records: u64,
    pub(super) changes: u64,
    /// Of all bytes before this frame.
    pub(super) sha256: [u8; 32],
}

/// What a whole backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// The moment that it is of, in milliseconds since the Unix epoch.
    #[serde(with = "millis")]
    pub taken_at: Timestamp,
    /// Records read, besides those that changed meanwhile.
    pub records: u64,
    /// The file's length.
    pub bytes: u64,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The ids of the master keys that the secrets in it are encrypted under.
    pub master_keys: Vec<String>,
}

impl Summary {
    pub(super) fn new(header: Header, taken_at: Timestamp, records: u64, bytes: u64, hash: [u8; 32]) -> Self {
        let Header { id, begun_at: _, master_keys } = header;
        Self { id, taken_at, records, bytes, sha256: hex::encode(hash), master_keys }
    }
}

/// Why a backup could not be taken or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be written or read.
    #[error("the backup file: {0}")]
    Io(#[from] io::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was ended from outside.
    #[error("{0}")]
    Ended(String),
    /// Changes came faster than they could be written down.
    #[error("the store changed faster than the disk takes the backup: take it when there is less to do")]
    TooSlow,
    /// It is something else.
    #[error("it is not a backup of twotick")]
    NotABackup,
    /// A newer version wrote it.
    #[error("a newer twotick wrote it: restore it with that one")]
    Newer,
    /// It ends too early.
    #[error("it ends at byte {0}, before its end: it was cut off; copy it again, or take the backup anew")]
    CutOff(u64),
    /// It is not as it was written.
    #[error("it is damaged at byte {0}: copy it again from where it is whole, or use another backup")]
    Damaged(u64),
}

/// Writes frames, and counts.
pub(super) struct Writer<'a> {
    file: &'a File,
    hasher: Sha256,
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) changes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(file: &'a File, header: &Header) -> Result<Self, BackupError> {
        let mut writer = Self { file, hasher: Sha256::new(), bytes: 0, records: 0, changes: 0 };
        writer.write(MAGIC)?;
        writer.frame(&Frame::Header(header.clone()))?;
        Ok(writer)
    }

    pub(super) fn frame(&mut self, frame: &Frame) -> Result<(), BackupError> {
        let payload = lz4_flex::compress_prepend_size(&codec::encode_wire(KIND, VERSION, frame)?);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(payload.len() + 8);
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32fast::hash(&payload).to_le_bytes());
        bytes.extend(payload);
        self.write(&bytes)
    }

    /// Of all bytes until now.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }
}

/// Reads frames, and checks them.
struct Reader<'a> {
    file: BufReader<&'a File>,
    hasher: Sha256,
    at: u64,
}

impl<'a> Reader<'a> {
    fn begin(file: &'a File) -> Result<(Self, Header), BackupError> {
        let mut reader = Self { file: BufReader::with_capacity(1 << 20, file), hasher: Sha256::new(), at: 0 };
        let begin = reader.take(MAGIC.len())?.ok_or(BackupError::NotABackup)?;
        match begin.split_last().zip(MAGIC.split_last()) {
            Some(((found, begin), (known, magic))) if begin == magic && found == known => {}
            Some(((found, begin), (known, magic))) if begin == magic && found > known => {
                return Err(BackupError::Newer);
            }
            Some(_) | None => return Err(BackupError::NotABackup),
        }
        match reader.frame()? {
            Frame::Header(header) => Ok((reader, header)),
            Frame::Writes(_) | Frame::End(_) => Err(BackupError::Damaged(reader.at)),
        }
    }

    fn frame(&mut self) -> Result<Frame, BackupError> {
        let began = self.at;
        let damaged = || BackupError::Damaged(began);
        let mut number = || {
            let bytes = self.take(4)?.ok_or(BackupError::CutOff(began))?;
            bytes.try_into().map(u32::from_le_bytes).map_err(|_| damaged())
        };
        let (length, crc) = (number()?, number()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_MAX).ok_or_else(damaged)?;
        let payload = self.take(length)?.ok_or(BackupError::CutOff(began))?;
        if crc32fast::hash(&payload) != crc {
            return Err(damaged());
        }
        let (size, packed) = payload.split_first_chunk().ok_or_else(damaged)?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok().filter(|size| *size <= FRAME_MAX);
        let bytes = lz4_flex::decompress(packed, size.ok_or_else(damaged)?).map_err(|_| damaged())?;
        match codec::split(KIND, &bytes) {
            Ok((VERSION, body)) => codec::decode_body(KIND, body).map_err(|_| damaged()),
            Ok(_) | Err(_) => Err(damaged()),
        }
    }

    /// So many bytes; `None` if the file ends before.
    fn take(&mut self, length: usize) -> Result<Option<Vec<u8>>, BackupError> {
        let mut bytes = vec![0; length];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        self.hasher.update(&bytes);
        self.at += u64::try_from(length).unwrap_or(0);
        Ok(Some(bytes))
    }

    fn hash(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }
}

/// Reads a whole backup, from where `file` stands, and checks all of it; `visit` gets what is to be written, in order, before it
/// is known whether the rest is whole.
pub fn read(file: &File, visit: &mut dyn FnMut(Vec<Write>) -> Result<(), BackupError>) -> Result<Summary, BackupError> {
    let (mut reader, header) = Reader::begin(file)?;
    loop {
        let (began, hash) = (reader.at, reader.hash());
        match reader.frame()? {
            Frame::Writes(changes) => visit(changes.into_iter().map(Write::from).collect())?,
            Frame::End(end) if end.sha256 == hash && reader.file.read(&mut [0])? == 0 => {
                return Ok(Summary::new(header, end.taken_at, end.records, reader.at, reader.hash()));
            }
            Frame::End(_) | Frame::Header(_) => return Err(BackupError::Damaged(began)),
        }
    }
}

/// The id of the backup that a file is, or is the beginning of.
pub fn id_of(file: &File) -> Result<String, BackupError> {
    Reader::begin(file).map(|(_, header)| header.id)
}

impl From<Write> for Change {
    fn from(write: Write) -> Self {
        let (key, value) = write.into_entry();
        Self { key, value }
    }
}

impl From<Change> for Write {
    fn from(Change { key, value }: Change) -> Self {
        Self::new(key, value)
    }
}
