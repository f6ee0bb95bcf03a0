//! The service as a process of its own, `twotick serve` of this very binary, and what the kernel knows of it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to listen: a folder with millions of messages opens slowly.
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const BLOCK_BYTES: u64 = 512;

/// A running `twotick serve`. Dropping it kills it.
pub(crate) struct Serve {
    child: Child,
    pid: i32,
    addr: SocketAddr,
}

impl Serve {
    pub(crate) async fn start(config: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // What a person has set for their own service must not change what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWOTICK__")) {
            command.env_remove(name);
        }
        command.arg("serve").arg("--config").arg(config).arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = i32::try_from(child.id().context("the service ended at once")?)?;
        let stdout = child.stdout.take().context("the service has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(line) = timeout(START_WITHIN, lines.next_line()).await.context("the service does not start")?? else {
            bail!("the service did not start: {}", child.wait().await?);
        };
        let addr = line.strip_prefix("listening on http://").and_then(|addr| addr.parse().ok());
        Ok(Self { child, pid, addr: addr.with_context(|| format!("the service said {line:?}"))? })
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// SIGTERM, and its orderly end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM)?;
        let status = timeout(STOP_WITHIN, self.child.wait()).await.context("the service does not stop")??;
        if !status.success() {
            bail!("the service ended with {status}");
        }
        Ok(())
    }
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Memory now.
    pub(crate) resident_mb: f64,
    /// The most memory it ever had.
    pub(crate) peak_mb: f64,
    /// User and system time.
    pub(crate) cpu_ms: f64,
    /// What the disk that its folder is on was given, by everybody: of a process the kernel only counts the pages that it
    /// made dirty, and those of a large file are megabytes. `None` where the folder is on no disk of its own.
    pub(crate) written_bytes: Option<u64>,
}

impl Usage {
    /// Of the process `pid`, whose data is in `folder`. Fails if it has ended, or is not ours to look at.
    pub(crate) fn of(pid: i32, folder: &Path) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mb = |name| Some(field(&status, name)? as f64 / 1024.0);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything; after it come the state and then numbers.
        let (_, numbers) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let ticks: u64 = numbers.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("CLK_TCK")?;
        Ok(Self {
            resident_mb: mb("VmRSS:").context("VmRSS")?,
            peak_mb: mb("VmHWM:").context("VmHWM")?,
            cpu_ms: ticks as f64 * 1000.0 / per_second as f64,
            written_bytes: written(folder),
        })
    }
}

/// Bytes written to the disk that `folder` is on, since the machine was started.
fn written(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    // Reads, merged, sectors, milliseconds; then the same of writes.
    Some(stat.split_whitespace().nth(6)?.parse::<u64>().ok()? * BLOCK_BYTES)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The blocks that a folder's files really take.
pub(crate) fn bytes_on_disk(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_on_disk(&entry.path())? } else { meta.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}
