//! The uploaded media files. They are kept in memory up to a total size; beyond it the oldest are dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::errors::Refusal;

/// The most bytes kept in total.
const KEPT_MAX: usize = 128 * 1024 * 1024;
/// The most concurrent uploads. Each holds its file in memory while it is read.
const UPLOADS_MAX: usize = 2;
/// How long a download URL is valid.
const ADDRESS_LIFE: Duration = Duration::from_secs(300);
/// The id before the first media id. It has as many digits as Meta's ids.
const FIRST_ID: u64 = 1_000_000_000_000_000;
const MEBIBYTE: usize = 1024 * 1024;
/// The largest file of any type.
pub(crate) const FILE_MAX: usize = 100 * MEBIBYTE;

/// The media types that Meta accepts, and the largest file of each.
const TYPES: [(&str, usize); 22] = [
    ("audio/aac", 16 * MEBIBYTE),
    ("audio/amr", 16 * MEBIBYTE),
    ("audio/mpeg", 16 * MEBIBYTE),
    ("audio/mp4", 16 * MEBIBYTE),
    ("audio/ogg", 16 * MEBIBYTE),
    ("audio/opus", 16 * MEBIBYTE),
    ("application/vnd.ms-powerpoint", FILE_MAX),
    ("application/msword", FILE_MAX),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", FILE_MAX),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", FILE_MAX),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", FILE_MAX),
    ("application/vnd.ms-excel", FILE_MAX),
    ("application/pdf", FILE_MAX),
    ("text/plain", FILE_MAX),
    ("text/csv", FILE_MAX),
    ("application/json", FILE_MAX),
    ("image/jpeg", 5 * MEBIBYTE),
    ("image/png", 5 * MEBIBYTE),
    ("image/webp", 512 * 1024),
    ("video/mp4", 16 * MEBIBYTE),
    ("video/3gp", 16 * MEBIBYTE),
    ("video/3gpp", 16 * MEBIBYTE),
];

/// One file.
#[derive(Clone)]
pub(crate) struct File {
    /// Its media type, as the upload gave it.
    pub(crate) mime_type: String,
    /// Its content.
    pub(crate) content: Bytes,
    /// The SHA-256 of the content.
    pub(crate) sha256: [u8; 32],
    /// The sender that it was uploaded for.
    pub(crate) phone_number_id: String,
}

/// The files.
pub(crate) struct Media {
    files: Mutex<Files>,
    /// Limits the concurrent uploads.
    pub(crate) uploads: Semaphore,
    /// The secret that makes download URLs unforgeable.
    key: Uuid,
}

#[derive(Default)]
struct Files {
    by_id: BTreeMap<u64, File>,
    bytes: usize,
    /// How many files were ever added.
    count: u64,
}

impl Media {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self { files: Mutex::default(), uploads: Semaphore::new(UPLOADS_MAX), key: Uuid::new_v4() }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a file and returns its id. Refuses a type or size that Meta does not accept.
    pub(crate) fn add(&self, phone_number_id: &str, mime_type: String, content: Bytes) -> Result<String, Refusal> {
        let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((_, largest)) = TYPES.iter().find(|(known, _)| *known == essence) else {
            let known: Vec<&str> = TYPES.iter().map(|(known, _)| *known).collect();
            return Err(Refusal::malformed(format!(
                "Param file must be a file with one of the following types: {}. Received file of type '{essence}'.",
                known.join(", ")
            )));
        };
        if content.is_empty() {
            return Err(Refusal::malformed("Param file must not be empty."));
        }
        if content.len() > *largest {
            return Err(Refusal::malformed(format!(
                "Param file must be at most {largest} bytes for type '{essence}'. Received a file of {} bytes.",
                content.len()
            )));
        }
        let sha256 = Sha256::digest(&content).into();
        let file = File { mime_type, content, sha256, phone_number_id: phone_number_id.to_owned() };
        let mut files = self.files();
        files.count += 1;
        let id = FIRST_ID + files.count;
        files.bytes += file.content.len();
        files.by_id.insert(id, file);
        while files.bytes > KEPT_MAX {
            let Some((_, oldest)) = files.by_id.pop_first() else { break };
            files.bytes = files.bytes.saturating_sub(oldest.content.len());
        }
        Ok(id.to_string())
    }

    /// The file with this id.
    pub(crate) fn get(&self, id: &str) -> Option<File> {
        self.files().by_id.get(&id.parse().ok()?).cloned()
    }

    /// Whether a file ever had this id, even if it is gone.
    pub(crate) fn existed(&self, id: &str) -> bool {
        let no = id.parse::<u64>().ok().and_then(|id| id.checked_sub(FIRST_ID));
        no.is_some_and(|no| (1..=self.files().count).contains(&no))
    }

    /// Removes a file. Returns whether it existed.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let Ok(id) = id.parse::<u64>() else { return false };
        let mut files = self.files();
        let removed = files.by_id.remove(&id);
        files.bytes = files.bytes.saturating_sub(removed.as_ref().map_or(0, |file| file.content.len()));
        removed.is_some()
    }

    /// Removes all files. Their ids are not given again.
    pub(crate) fn clear(&self) {
        let mut files = self.files();
        files.bytes = 0;
        files.by_id.clear();
    }

    /// Describes a file as Meta does. `origin` is the URL at which this server is reached.
    pub(crate) fn describe(&self, id: &str, file: &File, origin: &str) -> Value {
        let ends = seconds(SystemTime::now() + ADDRESS_LIFE);
        let proof = self.proof(id, ends);
        let url = format!("{origin}/whatsapp_business/attachments/?mid={id}&ext={ends}&hash={proof}");
        json!({
            "messaging_product": "whatsapp",
            "url": url,
            "mime_type": file.mime_type,
            "sha256": hex::encode(file.sha256),
            "file_size": file.content.len(),
            "id": id,
        })
    }

    /// The file behind a download URL that is genuine and has not expired.
    pub(crate) fn download(&self, query: &str) -> Option<File> {
        let value = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            percent_decode_str(value.unwrap_or_default()).decode_utf8_lossy().into_owned()
        };
        let (id, ends) = (value("mid"), value("ext").parse().ok()?);
        let good = seconds(SystemTime::now()) < ends && value("hash") == self.proof(&id, ends);
        good.then(|| self.get(&id)).flatten()
    }

    fn proof(&self, id: &str, ends: u64) -> String {
        hex::encode(Sha256::digest(format!("{} {id} {ends}", self.key)))
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(media: &Media, mime_type: &str, size: usize) -> Result<String, Refusal> {
        media.add("1066", mime_type.to_owned(), vec![7; size].into())
    }

    #[test]
    fn the_oldest_files_are_dropped_beyond_the_total_size() {
        let media = Media::new();
        let ids: Vec<_> = (0..3).map(|_| add(&media, "application/pdf", 60 * MEBIBYTE).unwrap()).collect();
        assert!(media.get(&ids[0]).is_none() && media.get(&ids[1]).is_some() && media.get(&ids[2]).is_some());
        assert!(media.files().bytes <= KEPT_MAX);
        assert!(media.remove(&ids[1]) && !media.remove(&ids[1]));
        assert_eq!(media.files().bytes, 60 * MEBIBYTE);
        media.clear();
        assert!(media.get(&ids[2]).is_none() && !ids.contains(&add(&media, "image/png", 1).unwrap()));
    }

    #[test]
    fn a_file_of_a_wrong_type_or_size_is_refused() {
        let media = Media::new();
        for (mime_type, size) in
            [("text/html", 1), ("image/png", 0), ("image/jpeg", 5 * MEBIBYTE + 1), ("application/octet-stream", 9)]
        {
            assert_eq!(add(&media, mime_type, size).unwrap_err().code, 100, "{mime_type}");
        }
        assert!(add(&media, "audio/ogg; codecs=opus", 9).is_ok());
    }

    #[test]
    fn a_download_url_expires_and_cannot_be_forged() {
        let media = Media::new();
        let id = add(&media, "image/png", 9).unwrap();
        let ends = seconds(SystemTime::now()) + 60;
        let query = |ends: u64, proof: &str| format!("mid={id}&ext={ends}&hash={proof}");
        assert!(media.download(&query(ends, &media.proof(&id, ends))).is_some());
        assert!(media.download(&query(ends + 1, &media.proof(&id, ends))).is_none());
        assert!(media.download(&query(1, &media.proof(&id, 1))).is_none());
        assert!(media.download("").is_none());
    }
}
