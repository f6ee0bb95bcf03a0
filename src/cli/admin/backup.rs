//! `twotick backup`: the store in one file, from a running service, or from the folder of a stopped one.
//!
//! What is fetched stands in `FILE.part` until it is whole and checked: also by the walk that a restore makes, in a folder beside it. Run again after an interruption, it goes on there, as long
//! as the service still keeps the backup.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::Clock;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use store::backup::{self, Source, Summary};
use store::folder::FolderError;
use store::restore::{self, Contradiction, Stage};

use super::{Connection, text};
use crate::cli::client::Api;
use crate::cli::command::{Failure, Looked, Teller, look_into};
use crate::service::backups;
use crate::service::private_file;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of cache while it is checked.
const CACHE: u64 = 64 << 20;

/// The arguments of `twotick backup`.
#[derive(Args)]
pub(crate) struct Backup {
    /// Where the backup goes; there must be nothing yet.
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { file, connection } = self;
        if file.exists() {
            return Err(Failure::Usage(format!("{} exists: name a new file", file.display())));
        }
        let mut name = file.clone().into_os_string();
        name.push(".part");
        let part = PathBuf::from(name);
        let summary = match stopped(&connection)? {
            Some((looked, cache)) => offline(looked, cache, &part)?,
            None => online(&connection.open()?, &part).await?,
        };
        let wrong = walked(&part);
        // Whatever is wrong with one organisation, the others are in it.
        private_file::rename(&part, &file).with_context(|| file.display().to_string())?;
        match wrong.with_context(|| format!("{} is written, but not checked as a restore does", file.display()))? {
            None => connection.print(&answer(&file, &summary), told),
            Some(wrong) => {
                return Err(anyhow!(
                    "{} is written, but the store in it {wrong}. Mend the service's store: stop it, and run `twotick verify \
                     --repair`",
                    file.display()
                )
                .into());
            }
        }
        Ok(())
    }
}

/// The folder of a service that is stopped, with the cache to open it with; `None` where a service is to be asked.
fn stopped(connection: &Connection) -> Result<Option<(Looked, u64)>, Failure> {
    if connection.url.is_some() {
        return Ok(None);
    }
    let config = connection.configuration()?;
    match look_into(&config.store.path) {
        Ok(looked) => Ok(Some((looked, config.store.cache.as_u64()))),
        // In use: by the service, which is then asked. None here: it may be a service elsewhere.
        Err(error) if matches!(error.downcast_ref(), Some(FolderError::InUse(_) | FolderError::NoStore(_))) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn offline(looked: Looked, cache: u64, part: &Path) -> anyhow::Result<Summary> {
    // Removed at the end.
    let _copy = looked.copy;
    let store = store::open(looked.folder, cache)?;
    let clock = Clock::system();
    let (id, now) = (backups::id_at(clock.now()), || clock.now());
    let written = private_file::create(part).with_context(|| part.display().to_string())?;
    let source = Source { store: &store, committer: None, id: &id, now: &now };
    let mut teller = Teller::new();
    let taken = backup::take(&source, &written, &mut |progress| {
        teller.tell(|| taking(progress.records, progress.bytes));
        Ok(())
    });
    if taken.is_err() {
        // It cannot be gone on with.
        fs::remove_file(part)?;
    }
    taken?;
    checked(part)
}

async fn online(api: &Api, part: &Path) -> anyhow::Result<Summary> {
    let (id, have) = match begun(api, part).await? {
        Some(begun) => begun,
        None => (begin(api, part).await?, 0),
    };
    let status = ready(api, &id).await?;
    let whole = status.get("bytes").and_then(Value::as_u64).unwrap_or_default();
    fetch(api, &id, part, have, whole).await?;
    let summary = checked(part)?;
    if summary.sha256 != text(&status, "sha256") {
        bail!("{} is not what the service took; remove it and run this again", part.display());
    }
    // It has been fetched; one that stays goes by itself.
    let _ = api.call(Method::DELETE, &format!("admin/backups/{id}"), None).await;
    Ok(summary)
}

/// The backup that an earlier run has begun to fetch, if the service still has it, and how much of it is there.
async fn begun(api: &Api, part: &Path) -> anyhow::Result<Option<(String, u64)>> {
    let Ok(file) = File::open(part) else { return Ok(None) };
    let Ok(id) = backup::id_of(&file) else { return Ok(None) };
    if api.find(&format!("admin/backups/{id}")).await?.is_none() {
        eprintln!("the service no longer has backup {id}; a new one is begun");
        return Ok(None);
    }
    let have = file.metadata()?.len();
    eprintln!("going on with backup {id} at byte {have}");
    Ok(Some((id, have)))
}

async fn begin(api: &Api, part: &Path) -> anyhow::Result<String> {
    // Whether it has anywhere to go is found out before the service works for it.
    private_file::create(part).with_context(|| part.display().to_string())?;
    let begun = api.call(Method::POST, "admin/backups", None).await;
    if begun.is_err() {
        fs::remove_file(part)?;
    }
    Ok(text(&begun?, "id"))
}

/// Waits until the service has taken the backup.
async fn ready(api: &Api, id: &str) -> anyhow::Result<Value> {
    let mut teller = Teller::new();
    loop {
        let status = api.call(Method::GET, &format!("admin/backups/{id}"), None).await?;
        match text(&status, "state").as_str() {
            "RUNNING" => {
                let number = |name| status.get(name).and_then(Value::as_u64).unwrap_or_default();
                teller.tell(|| taking(number("records"), number("bytes")));
                tokio::time::sleep(LOOK_EVERY).await;
            }
            "READY" => return Ok(status),
            _ => bail!("the service could not take the backup: {}", text(&status, "reason")),
        }
    }
}

async fn fetch(api: &Api, id: &str, part: &Path, have: u64, whole: u64) -> anyhow::Result<()> {
    let (mut file, mut at) = if have > 0 && have <= whole {
        let mut file = OpenOptions::new().write(true).open(part)?;
        file.seek(std::io::SeekFrom::End(0))?;
        (file, have)
    } else {
        (private_file::create(part).with_context(|| part.display().to_string())?, 0)
    };
    let mut teller = Teller::new();
    while at < whole {
        let bytes = api.bytes(&format!("admin/backups/{id}/data"), at).await?;
        file.write_all(&bytes)?;
        at += u64::try_from(bytes.len()).unwrap_or(0);
        teller.tell(|| format!("fetched {at} of {whole} bytes ({} %)", at.saturating_mul(100) / whole.max(1)));
    }
    Ok(file.sync_all()?)
}

/// Reads all of it: nobody relies on a backup that was never read.
fn checked(part: &Path) -> anyhow::Result<Summary> {
    let read = File::open(part).map_err(Into::into).and_then(|file| backup::read(&file, &mut |_| Ok(())));
    read.with_context(|| format!("{}: remove it and run this again", part.display()))
}

/// What is wrong with the store in it, by the same walk that a restore makes.
fn walked(part: &Path) -> anyhow::Result<Option<Contradiction>> {
    let mut teller = Teller::new();
    let wrong = restore::check(part, CACHE, &mut |stage| {
        teller.tell(|| match stage {
            Stage::Verifying(records) => format!("checking it: {records} records looked at …"),
            Stage::Writing(records) | Stage::Repairing(records) | Stage::Holding(records) => {
                format!("checking it: {records} records read …")
            }
            Stage::Checking => "checking it …".to_owned(),
        });
    });
    Ok(wrong?)
}

fn taking(records: u64, bytes: u64) -> String {
    format!("taking it: {records} records, {bytes} bytes")
}

fn answer(file: &Path, summary: &Summary) -> Value {
    json!({
        "file": file.display().to_string(), "id": summary.id, "takenAt": summary.taken_at.to_string(),
        "records": summary.records, "bytes": summary.bytes, "sha256": summary.sha256, "masterKeys": summary.master_keys,
    })
}

fn told(answer: &Value) -> String {
    let keys = super::list(answer, "masterKeys").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let keys = if keys.is_empty() { "none: there are no secrets in it".to_owned() } else { keys };
    format!(
        "{}: the store as it was at {}, {} bytes, checked\nsha256 {}\nmaster.key and admin.key are not in it: keep the master \
         key apart from it; the secrets in it open under the master key with id {keys}",
        text(answer, "file"),
        text(answer, "takenAt"),
        text(answer, "bytes"),
        text(answer, "sha256"),
    )
}
