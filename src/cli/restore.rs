//! `twotick restore`: a data folder from a backup file. What was not finished is held there: the original may have sent it.

use std::path::PathBuf;

use actors::Clock;
use clap::Args;
use serde_json::json;
use store::restore::{self, Done, Stage};

use super::command::{Failure, Teller, load, say};
use crate::service::master_key::MASTER_KEY_FILE;

/// The arguments of `twotick restore`.
#[derive(Args)]
pub(crate) struct Restore {
    /// The backup, as `twotick backup` wrote it.
    file: PathBuf,
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The folder to restore into, in place of `store.path`: missing, or empty.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Leave this organisation out, by its id; may be given several times. For one whose data contradicts itself.
    #[arg(long, value_name = "ORG")]
    without: Vec<String>,
    /// Build anew what leads to records, where the backup contradicts itself and other records tell it.
    #[arg(long)]
    repair: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = load(self.config.clone())?;
        let folder = self.data.as_ref().unwrap_or(&config.store.path);
        let clock = Clock::system();
        let mut teller = Teller::new();
        let restore = restore::Restore {
            file: &self.file,
            folder,
            cache_bytes: config.store.cache.as_u64(),
            without: &self.without,
            repair: self.repair,
            policy: &config.settings().policy,
            now: &|| clock.now(),
        };
        let done = restore.run(&mut |stage| teller.tell(|| told(stage)))?;
        let Done { backup, held, repaired } = done;
        if self.json {
            let answer = json!({
                "folder": folder.display().to_string(), "backup": backup.id, "takenAt": backup.taken_at.to_string(),
                "held": held, "masterKeys": backup.master_keys, "without": self.without, "repaired": repaired,
            });
            say(&format!("{answer:#}"));
            return Ok(());
        }
        say(&format!(
            "{}: restored and verified, as it was at {} (backup {})",
            folder.display(),
            backup.taken_at,
            backup.id
        ));
        if !self.without.is_empty() {
            say(&format!("left out: {}. It is in the backup only", self.without.join(", ")));
        }
        if repaired > 0 {
            say(&format!(
                "{repaired} keys that lead to records were built anew, or removed; the audit trails tell of it"
            ));
        }
        if !backup.master_keys.is_empty() {
            say(&format!(
                "before the start, put the master key with id {} at {}, or name it in admin.master_key; a new admin key is made",
                backup.master_keys.join(", "),
                folder.join(MASTER_KEY_FILE).display()
            ));
        }
        say(&format!(
            "{held} messages are held, since the original may have sent them; new ones are sent. Once the original is stopped for \
             good, `twotick release --all --send` sends them (some may come twice), `--cancel` cancels them"
        ));
        Ok(())
    }
}

fn told(stage: Stage) -> String {
    match stage {
        Stage::Checking => "checking the file …".to_owned(),
        Stage::Writing(records) => format!("{records} records written …"),
        Stage::Repairing(records) => format!("{records} records looked at for what to repair …"),
        Stage::Holding(messages) => format!("{messages} messages held …"),
        Stage::Verifying(records) => format!("{records} records verified …"),
    }
}
