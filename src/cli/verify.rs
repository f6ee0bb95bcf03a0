//! `twotick verify`: walks a data folder that no service uses, and says whether everything in it agrees.

#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::Clock;
use clap::Args;
use store::repair::Stage;
use store::sled::Doubt;
use store::verify::{Report, verify};
use store::{DataFolder, SledBackend, Store};

use super::command::{Looked, Teller, look_into};
use crate::config::Config;

/// The arguments of `twotick verify`.
#[derive(Args)]
pub(crate) struct Verify {
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, in place of `store.path`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Take what is left for all that there was, so that the service starts on it again. Only where there is no backup.
    #[arg(long)]
    accept_loss: bool,
    /// Build anew what leads to records (indexes and counts), where other records tell it, and say what was done. Cut off, run it
    /// again.
    #[arg(long)]
    repair: bool,
}

impl Verify {
    /// Checks the folder; fails if anything is wrong with it.
    pub(crate) fn run(self, config: &Config) -> anyhow::Result<()> {
        let path = self.data.as_ref().unwrap_or(&config.store.path);
        let cache = config.store.cache.as_u64();
        // What is to be mended is mended in its place.
        let looked = match self.accept_loss || self.repair {
            true => Looked { folder: DataFolder::open_existing(path)?, copy: None },
            false => look_into(path)?,
        };
        // Removed at the end.
        let _copy = looked.copy;
        let backend = Arc::new(SledBackend::open(looked.folder, cache)?);
        let mut wrong = 0;
        if let Some(doubt) = backend.doubt() {
            println!("{doubt}");
            wrong += u64::from(matches!(doubt, Doubt::Lost { .. }));
        }
        for place in backend.broken_log()? {
            println!(
                "the log is broken at byte {place}: what was recorded there is lost: restore the folder from a backup"
            );
            wrong += 1;
        }
        if self.accept_loss {
            let gone = backend.forget_unreadable()?;
            if gone > 0 {
                println!("{gone} blocks of records could not be read, and are given up");
            }
            wrong += gone;
        }
        let mut teller = Teller::new();
        let store = Store::new(Arc::<SledBackend>::clone(&backend));
        if self.repair {
            let keys = store.repair(Clock::system().now(), &mut |stage| match stage {
                Stage::Walking(records) => teller.tell(|| format!("{records} records looked at …")),
                Stage::Mending(finding) => println!("{finding}: mended"),
            })?;
            println!("{keys} keys were built anew, or removed");
        }
        let report = verify(&store, &mut |records| {
            teller.tell(|| format!("{records} records looked at …"));
        });
        tell(&report);
        wrong += report.wrong;
        if wrong == 0 || self.accept_loss {
            backend.trust()?;
        }
        let is_mendable = report.findings.iter().any(|finding| finding.is_mendable);
        conclude(path, wrong, self.accept_loss, is_mendable)
    }
}

fn tell(report: &Report) {
    for finding in &report.findings {
        println!("{finding}: {}", finding.advice());
    }
    let told = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
    if report.wrong > told {
        println!("… and {} more", report.wrong - told);
    }
    println!(
        "organisations {}, messages {}, audit entries {}, records {}",
        report.organisations, report.messages, report.entries, report.records
    );
}

fn conclude(path: &Path, wrong: u64, accept_loss: bool, is_mendable: bool) -> anyhow::Result<()> {
    let path = path.display();
    match (wrong, accept_loss) {
        (0, _) => println!("{path} is whole"),
        (_, true) => {
            println!("{wrong} things are wrong in {path}; they were accepted, and the service will start on it")
        }
        (_, false) => anyhow::bail!(
            "{wrong} things are wrong in {path}: {}restore it from a backup; if there is none, `twotick verify --accept-loss` \
             lets the service start on what is left",
            if is_mendable { "`twotick verify --repair` mends what other records tell; else " } else { "" }
        ),
    }
    Ok(())
}
