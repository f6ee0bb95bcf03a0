//! `twotick doctor`: looks at all that must be right before messages can go, and says of each what to do.
//!
//! A running service looks itself: its environment may be another than this shell's, and its secrets never leave it. Of a
//! stopped one, configuration and data folder tell all.

mod machine;
mod service;

use std::path::PathBuf;

use clap::Args;

use super::command::{Failure, say};
use crate::checks::{Report, senders};
use crate::config::Config;

/// Arguments of `twotick doctor`.
#[derive(Args)]
pub(crate) struct Doctor {
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The data folder, in place of `store.path`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the service listens, if not where the configuration says.
    #[arg(long, env = "TWOTICK_URL")]
    url: Option<String>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut report = Report::default();
        self.examine(&mut report).await;
        say(&if self.json { serde_json::to_string_pretty(&report)? } else { report.to_text() });
        match report.wrong_findings() {
            0 => Ok(()),
            1 => Err(anyhow::anyhow!("1 thing is wrong").into()),
            wrong => Err(anyhow::anyhow!("{wrong} things are wrong").into()),
        }
    }

    async fn examine(&self, report: &mut Report) {
        let (mut config, secrets) = match Config::load_beside(self.config.as_deref()) {
            Ok(loaded) => loaded,
            Err(error) => {
                let fix = "mend the key that it names; `twotick check-config` shows the rest";
                return report.wrong("configuration", error.to_string(), fix);
            }
        };
        if let Some(data) = &self.data {
            config.store.path.clone_from(data);
        }
        machine::listening(&config.http, report);
        machine::descriptors(&config.http, report);
        machine::secrets(&config, report);
        let folder = machine::folder(&config, report);
        let is_running = matches!(folder, machine::Store::Running);
        match secrets {
            Ok(()) => report.ok("configuration", "it can be used"),
            Err(error) if is_running => report.note(
                "configuration",
                format!("as this shell has it: {error}"),
                "nothing, if the running service was started with it; to look at that, run this in its environment",
            ),
            Err(error) => {
                let fix = "mend the key that it names, or run this in the environment that the service is started in";
                return report.wrong("configuration", error.to_string(), fix);
            }
        }
        if is_running && service::examine(&config, self.url.as_deref(), report).await {
            return;
        }
        let mut senders = senders::declared(&config);
        match folder {
            machine::Store::Stopped(orgs) => senders::of_folder(&orgs, &mut senders),
            machine::Store::Unknown if senders.is_empty() => {
                report.note("senders", "there is none yet", "declare one, or make one with `twotick org put`");
            }
            machine::Store::Running | machine::Store::Unknown => {}
        }
        senders::examine(&config, &senders, report).await;
    }
}
