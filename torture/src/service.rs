//! The service as a child process on one folder: starts, kills, stops and verifies it.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::plan::Plan;

const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const VERIFY_WITHIN: Duration = Duration::from_secs(600);
const CONFIG: &str = "torture.toml";
const DATA: &str = "data";
const LOG: &str = "service.log";

/// A folder and the service that may be running on it. Dropping it kills the service.
pub(crate) struct Service {
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

impl Service {
    pub(crate) fn new(plan: &Plan, base_url: &str, admin_key: &str) -> anyhow::Result<Self> {
        let config = plan.folder.join(CONFIG);
        std::fs::write(&config, plan.config(base_url, admin_key)?).context("cannot write the configuration")?;
        Ok(Self { binary: plan.binary.clone(), folder: plan.folder.clone(), child: None })
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join(LOG))?;
        let mut command = Command::new(&self.binary);
        // A developer's own settings must not change this service.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWOTICK__")) {
            command.env_remove(name);
        }
        command.arg(verb).arg("--config").arg(self.folder.join(CONFIG)).arg("--data").arg(self.folder.join(DATA));
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    /// Starts the service without waiting until it listens.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = self.command("serve")?;
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        self.child = Some(command.spawn().context("cannot start the service")?);
        Ok(())
    }

    /// Starts the service and returns its URL, such as `http://127.0.0.1:40123`.
    pub(crate) async fn start(&mut self) -> anyhow::Result<String> {
        self.spawn()?;
        let child = self.child()?;
        let stdout = child.stdout.take().context("the service has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(line) =
            timeout(START_WITHIN, lines.next_line()).await.context("the service did not start in time")??
        else {
            bail!("the service did not start: {}", child.wait().await?);
        };
        Ok(line.strip_prefix("listening on ").with_context(|| format!("the service printed {line:?}"))?.to_owned())
    }

    fn child(&mut self) -> anyhow::Result<&mut Child> {
        self.child.as_mut().context("the service is not running")
    }

    /// The id of the process. Fails if the service has ended by itself.
    pub(crate) fn pid(&mut self) -> anyhow::Result<Pid> {
        let child = self.child()?;
        if let Some(status) = child.try_wait()? {
            bail!("the service ended by itself: {status}");
        }
        Ok(Pid::from_raw(i32::try_from(child.id().context("the service has ended")?)?))
    }

    /// Kills the service by SIGKILL and waits for its end.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the service is not running")?;
        Ok(child.kill().await?)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        Ok(kill(self.pid()?, Signal::SIGTERM)?)
    }

    /// Waits until the service has ended.
    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("the service is not running")?;
        Ok(timeout(STOP_WITHIN, child.wait()).await.context("the service did not stop in time")??)
    }

    /// Runs `twotick verify`. Returns its output if the folder is damaged.
    pub(crate) async fn verify(&self) -> anyhow::Result<Option<String>> {
        let command = self.command("verify")?.stdout(Stdio::piped()).output();
        let output = timeout(VERIFY_WITHIN, command).await.context("twotick verify did not end in time")??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((!output.status.success()).then_some(said))
    }

    /// The lines of the service's log that report a bug.
    pub(crate) fn panics(&self) -> anyhow::Result<Vec<String>> {
        let log = std::io::read_to_string(File::open(self.folder.join(LOG))?)?;
        let is_bug = |line: &&str| line.contains("a panic: ") || line.contains("an actor crashed");
        Ok(log.lines().filter(is_bug).map(str::to_owned).collect())
    }
}
