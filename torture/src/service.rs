//! The service as a process that is started, killed, stopped and verified on one folder.

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

/// A folder, and the service on it while that runs. Dropping it kills it.
pub(crate) struct Service {
    binary: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

impl Service {
    pub(crate) fn new(plan: &Plan, base_url: &str, admin_key: &str) -> anyhow::Result<Self> {
        let config = plan.folder.join(CONFIG);
        std::fs::write(&config, plan.config(base_url, admin_key)?).context("the configuration cannot be written")?;
        Ok(Self { binary: plan.binary.clone(), folder: plan.folder.clone(), child: None })
    }

    fn command(&self, verb: &str) -> anyhow::Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join(LOG))?;
        let mut command = Command::new(&self.binary);
        // What a person has set for their own service must not change this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWOTICK__")) {
            command.env_remove(name);
        }
        command.arg(verb).arg("--config").arg(self.folder.join(CONFIG)).arg("--data").arg(self.folder.join(DATA));
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(log).kill_on_drop(true);
        Ok(command)
    }

    /// Starts it, without waiting for anything.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = self.command("serve")?;
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        self.child = Some(command.spawn().context("the service cannot be started")?);
        Ok(())
    }

    /// Starts it; where it then listens, such as `http://127.0.0.1:40123`.
    pub(crate) async fn start(&mut self) -> anyhow::Result<String> {
        self.spawn()?;
        let child = self.child()?;
        let stdout = child.stdout.take().context("the service has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(line) = timeout(START_WITHIN, lines.next_line()).await.context("the service does not start")?? else {
            bail!("the service did not start: {}", child.wait().await?);
        };
        Ok(line.strip_prefix("listening on ").with_context(|| format!("the service said {line:?}"))?.to_owned())
    }

    fn child(&mut self) -> anyhow::Result<&mut Child> {
        self.child.as_mut().context("the service does not run")
    }

    /// Fails if it has ended by itself.
    pub(crate) fn pid(&mut self) -> anyhow::Result<Pid> {
        let child = self.child()?;
        if let Some(status) = child.try_wait()? {
            bail!("the service ended by itself: {status}");
        }
        Ok(Pid::from_raw(i32::try_from(child.id().context("the service has ended")?)?))
    }

    /// SIGKILL, and its end.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the service does not run")?;
        Ok(child.kill().await?)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        Ok(kill(self.pid()?, Signal::SIGTERM)?)
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("the service does not run")?;
        Ok(timeout(STOP_WITHIN, child.wait()).await.context("the service does not stop")??)
    }

    /// `twotick verify`: nothing if the folder is whole, else what it says.
    pub(crate) async fn verify(&self) -> anyhow::Result<Option<String>> {
        let command = self.command("verify")?.stdout(Stdio::piped()).output();
        let output = timeout(VERIFY_WITHIN, command).await.context("verify does not end")??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((!output.status.success()).then_some(said))
    }

    /// The lines of its log that tell of a bug.
    pub(crate) fn panics(&self) -> anyhow::Result<Vec<String>> {
        let log = std::io::read_to_string(File::open(self.folder.join(LOG))?)?;
        let is_bug = |line: &&str| line.contains("a panic: ") || line.contains("an actor crashed");
        Ok(log.lines().filter(is_bug).map(str::to_owned).collect())
    }
}
