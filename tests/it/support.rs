//! The test harness: the real binary in its own folder, a simulated WhatsApp, and a client.

mod api;
mod process;
mod samples;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::{Value, json};
use simulator::{Faults, Settings, Simulator};
use store::DataFolder;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use api::{Answer, Api, send};
pub(crate) use process::{Exit, Process, run, run_with};
pub(crate) use samples::*;

/// How long to wait for a state, even on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL_EVERY: Duration = Duration::from_millis(15);

/// Polls `look` until it succeeds. Its error says what it saw instead.
pub(crate) async fn eventually<T, D: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, D>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("{what}: not within {PATIENCE:?}; last seen: {seen:?}"),
            Err(_) => sleep(POLL_EVERY).await,
        }
    }
}

/// Polls `seen` until it returns `wanted`.
pub(crate) async fn until_eq<T: Debug + PartialEq>(what: &str, wanted: T, mut seen: impl FnMut() -> T) {
    let look = async || Some(seen()).filter(|seen| *seen != wanted).map_or(Ok(()), Err);
    eventually(what, look).await;
}

/// A client that needs neither certificates nor a proxy.
pub(crate) fn client() -> Client {
    // Fails only if the simulator has already installed a provider, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build().unwrap()
}

pub(crate) async fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn faults(rules: &Value) -> Faults {
    Faults::from_json(json!({ "rules": rules }).to_string().as_bytes()).unwrap()
}

/// The configuration of a [`TestApp`].
pub(crate) struct Setup {
    config: toml::Table,
    env: Vec<(String, String)>,
    sim: Settings,
    data: Option<PathBuf>,
    limits: Vec<String>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let sim = Settings { app_secret: APP_SECRET.parse().unwrap(), ..Settings::default() };
        let setup = Self { config: toml::Table::new(), env: Vec::new(), sim, data: None, limits: Vec::new() };
        let delays = ["0s", "50ms", "50ms", "50ms"];
        setup
            .set("store.cache", "16MiB")
            .set("outbound.retry_delays", delays.to_vec())
            .set("outbound.retry_jitter", 0.0)
            .set("whatsapp.messages_per_second", 1000)
    }

    /// Sets a key of the configuration, such as `outbound.enabled`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        set(&mut self.config, key, value.into());
        self
    }

    /// Adds TOML text to the configuration.
    pub(crate) fn toml(mut self, text: &str) -> Self {
        self.config.extend(text.parse::<toml::Table>().unwrap());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the data folder. The default is next to the configuration.
    pub(crate) fn data(mut self, path: &Path) -> Self {
        self.data = Some(path.to_owned());
        self
    }

    /// Limits the size of twotick's files, so that it finds the disk full.
    pub(crate) fn file_limit(self, bytes: u64) -> Self {
        // `ulimit` counts blocks of 512 bytes. SIGXFSZ is ignored so that the write fails instead of the process.
        self.limit(&format!("trap '' XFSZ; ulimit -S -f {}", bytes / 512))
    }

    /// Runs a shell command that sets a limit before twotick starts.
    pub(crate) fn limit(mut self, command: &str) -> Self {
        self.limits.push(command.into());
        self
    }

    /// Trusts the test's connections as a proxy's, so that `X-Forwarded-For` sets the client's address.
    pub(crate) fn behind_a_proxy(self) -> Self {
        self.set("http.trusted_proxies", vec!["127.0.0.1"])
    }

    /// Starts twotick and the simulator without any organisation.
    pub(crate) async fn start_empty(self) -> TestApp {
        let Self { mut config, env, sim, data, limits } = self;
        let sim = Simulator::start(any_port().await, sim).await.unwrap();
        if config.get("whatsapp").is_none_or(|section| section.get("base_url").is_none()) {
            set(&mut config, "whatsapp.base_url", sim.base_url().into());
        }
        let temp = tempfile::tempdir().unwrap();
        let mut app = TestApp {
            sim,
            config,
            env,
            data: data.unwrap_or_else(|| temp.path().join("data")),
            limits,
            client: client(),
            base: Arc::default(),
            process: None,
            acme: None,
            is_damaged: false,
            temp,
        };
        app.start_again().await;
        app
    }

    /// Starts twotick and the simulator with the organisation `acme`.
    pub(crate) async fn start(self) -> TestApp {
        let mut app = self.start_empty().await;
        app.acme = Some(app.org("acme", PHONE).await);
        app
    }
}

fn set(config: &mut toml::Table, key: &str, value: toml::Value) {
    let (section, key) = key.split_once('.').unwrap();
    let section = config.entry(section).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().unwrap().insert(key.into(), value);
}

/// A twotick process and the simulated WhatsApp that it calls.
pub(crate) struct TestApp {
    pub(crate) sim: Simulator,
    config: toml::Table,
    env: Vec<(String, String)>,
    data: PathBuf,
    limits: Vec<String>,
    client: Client,
    base: Arc<Mutex<String>>,
    process: Option<Process>,
    acme: Option<Api>,
    /// Set by a test that damages the store itself.
    pub(crate) is_damaged: bool,
    // The last field, so that the folder is removed after the process has ended.
    temp: TempDir,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) fn folder(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The URL of the service, such as `http://127.0.0.1:40123`.
    pub(crate) fn base(&self) -> String {
        self.base.lock().unwrap().clone()
    }

    /// Writes the configuration file for the next start and returns its path.
    pub(crate) fn config_file(&self) -> PathBuf {
        let path = self.folder().join("twotick.toml");
        std::fs::write(&path, toml::to_string(&self.config).unwrap()).unwrap();
        path
    }

    /// Changes a key of the configuration for the next start.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        set(&mut self.config, key, value.into());
    }

    /// Adds TOML text to the configuration.
    pub(crate) fn add(&mut self, text: &str) {
        self.config.extend(text.parse::<toml::Table>().unwrap());
    }

    /// Starts twotick again on the same folder.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it is already running");
        let (config, data) = (self.config_file(), self.data());
        let args = ["serve", "--config", path(&config), "--data", path(&data), "--listen", "127.0.0.1:0"];
        let mut process = Process::spawn_within(self.folder(), &args, &self.env, &self.limits);
        let base = process.listening().await;
        self.process = Some(process);
        self.sim.set_webhook(Some(format!("{base}/api/v1/webhooks/whatsapp/inbound")));
        *self.base.lock().unwrap() = base;
    }

    /// Diverts receipts from twotick's port, which another test may get next. They are retried until twotick has a
    /// new address.
    fn divert_receipts(&self) {
        self.sim.set_webhook(Some("http://127.0.0.1:1/".into()));
    }

    /// Kills the process by SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.divert_receipts();
        self.process.take().unwrap().kill();
    }

    pub(crate) async fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again().await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    /// Removes the limits from the next start on.
    pub(crate) fn lift_file_limit(&mut self) {
        self.limits.clear();
    }

    /// Waits until the process has ended.
    pub(crate) async fn exit(&mut self) -> Exit {
        self.divert_receipts();
        self.process.take().unwrap().exit().await
    }

    /// Stops the process by SIGTERM and waits until it has ended.
    pub(crate) async fn stop(&mut self) -> Exit {
        self.signal(Signal::SIGTERM);
        self.exit().await
    }

    /// The standard error of all starts.
    pub(crate) fn log(&self) -> String {
        process::log(self.folder())
    }

    /// Runs a command against the running service with the admin key of its data folder.
    pub(crate) async fn admin_command(&self, args: &[&str], env: &[(&str, &str)]) -> Exit {
        let (base, data) = (self.base(), self.data());
        run_with(self.folder(), &[args, &["--url", &base, "--data", path(&data)]].concat(), env).await
    }

    pub(crate) fn api(&self, key: Option<&str>) -> Api {
        Api::new(self.client.clone(), Arc::clone(&self.base), key)
    }

    pub(crate) fn admin(&self) -> Api {
        let key = std::fs::read_to_string(self.data().join("admin.key")).unwrap();
        self.api(Some(key.trim()))
    }

    /// A caller with a key of the organisation `acme`.
    pub(crate) fn acme(&self) -> &Api {
        self.acme.as_ref().unwrap()
    }

    /// Creates an organisation with one phone number and returns a caller with a key of it.
    pub(crate) async fn org(&self, id: &str, number: &str) -> Api {
        self.put_org(id, &org(number, APP_SECRET)).await;
        self.key_of(id, &json!({"name": "test"})).await
    }

    pub(crate) async fn put_org(&self, id: &str, body: &Value) -> Value {
        let answer = self.admin().put(&format!("admin/orgs/{id}"), body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.json()
    }

    /// Creates a key of an organisation and returns a caller with it.
    pub(crate) async fn key_of(&self, id: &str, body: &Value) -> Api {
        let answer = self.admin().post(&format!("admin/orgs/{id}/keys"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.api(answer.json()["key"].as_str())
    }

    /// Posts a webhook signed with the app secret of the simulator.
    pub(crate) async fn webhook(&self, body: &[u8]) -> Answer {
        let signature = whatsapp::signature::sign(&APP_SECRET.parse().unwrap(), body);
        self.webhook_with(body, &[(whatsapp::signature::HEADER, &signature)]).await
    }

    pub(crate) async fn webhook_with(&self, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let request = self.api(None).request("POST", WEBHOOK).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        send(request.body(body.to_vec())).await
    }

    /// Sends raw bytes and returns the first part of the answer.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let address = self.base().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64 * 1024];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    /// Waits until the simulator has accepted `count` messages.
    pub(crate) async fn until_accepted(&self, count: usize) {
        until_eq("messages accepted by WhatsApp", count, || self.sim.messages().len()).await;
    }

    /// Waits until every receipt is delivered, so that nothing changes any more.
    pub(crate) async fn settled(&self) {
        until_eq("receipts on their way", 0, || self.sim.stats().receipts_waiting).await;
    }

    /// Sends one more message and waits until it is READ. Everything that was due before has then been handled.
    pub(crate) async fn one_more(&self) {
        let id = self.acme().accept(&text(999_999)).await;
        self.acme().until(&id, "READ").await;
    }

    /// How often the simulator has accepted a message to this recipient.
    pub(crate) fn accepted_to(&self, to: &str) -> usize {
        self.sim.messages().iter().filter(|message| message.to == to).count()
    }
}

impl TestApp {
    /// Verifies the store, which must be consistent at the end of every test.
    fn verify(&self) {
        let store = store::open(DataFolder::open_existing(&self.data()).unwrap(), 16 << 20).unwrap();
        let report = store::verify::verify(&store, &mut |_| ());
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert!(report.is_clean(), "{findings:#?}");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.process = None;
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("--- the log of twotick\n{log}---");
        } else {
            assert!(!log.contains("a panic: ") && !log.contains("an actor crashed"), "twotick panicked:\n{log}");
            if !self.is_damaged {
                self.verify();
            }
        }
    }
}

/// The names of all files below `folder` that contain `bytes`.
pub(crate) fn files_holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files_holding(&entry.path(), bytes));
        } else if std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
