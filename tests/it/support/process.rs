//! Runs the real binary as a child process with its output in files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::eventually;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running twotick. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts twotick in `folder`, which also receives its output.
    pub(crate) fn spawn(folder: &Path, args: &[&str], env: &[(String, String)]) -> Self {
        Self::spawn_within(folder, args, env, &[])
    }

    /// Starts twotick in `folder` after shell commands that set limits.
    pub(crate) fn spawn_within(folder: &Path, args: &[&str], env: &[(String, String)], limits: &[String]) -> Self {
        let n = (0..).find(|n| !folder.join(format!("stderr-{n}")).exists()).unwrap();
        let (stdout, stderr) = (folder.join(format!("stdout-{n}")), folder.join(format!("stderr-{n}")));
        let program = env!("CARGO_BIN_EXE_twotick");
        let mut command = Command::new(program);
        if !limits.is_empty() {
            command = Command::new("sh");
            command.args(["-c", &format!("{}; exec {program} \"$@\"", limits.join("; ")), "sh"]);
        }
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TWOTICK__")) {
            command.env_remove(name);
        }
        let child = command
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self { child, stdout, stderr }
    }

    /// Waits for the URL that the process prints once it listens.
    pub(crate) async fn listening(&mut self) -> String {
        eventually("listening", async || {
            assert_eq!(self.child.try_wait().unwrap(), None, "it ended: {}", read(&self.stderr));
            let stdout = read(&self.stdout);
            let line = stdout.split_once('\n').and_then(|(line, _)| line.strip_prefix("listening on "));
            line.map(str::to_owned).ok_or(stdout)
        })
        .await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Kills the process by SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the process has ended.
    pub(crate) async fn exit(mut self) -> Exit {
        let status =
            eventually("the end of twotick", async || self.child.try_wait().unwrap().ok_or_else(|| read(&self.stderr)))
                .await;
        Exit { code: status.code(), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The standard error of all processes in `folder`.
pub(crate) fn log(folder: &Path) -> String {
    (0..).map(|n| folder.join(format!("stderr-{n}"))).take_while(|path| path.exists()).map(|path| read(&path)).collect()
}

/// Runs a command in an empty folder until it ends.
pub(crate) async fn run(args: &[&str]) -> Exit {
    run_with(tempfile::tempdir().unwrap().path(), args, &[]).await
}

/// Runs a command in a folder and an environment until it ends.
pub(crate) async fn run_with(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Exit {
    let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Process::spawn(folder, args, &env).exit().await
}
