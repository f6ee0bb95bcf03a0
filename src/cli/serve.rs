//! `twotick serve`: the service, until a signal stops it. SIGHUP makes it read its configuration again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use store::folder::is_there;
use tokio::signal::unix::{SignalKind, signal};

use super::command::{Failure, Signals, load, say};
use super::logging;
use super::logging::Level;
use crate::config::Config;
use crate::service::engine::{Engine, GONE};
use crate::service::{Service, ServiceError};

#[derive(Args, Clone)]
pub(crate) struct Serve {
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The data folder, in place of `store.path`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address and port to listen on, in place of `http.listen`; port 0 picks a free one.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.configuration()?;
        let level = Arc::new(logging::start(&config.log));
        // Listened for from here on: a signal during a long start must stop it, too.
        let (mut signals, mut hangups) = (Signals::new()?, signal(SignalKind::hangup())?);
        let service = tokio::select! {
            service = Service::start(&config) => match service {
                Err(ServiceError::Tls(reason)) => return Err(Failure::Usage(reason)),
                service => service?,
            },
            () = signals.next() => return Ok(()),
        };
        say(&format!("listening on {}", service.url()));
        let failure = loop {
            tokio::select! {
                () = signals.next() => {
                    tracing::info!(
                        "stopping: no new work is taken, calls in flight are finished; a second signal ends at once, and \
                         loses nothing"
                    );
                    break None;
                }
                reason = service.failed() => break Some(reason),
                // A task of its own: signals are heard while the disk is slow.
                _ = hangups.recv() => {
                    tokio::spawn(self.clone().read_again(config.clone(), service.engine(), Arc::clone(&level)));
                }
            }
        };
        let is_well = tokio::select! {
            is_well = service.stop() => is_well,
            // The first, after a failure; a second one is not waited for.
            () = signals.next() => true,
        };
        match failure {
            Some(reason) => Err(anyhow!("{reason}").into()),
            None if is_well => Ok(()),
            None if is_there(&config.store.path) => Err(anyhow!(
                "it was stopped while its store took no writes; what was acknowledged is in its data folder"
            )
            .into()),
            None => Err(anyhow!("it was stopped without its store; {GONE}").into()),
        }
    }

    fn configuration(&self) -> Result<Config, Failure> {
        let mut config = load(self.config.clone())?;
        if let Some(data) = &self.data {
            config.store.path.clone_from(data);
        }
        if let Some(listen) = self.listen {
            config.http.listen = listen;
        }
        config.http.check_exposure().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(config)
    }

    /// Follows the configuration as it now is; a wrong one is refused whole, and the running one stays. `first` is that of
    /// the start: what cannot change while the service runs is as it says.
    async fn read_again(self, first: Config, engine: Arc<Engine>, level: Arc<Level>) {
        let config = match self.configuration() {
            Ok(config) => config,
            Err(failure) => {
                tracing::error!(reason = %failure, "the new configuration is refused; the running one stays");
                return;
            }
        };
        let waiting = config.differs_in_fixed(&first);
        let log = config.log.clone();
        match engine.reconfigure(config).await {
            Ok(()) => {
                level.set(&log);
                tracing::info!("the configuration was read again and holds");
            }
            Err(error) => {
                tracing::error!(%error, "the new configuration is refused; the running one stays");
                return;
            }
        }
        if !waiting.is_empty() {
            tracing::warn!(keys = %waiting.join(", "), "these keys changed, and hold only after a restart");
        }
    }
}
