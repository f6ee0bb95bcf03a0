//! `twotick compact`: writes a data folder that no service uses anew, so that it holds nothing that was deleted, and its
//! space is free.

use std::path::PathBuf;

use clap::Args;
use store::DataFolder;
use store::compact::compact;

use super::command::{Teller, say};
use crate::config::Config;

/// The arguments of `twotick compact`.
#[derive(Args)]
pub(crate) struct Compact {
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, in place of `store.path`.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Compact {
    pub(crate) fn run(self, config: &Config) -> anyhow::Result<()> {
        let path = self.data.as_ref().unwrap_or(&config.store.path);
        let mut teller = Teller::new();
        let done = compact(DataFolder::open_existing(path)?, config.store.cache.as_u64(), &mut |records| {
            teller.tell(|| format!("{records} records copied …"));
        })?;
        say(&format!(
            "{}: {} records, {} bytes before, {} bytes now",
            path.display(),
            done.records,
            done.before,
            done.after
        ));
        Ok(())
    }
}
