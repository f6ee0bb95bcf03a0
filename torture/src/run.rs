//! A run: the service is killed and restarted under load, settles, and is compared with the witnesses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::{Value, json};
use simulator::{Settings, Simulator};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::clients::{Clients, History, Tenant};
use crate::moments::Moment;
use crate::plan::{APP_SECRET, FinalStatus, Plan, REQUEST_TIMEOUT, org_id, phone_number_id};
use crate::report::Report;
use crate::service::Service;
use crate::witnesses::Witnesses;

/// WhatsApp's latency: half of it passes before the message is accepted and half before the answer.
const LATENCY: Duration = Duration::from_millis(10);
const RECEIPT_DELAY: Duration = Duration::from_millis(30);
/// A webhook at which nobody listens. Receipts are retried until the service runs again.
const NOWHERE: &str = "http://127.0.0.1:1/";
const SAY_EVERY: Duration = Duration::from_secs(5);
const POLL_EVERY: Duration = Duration::from_millis(200);
/// How long to wait without progress, beyond `stale_after`, until the service settles.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries out `plan` and reports progress to `say`. Fails if the service does not start, ends by itself or does not
/// answer. The report contains what the witnesses find.
pub async fn run(plan: &Plan, say: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<Report> {
    Run::begin(plan).await?.play(say).await
}

struct Run<'a> {
    plan: &'a Plan,
    began: Instant,
    simulator: Simulator,
    service: Service,
    http: Client,
    tenants: Vec<Tenant>,
    history: Arc<History>,
    dice: StdRng,
    report: Report,
}

impl<'a> Run<'a> {
    async fn begin(plan: &'a Plan) -> anyhow::Result<Self> {
        ensure!(plan.stale_after > REQUEST_TIMEOUT, "stale_after must be longer than {REQUEST_TIMEOUT:?}");
        let settings = Settings {
            latency: LATENCY,
            receipt_delay: RECEIPT_DELAY,
            seed: plan.seed,
            app_secret: APP_SECRET.parse().map_err(anyhow::Error::msg)?,
            faults: plan.faults()?,
            ..Settings::default()
        };
        let simulator = Simulator::start(TcpListener::bind("127.0.0.1:0").await?, settings).await?;
        let http = Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(30)).build()?;
        let mut dice = StdRng::seed_from_u64(plan.seed);
        let admin_key = format!("torture-{:032x}", dice.random::<u128>());
        let mut run = Self {
            plan,
            began: Instant::now(),
            service: Service::new(plan, &simulator.base_url(), &admin_key)?,
            simulator,
            http,
            tenants: Vec::new(),
            history: Arc::new(History::new()),
            dice,
            report: Report { seed: plan.seed, ..Report::default() },
        };
        let base = run.start().await?;
        for org in 0..plan.orgs {
            run.tenants.push(tenant(&run.http, &base, &admin_key, org).await?);
        }
        Ok(run)
    }

    async fn play(mut self, say: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<Report> {
        let clients = Clients::start(self.plan, &self.http, &self.tenants, &self.history);
        let mut said = Instant::now();
        while self.began.elapsed() < self.plan.duration {
            self.one_cycle().await?;
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                say(&self.progress());
            }
        }
        say("no more kills; waiting until all messages reach their final status");
        clients.stop().await;
        let witnesses =
            Witnesses { http: &self.http, base: self.base()?, tenants: &self.tenants, history: &self.history };
        let mut patience = (Instant::now(), String::new());
        while !witnesses.is_settled(&self.simulator).await? {
            let seen = format!("{} {:?}", self.progress(), witnesses.counts().await?);
            if seen != patience.1 {
                patience = (Instant::now(), seen);
            } else if patience.0.elapsed() > self.plan.stale_after + PATIENCE {
                break;
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                say(&patience.1);
            }
            sleep(POLL_EVERY).await;
        }
        say("comparing the API with the clients' history and WhatsApp's ledger");
        witnesses.compare(&self.simulator, self.plan.stale_after, &mut self.report).await?;
        self.stop().await?;
        self.verify().await?;
        for complaint in self.history.complaints().into_iter().chain(self.service.panics()?) {
            self.report.found(|report| &mut report.complaints, || complaint);
        }
        let stats = self.simulator.stats();
        self.report.taken = stats.accepted;
        self.report.dropped = stats.dropped;
        self.report.receipts = stats.receipts_sent;
        self.report.acknowledged = *self.history.count.borrow();
        self.report.unanswered = self.history.unanswered.load(Ordering::Relaxed);
        self.report.put_off = self.history.put_off.load(Ordering::Relaxed);
        self.report.replayed = self.history.replayed.load(Ordering::Relaxed);
        self.report.took = self.began.elapsed();
        Ok(self.report)
    }

    /// Lets the service run for a while, ends it in a random way, and starts it again.
    async fn one_cycle(&mut self) -> anyhow::Result<()> {
        let up = if self.dice.random_bool(0.3) { 0..1500 } else { 20..400 };
        sleep(Duration::from_millis(self.dice.random_range(up))).await;
        match self.dice.random_range(0..18) {
            0 | 1 => self.stop().await?,
            2 => {
                self.service.terminate()?;
                let moment = Duration::from_micros(self.dice.random_range(0..40_000));
                sleep(moment).await;
                self.service.kill().await?;
                self.report.killed(Moment::Drain, true);
            }
            3 | 4 => self.kill(Moment::Acknowledged).await?,
            5 | 6 => self.kill(Moment::Called).await?,
            7 | 8 => self.kill(Moment::Taken).await?,
            9 | 10 => self.kill(Moment::Receipt).await?,
            11 | 12 => self.kill(Moment::CommitSync).await?,
            13 | 14 => self.kill(Moment::FlushSync).await?,
            _ => self.kill(Moment::Random).await?,
        }
        self.disconnect();
        while self.dice.random_bool(0.15) {
            self.service.spawn()?;
            let moment = Duration::from_micros(self.dice.random_range(0..150_000));
            sleep(moment).await;
            self.service.kill().await?;
            self.report.killed(Moment::Start, true);
        }
        if self.report.kills / self.plan.verify_every > self.report.verified {
            self.verify().await?;
        }
        self.start().await.map(drop)
    }

    async fn kill(&mut self, moment: Moment) -> anyhow::Result<()> {
        let came = moment.kill(self.service.pid()?, &self.simulator, &self.history).await?;
        self.service.kill().await?;
        self.report.killed(moment, came);
        Ok(())
    }

    /// Stops the service by SIGTERM.
    async fn stop(&mut self) -> anyhow::Result<()> {
        self.service.terminate()?;
        let status = self.service.end().await?;
        self.disconnect();
        self.report.stops += 1;
        if !status.success() {
            self.report.found(|report| &mut report.complaints, || format!("a stop by SIGTERM ended with {status}"));
        }
        Ok(())
    }

    async fn start(&mut self) -> anyhow::Result<String> {
        let base = self.service.start().await?;
        self.simulator.set_webhook(Some(format!("{base}/api/v1/webhooks/whatsapp/inbound")));
        self.history.base.send_replace(Some(base.as_str().into()));
        Ok(base)
    }

    /// Tells the simulator and the clients that the service does not run.
    fn disconnect(&self) {
        self.simulator.set_webhook(Some(NOWHERE.into()));
        self.history.base.send_replace(None);
    }

    fn base(&self) -> anyhow::Result<Arc<str>> {
        self.history.base.borrow().clone().context("the service is not running")
    }

    async fn verify(&mut self) -> anyhow::Result<()> {
        self.report.verified += 1;
        if let Some(findings) = self.service.verify().await? {
            self.report.found(|report| &mut report.verify_failed, || format!("twotick verify: {findings}"));
        }
        Ok(())
    }

    fn progress(&self) -> String {
        let (stats, seconds) = (self.simulator.stats(), self.began.elapsed().as_secs());
        let (kills, stops, acknowledged) = (self.report.kills, self.report.stops, *self.history.count.borrow());
        let (taken, waiting) = (stats.accepted, stats.receipts_waiting);
        format!(
            "{seconds:>4} s   kills {kills}   stops {stops}   acknowledged {acknowledged}   taken by WhatsApp {taken}   \
             receipts waiting {waiting}"
        )
    }
}

/// Makes an organisation with one phone number and a key.
async fn tenant(http: &Client, base: &str, admin_key: &str, org: usize) -> anyhow::Result<Tenant> {
    let url = format!("{base}/api/v1/admin/orgs/{}", org_id(org));
    let sender = json!({"phoneNumberId": phone_number_id(org), "accessToken": "torture-access-token",
        "appSecret": APP_SECRET, "verifyToken": "torture-verify-token"});
    let body = json!({"name": format!("all {}", FinalStatus::of(org).status()), "senders": [sender]});
    http.put(&url).bearer_auth(admin_key).json(&body).send().await?.error_for_status()?;
    let key = http.post(format!("{url}/keys")).bearer_auth(admin_key).json(&json!({"name": "torture"}));
    let key: Value = key.send().await?.error_for_status()?.json().await?;
    let key = key.get("key").and_then(Value::as_str).context("an API key")?;
    Ok(Tenant { org, key: key.to_owned() })
}
