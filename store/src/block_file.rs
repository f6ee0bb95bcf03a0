//! The file of the blocks. A block that changes is written anew into a free extent. Its old extent is free once nothing durable
//! points to it any more. So no extent in use is ever written over, and a power cut in the middle only leaves free extents.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::StoreError;
use crate::folder::{open_or_make, sync_folder};
use crate::sled::failed_io;
use crate::space::Space;

/// In sled's folder.
pub(crate) const NAME: &str = "blocks";
/// Extents begin at multiples of it.
const UNIT: u32 = 128;
/// The file is cut off when so many bytes at its end are free.
const SHRINK: u64 = 4 << 20;

/// Where a block lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    /// In units.
    start: u32,
    /// In bytes.
    len: u32,
    /// CRC-32 of the bytes.
    checksum: u32,
}

impl Extent {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.start, self.len, self.checksum].map(u32::to_be_bytes).concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (&[start, len, checksum], []) = bytes.as_chunks() else {
            return Err(StoreError::Damaged { what: "extent of a block" });
        };
        let [start, len, checksum] = [start, len, checksum].map(u32::from_be_bytes);
        Ok(Self { start, len, checksum })
    }

    fn units(self) -> Range<u32> {
        self.start..self.start.saturating_add(self.len.div_ceil(UNIT))
    }

    fn at(self) -> u64 {
        bytes(self.start)
    }
}

fn bytes(units: u32) -> u64 {
    u64::from(units) * u64::from(UNIT)
}

/// Blocks, each in an extent of its own.
pub(crate) struct BlockFile {
    file: File,
    space: Mutex<Space>,
}

impl BlockFile {
    /// Opens the file in sled's `folder`, or makes it, with what is in use.
    pub(crate) fn open(folder: &Path, mut extents: Vec<Extent>) -> Result<Self, StoreError> {
        let file = open_or_make(&folder.join(NAME)).map_err(failed_io("open its blocks"))?;
        // An fdatasync of the file need not make its name durable.
        sync_folder(folder).map_err(failed_io("sync its folder"))?;
        let len = file.metadata().map_err(failed_io("measure its blocks"))?.len();
        extents.sort_unstable_by_key(|extent| extent.start);
        let space = Space::around(extents.iter().map(|extent| extent.units()));
        let is_all_there = extents.last().is_none_or(|extent| extent.at() + u64::from(extent.len) <= len);
        match space.filter(|_| is_all_there) {
            Some(space) => Ok(Self { file, space: Mutex::new(space) }),
            None => Err(StoreError::Damaged { what: "file of blocks" }),
        }
    }

    /// Writes a block. It is durable after [`Self::sync`].
    pub(crate) fn put(&self, block: &[u8]) -> Result<Extent, StoreError> {
        let too_large = || StoreError::Backend { doing: "write a block", cause: "there is no room for it".into() };
        let len = u32::try_from(block.len()).map_err(|_| too_large())?;
        let start = self.space().take(len.div_ceil(UNIT)).ok_or_else(too_large)?;
        let extent = Extent { start, len, checksum: crc32fast::hash(block) };
        self.file.write_all_at(block, extent.at()).map_err(failed_io("write a block"))?;
        Ok(extent)
    }

    /// The block in this extent; `None` if it is not there: another was put there since, or it is damaged.
    pub(crate) fn get(&self, extent: Extent) -> Result<Option<Vec<u8>>, StoreError> {
        let mut block = vec![0; usize::try_from(extent.len).unwrap_or(usize::MAX)];
        match self.file.read_exact_at(&mut block, extent.at()) {
            Ok(()) => Ok((crc32fast::hash(&block) == extent.checksum).then_some(block)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(failed_io("read a block")(error)),
        }
    }

    /// Breaks what lies in this extent.
    #[cfg(test)]
    pub(crate) fn damage(&self, extent: Extent) {
        self.file.write_all_at(&[0x5A], extent.at() + 3).unwrap();
    }

    /// Makes what was put durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(failed_io("sync its blocks"))
    }

    /// Frees extents that are not in use any more, for good.
    pub(crate) fn free(&self, extents: &[Extent]) -> Result<(), StoreError> {
        let mut space = self.space();
        extents.iter().for_each(|extent| space.give(extent.units()));
        let end = bytes(space.end());
        if end + SHRINK <= self.size()? {
            self.file.set_len(end).map_err(failed_io("cut off its blocks"))?;
        }
        Ok(())
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata().map_err(failed_io("measure its blocks"))?.len())
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
