//! Where a phase plays: a simulated WhatsApp in this process, the service in its own on a fresh folder, and
//! organisations with a sender and a key each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use domain::org::Secret;
use domain::state::Status;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use simulator::{Faults, Settings, Simulator};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::process::{Serve, Usage, bytes_on_disk};
use crate::wire::{Wire, headers};

pub(crate) const API: &str = "/api/v1";
pub(crate) const WEBHOOK: &str = "/api/v1/webhooks/whatsapp/inbound";
const APP_SECRET: &str = "bench-app-secret";
/// Faster than anything that is measured.
pub(crate) const UNLIMITED: u32 = 1_000_000;
/// More than any scenario opens.
const CONNECTIONS_MAX: usize = 20_000;
/// Organisations made at a time.
const MAKERS: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Without any progress for so long a phase is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all phases of one run have in common.
pub(crate) struct Lab {
    /// A service that runs already, and its admin key; otherwise each stage starts one.
    pub(crate) running: Option<(SocketAddr, String)>,
    /// Where the simulator listens.
    pub(crate) simulator: SocketAddr,
    pub(crate) faults: Faults,
}

/// What a stage is to be like.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) orgs: usize,
    /// Calls under way at once, per organisation.
    pub(crate) max_concurrent: usize,
    /// How long WhatsApp takes to answer.
    pub(crate) latency: Duration,
    /// Whether receipts come.
    pub(crate) receipts: bool,
    /// Messages queued in one organisation, at most.
    pub(crate) max_queued: u64,
}

pub(crate) struct Stage {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) tenants: Arc<[Tenant]>,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: HeaderMap,
    service: Option<Serve>,
    folder: TempDir,
}

/// An organisation that messages are posted for.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) phone_number_id: String,
    pub(crate) headers: HeaderMap,
}

impl Stage {
    pub(crate) async fn start(lab: &Lab, setup: Setup) -> anyhow::Result<Self> {
        let settings = Settings {
            latency: setup.latency,
            app_secret: app_secret()?,
            faults: lab.faults.clone(),
            ..Default::default()
        };
        let listener = TcpListener::bind(lab.simulator).await.context("the simulator's address")?;
        let simulator = Arc::new(Simulator::start(listener, settings).await?);
        simulator.set_receipts(setup.receipts);
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let (service, addr, key) = match &lab.running {
            Some((addr, key)) => (None, *addr, key.clone()),
            None => {
                let key = format!("bench-{:032x}", rand::random::<u128>());
                std::fs::write(folder.path().join(CONFIG), config(&setup, &simulator.base_url(), &key)?)?;
                let service = Serve::start(&folder.path().join(CONFIG), &folder.path().join(DATA)).await?;
                let addr = service.addr();
                (Some(service), addr, key)
            }
        };
        simulator.set_webhook(Some(format!("http://{addr}{WEBHOOK}")));
        let admin = headers(&key)?;
        let tenants = make_tenants(addr, &admin, setup.orgs).await?;
        Ok(Self { simulator, tenants: tenants.into(), addr, admin, service, folder })
    }

    /// The service ends and starts again on the same folder; returns how long it took to end, and then to be ready.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<(Duration, Duration)> {
        let service = self.service.take().context("a service that runs elsewhere is not restarted")?;
        let began = Instant::now();
        service.stop().await?;
        let stopped = began.elapsed();
        let began = Instant::now();
        let service = Serve::start(&self.folder.path().join(CONFIG), &self.folder.path().join(DATA)).await?;
        self.addr = service.addr();
        self.service = Some(service);
        self.simulator.set_webhook(Some(format!("http://{}{WEBHOOK}", self.addr)));
        let mut wire = self.wire().await?;
        while !wire.call(Method::GET, "/readyz", &self.admin, Bytes::new()).await?.0.is_success() {
            sleep(LOOK_EVERY).await;
        }
        Ok((stopped, began.elapsed()))
    }

    pub(crate) async fn wire(&self) -> anyhow::Result<Wire> {
        Wire::open(self.addr).await
    }

    /// A call with the admin key.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.wire().await?.json(method, &format!("{API}/admin/{path}"), &self.admin, body).await
    }

    /// Stops the sending of every organisation.
    pub(crate) async fn pause_all(&self) -> anyhow::Result<()> {
        let calls = self.tenants.iter().map(|tenant| self.pause(tenant, "pause"));
        stream::iter(calls).buffer_unordered(MAKERS).try_collect::<()>().await
    }

    /// `verb` is `pause` or `resume`.
    pub(crate) async fn pause(&self, tenant: &Tenant, verb: &str) -> anyhow::Result<()> {
        self.admin(Method::POST, &format!("orgs/{}/{verb}", tenant.id), None).await.map(drop)
    }

    /// Puts the sender of an organisation at a rate of its own.
    pub(crate) async fn set_rate(&self, tenant: &Tenant, messages_per_second: u32) -> anyhow::Result<()> {
        let body = put(&tenant.phone_number_id, messages_per_second);
        self.admin(Method::PUT, &format!("orgs/{}", tenant.id), Some(&body)).await.map(drop)
    }

    /// What the service has used; `None` of one that runs elsewhere.
    pub(crate) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        let folder = self.folder.path().join(DATA);
        self.service.as_ref().map(|service| Usage::of(service.pid(), &folder)).transpose()
    }

    /// What its folder takes on the disk; `None` of one that runs elsewhere.
    pub(crate) fn bytes_on_disk(&self) -> anyhow::Result<Option<u64>> {
        let folder = self.service.as_ref().map(|_| self.folder.path().join(DATA));
        Ok(folder.map(|folder| bytes_on_disk(&folder)).transpose()?)
    }

    /// How many messages of an organisation are in one of `statuses`.
    pub(crate) async fn count(&self, tenant: &Tenant, statuses: &[Status]) -> anyhow::Result<u64> {
        count(&mut self.wire().await?, tenant, statuses).await
    }

    /// Waits until `wanted` messages of `tenants` together are in one of `statuses`, and says when that was seen.
    pub(crate) async fn until(&self, tenants: &[Tenant], statuses: &[Status], wanted: u64) -> anyhow::Result<Instant> {
        let mut wire = self.wire().await?;
        let (mut seen, mut moved_at) = (0, Instant::now());
        loop {
            let mut total = 0;
            for tenant in tenants {
                total += count(&mut wire, tenant, statuses).await?;
            }
            let now = Instant::now();
            if total >= wanted {
                return Ok(now);
            }
            if total > seen {
                (seen, moved_at) = (total, now);
            } else if now - moved_at > PATIENCE {
                bail!("{total} of {wanted} messages got as far as {}, and no more do", names(statuses));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        match self.service.take() {
            Some(service) => service.stop().await,
            None => {
                for tenant in &*self.tenants {
                    self.admin(Method::DELETE, &format!("orgs/{}", tenant.id), None).await?;
                }
                Ok(())
            }
        }
    }
}

const CONFIG: &str = "config.toml";
const DATA: &str = "data";

pub(crate) fn app_secret() -> anyhow::Result<Secret> {
    APP_SECRET.parse().map_err(anyhow::Error::msg)
}

fn names(statuses: &[Status]) -> String {
    statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ")
}

/// The defaults, but for connections and for the limits that a number at Meta has.
fn config(setup: &Setup, base_url: &str, admin_key: &str) -> anyhow::Result<String> {
    let table = json!({
        "admin": {"key": admin_key},
        "http": {"max_connections": CONNECTIONS_MAX},
        "outbound": {"max_queued": setup.max_queued},
        "whatsapp": {
            "base_url": base_url,
            "messages_per_second": UNLIMITED,
            "max_concurrent": setup.max_concurrent,
            "pair_burst": UNLIMITED,
        },
        "log": {"level": "warn"},
    });
    toml::to_string(&table).context("the configuration")
}

fn put(phone_number_id: &str, messages_per_second: u32) -> Value {
    json!({"name": "Bench", "senders": [{
        "phoneNumberId": phone_number_id, "accessToken": "bench-access-token", "appSecret": APP_SECRET,
        "verifyToken": "bench-verify-token", "messagesPerSecond": messages_per_second,
    }]})
}

async fn make_tenants(addr: SocketAddr, admin: &HeaderMap, orgs: usize) -> anyhow::Result<Vec<Tenant>> {
    // A service that runs elsewhere may have those of an earlier run.
    let run: u32 = rand::random();
    let make = async |n: usize| {
        let mut wire = Wire::open(addr).await?;
        let (id, phone_number_id) = (format!("bench-{run:08x}-{n}"), format!("{run}{n:06}"));
        let body = put(&phone_number_id, UNLIMITED);
        wire.json(Method::PUT, &format!("{API}/admin/orgs/{id}"), admin, Some(&body)).await?;
        let path = format!("{API}/admin/orgs/{id}/keys");
        let key = wire.json(Method::POST, &path, admin, Some(&json!({"name": "bench"}))).await?;
        let mut headers = headers(key.get("key").and_then(Value::as_str).context("an API key")?)?;
        headers.insert("x-org-id", HeaderValue::from_str(&id)?);
        Ok(Tenant { id, phone_number_id, headers })
    };
    stream::iter((0..orgs).map(make)).buffered(MAKERS).try_collect().await
}

async fn count(wire: &mut Wire, tenant: &Tenant, statuses: &[Status]) -> anyhow::Result<u64> {
    let stats = wire.json(Method::GET, &format!("{API}/outbound/stats"), &tenant.headers, None).await?;
    Ok(statuses.iter().filter_map(|status| stats.get(status.as_str())?.as_u64()).sum())
}
