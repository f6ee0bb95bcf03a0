//! When each API key was last used. Noted in memory with every request, and written to a small file now and then: a last
//! use is not worth a commit, and one that a crash forgets is no loss.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fs, io};

use domain::Timestamp;
use domain::audit::Hash;

use crate::service::private_file;

/// Between two writings.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(60);
/// A key's refusals go on the audit trail at most once in this time, however often it is tried.
const DENIAL_EVERY: Duration = Duration::from_secs(60);

pub(crate) struct KeyLog {
    file: PathBuf,
    keys: RwLock<HashMap<Hash, Seen>>,
    is_changed: AtomicBool,
}

/// In milliseconds since the epoch; 0: never.
#[derive(Default)]
struct Seen {
    used: AtomicU64,
    denied: AtomicU64,
}

impl KeyLog {
    /// With what an earlier process wrote. A file that cannot be read is begun anew.
    pub(crate) fn load(file: PathBuf) -> Self {
        let mut keys = HashMap::new();
        match fs::read_to_string(&file) {
            Ok(text) => keys.extend(text.lines().filter_map(|line| {
                let (hash, used) = line.split_once(' ')?;
                let hash = hex::decode(hash).ok()?.try_into().ok()?;
                Some((hash, Seen { used: AtomicU64::new(used.parse().ok()?), ..Seen::default() }))
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "when keys were last used could not be read"),
        }
        Self { file, keys: RwLock::new(keys), is_changed: AtomicBool::new(false) }
    }

    /// A key opened.
    pub(crate) fn used(&self, key: &Hash, now: Timestamp) {
        self.see(key, |seen| seen.used.store(now.as_millis(), Ordering::Relaxed));
        self.is_changed.store(true, Ordering::Relaxed);
    }

    /// A key was refused; whether that is worth an entry.
    pub(crate) fn denied(&self, key: &Hash, now: Timestamp) -> bool {
        self.see(key, |seen| {
            let last = Timestamp::from_millis(seen.denied.load(Ordering::Relaxed));
            let is_due = last.after(DENIAL_EVERY) <= now;
            if is_due {
                seen.denied.store(now.as_millis(), Ordering::Relaxed);
            }
            is_due
        })
    }

    /// When a key last opened, if ever.
    pub(crate) fn last_used(&self, key: &Hash) -> Option<Timestamp> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let used = keys.get(key)?.used.load(Ordering::Relaxed);
        (used > 0).then(|| Timestamp::from_millis(used))
    }

    fn see<T>(&self, key: &Hash, note: impl Fn(&Seen) -> T) -> T {
        if let Some(seen) = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return note(seen);
        }
        note(self.keys.write().unwrap_or_else(PoisonError::into_inner).entry(*key).or_default())
    }

    /// Writes it down if anything changed, and forgets keys that are no more.
    pub(crate) async fn write(self: &Arc<Self>, live: impl FnOnce() -> HashSet<Hash>) {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let (log, live) = (Arc::clone(self), live());
        let written = tokio::task::spawn_blocking(move || log.write_now(&live)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
    }

    fn write_now(&self, live: &HashSet<Hash>) -> io::Result<()> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| live.contains(key));
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let line =
            |(key, seen): (&Hash, &Seen)| format!("{} {}\n", hex::encode(key), seen.used.load(Ordering::Relaxed));
        let text: String = keys.iter().map(line).collect();
        drop(keys);
        private_file::replace(&self.file, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    #[tokio::test]
    async fn a_last_use_outlives_the_process_and_not_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.used");
        let log = Arc::new(KeyLog::load(file.clone()));
        log.used(&[1; 32], NOW);
        log.used(&[2; 32], NOW);
        log.write(|| HashSet::from([[1; 32]])).await;
        let log = KeyLog::load(file);
        assert_eq!((log.last_used(&[1; 32]), log.last_used(&[2; 32])), (Some(NOW), None));
    }

    #[test]
    fn refusals_of_one_key_are_worth_one_entry_a_minute() {
        let log = KeyLog::load("no-such-file".into());
        assert!(log.denied(&[1; 32], NOW) && !log.denied(&[1; 32], NOW.after(Duration::from_secs(59))));
        assert!(log.denied(&[2; 32], NOW) && log.denied(&[1; 32], NOW.after(DENIAL_EVERY)));
        assert_eq!(log.last_used(&[1; 32]), None);
    }
}
