//! `twotick demo`: the main job, seen working. A simulated WhatsApp and the service in one process, messages through the
//! public HTTP API, and each one's life printed as it happens.

#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use domain::org::Secret;
use reqwest::Method;
use serde_json::{Value, json};
use simulator::Simulator;
use tokio::net::TcpListener;

use super::client::Api;
use super::command::{Failure, Signals};
use super::logging;
use crate::config::{Config, Log, LogFormat};
use crate::service::Service;

/// Arguments of `twotick demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// How many messages to send.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    messages: u32,
    /// End with 0 once all are READ, with 1 if they are not within 30 s.
    #[arg(long)]
    exit: bool,
}

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ORG: &str = "demo";
const SENDER: &str = "106540352242922";
const APP_SECRET: &str = "demo-app-secret";

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        logging::start(&Log { level: "warn".into(), format: LogFormat::Auto });
        let mut signals = Signals::new()?;
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let app_secret: Secret = APP_SECRET.parse().map_err(anyhow::Error::msg)?;
        let settings = simulator::Settings {
            latency: Duration::from_millis(40),
            receipt_delay: Duration::from_millis(120),
            app_secret,
            ..Default::default()
        };
        let whatsapp = Simulator::start(TcpListener::bind("127.0.0.1:0").await?, settings).await?;

        let mut config = Config::defaults().map_err(|error| Failure::Usage(error.to_string()))?;
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.store.path = folder.path().join("data");
        config.whatsapp.base_url = whatsapp.base_url();
        let service = Service::start(&config).await?;
        whatsapp.set_webhook(Some(format!("{}/api/v1/webhooks/whatsapp/inbound", service.url())));
        println!("simulated WhatsApp at {}", whatsapp.base_url());
        println!("twotick at {}, its store in {}", service.url(), config.store.path.display());

        let admin = Api::new(&service.url(), service.admin_key().expose(), None)?;
        let outcome = tokio::select! {
            outcome = self.play(admin) => outcome,
            () = signals.next() => Ok(()),
        };
        if outcome.is_ok() && !self.exit {
            println!("\nIt stays up until Ctrl-C.");
            signals.next().await;
        }
        service.stop().await;
        outcome.map_err(Failure::Runtime)
    }

    async fn play(&self, admin: Api) -> anyhow::Result<()> {
        let sender = json!({"phoneNumberId": SENDER, "accessToken": "demo-access-token", "appSecret": APP_SECRET,
            "verifyToken": "demo-verify-token"});
        admin
            .call(Method::PUT, &format!("admin/orgs/{ORG}"), Some(json!({"name": "Demo", "senders": [sender]})))
            .await?;
        let key = admin.call(Method::POST, &format!("admin/orgs/{ORG}/keys"), Some(json!({"name": "demo"}))).await?;
        let key = text(&key, "key");
        let org = admin.with_key(key.clone());
        println!("organisation {ORG:?} with sender {SENDER} and an API key\n");

        let began = Instant::now();
        let mut lives = Vec::new();
        for n in 1..=self.messages {
            let accepted = org.call(Method::POST, "outbound/messages", Some(seed_request(n))).await?;
            let life = Life { n, id: text(&accepted, "id"), shown: 0, status: String::new() };
            life.say(began.elapsed(), "QUEUED", &format!("{} for {}", life.id, text(&accepted, "to")));
            lives.push(life);
        }
        while lives.iter().any(|life| life.status != "READ") {
            if began.elapsed() > PATIENCE {
                bail!("not all messages were READ within {} s", PATIENCE.as_secs());
            }
            for life in lives.iter_mut().filter(|life| life.status != "READ") {
                life.look(&org, began).await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }

        println!("\nThe actor tree (GET /api/v1/admin/actors?format=text):\n");
        print!("{}", admin.text(Method::GET, "admin/actors?format=text", None).await?);
        println!("\nHow many are where (GET /api/v1/outbound/stats):\n");
        println!("{}", org.call(Method::GET, "outbound/stats", None).await?);
        if self.exit {
            println!("\nIt ends here; without --exit it stays up, and shows what you could do next.");
            return Ok(());
        }
        let base = admin.base();
        let id = lives.first().map_or("ID", |life| life.id.as_str());
        println!("\nWhat you could do next:\n");
        println!("curl -s -H 'Authorization: Bearer {key}' {base}/outbound/messages/{id}");
        println!("curl -s -H 'Authorization: Bearer {key}' {base}/outbound/messages/{id}/timeline");
        println!("curl -s -H 'Authorization: Bearer {key}' '{base}/activities?dossierId=456'");
        println!("curl -s -X POST -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\");
        println!("  -d '{}' {base}/outbound/messages", seed_request(self.messages + 1));
        Ok(())
    }
}

/// A request as a company's back end would send it.
fn seed_request(n: u32) -> Value {
    json!({"dossierId": 456, "channel": "WHATSAPP", "to": format!("+4915100000{n:03}"), "templateCode": "welcome_message",
        "payloadJson": {"language": "en", "components": [
            {"type": "body", "parameters": [{"type": "text", "text": format!("Customer {n}")}]}]},
        "idempotencyKey": format!("demo-{n}")})
}

/// One message as it is watched.
struct Life {
    n: u32,
    id: String,
    /// Steps of its timeline that were printed.
    shown: usize,
    status: String,
}

impl Life {
    fn say(&self, at: Duration, what: &str, detail: &str) {
        println!("{:>7.3} s  message {}  {what:<10} {detail}", at.as_secs_f64(), self.n);
    }

    async fn look(&mut self, org: &Api, began: Instant) -> anyhow::Result<()> {
        let message = org.call(Method::GET, &format!("outbound/messages/{}", self.id), None).await?;
        let status = text(&message, "status");
        if status == "SENDING" && self.status.is_empty() {
            self.status = status.clone();
            self.say(began.elapsed(), "SENDING", "attempt 1");
        }
        let timeline = org.call(Method::GET, &format!("outbound/messages/{}/timeline", self.id), None).await?;
        let steps = timeline.as_array().cloned().unwrap_or_default();
        for step in steps.iter().skip(self.shown.max(1)) {
            let details = &step["details"];
            let from = if step["type"] == "MESSAGE_SENT" { "WhatsApp took it" } else { "receipt" };
            self.say(
                began.elapsed(),
                details["status"].as_str().unwrap_or("?"),
                &format!("{from}, {}", text(step, "at")),
            );
        }
        self.shown = steps.len();
        if status == "FAILED" {
            bail!("message {} FAILED: {}", self.n, text(&message, "errorMessage"));
        }
        self.status = status;
        Ok(())
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
