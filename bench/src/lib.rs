//! What `twotick bench` measures: figures that anyone can repeat. A simulated WhatsApp in this process, the service in its own on a
//! fresh folder, messages through the public HTTP API, and what came of it as a table or as JSON.

#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

mod figures;
mod load;
mod phases;
mod process;
mod progress;
mod references;
mod scenarios;
mod stage;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use simulator::Faults;

use figures::Figures;
use phases::{Phase, Size};
use scenarios::Scenario;
use stage::Lab;

/// Arguments of `twotick bench`.
#[derive(Args)]
pub struct Bench {
    /// Messages of each phase; of a scenario, what its description says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    messages: Option<u64>,
    /// Organisations, each with one phone number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    orgs: Option<u32>,
    /// Connections that post at once.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=500))]
    concurrency: Option<u16>,
    /// How long the simulated WhatsApp takes to answer.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    latency: Duration,
    /// Messages per second where a rate is held.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// A JSON file that says what goes wrong at the simulated WhatsApp: {"rules": […]}.
    #[arg(long)]
    pub faults: Option<PathBuf>,
    /// What to measure; all if none is named.
    #[arg(long = "phase", value_delimiter = ',', conflicts_with = "scenario")]
    phases: Vec<Phase>,
    /// Plays a scenario in place of the phases.
    #[arg(long)]
    scenario: Option<Scenario>,
    /// A service that runs already, such as http://127.0.0.1:8080. Its whatsapp.base_url must be --simulator.
    #[arg(long, value_parser = service_address, requires = "admin_key")]
    url: Option<SocketAddr>,
    /// The admin key of the service at --url.
    #[arg(long, env = "TWOTICK_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Where the simulated WhatsApp listens; by default a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    simulator: SocketAddr,
    /// One JSON object on standard output in place of the table.
    #[arg(long)]
    json: bool,
    /// A few hundred messages, to see that it works.
    #[arg(long)]
    smoke: bool,
}

fn service_address(url: &str) -> Result<SocketAddr, String> {
    let host = url.strip_prefix("http://").ok_or("must begin with http://")?.trim_end_matches('/');
    let mut known = std::net::ToSocketAddrs::to_socket_addrs(host).map_err(|error| error.to_string())?;
    known.next().ok_or_else(|| "has no address".to_owned())
}

impl Bench {
    /// Measures what the arguments ask for, with the simulated WhatsApp failing as `faults` say, and prints it.
    ///
    /// # Errors
    /// Where the service or the simulator cannot be started, or ends early.
    pub async fn measure(&self, faults: Faults) -> anyhow::Result<()> {
        if cfg!(debug_assertions) && !self.smoke {
            eprintln!("this is a debug build: its figures say nothing; use `cargo run --release -- bench`");
        }
        let running = self.url.zip(self.admin_key.clone());
        let lab = Lab { running, simulator: self.simulator, faults };
        let mut report = Report { is_json: self.json, sections: Vec::new() };
        if let Some(scenario) = self.scenario {
            let figures = scenarios::run(&lab, scenario, self.scenario_size(scenario)).await?;
            report.add(scenario.name(), figures);
        } else {
            let phases = if self.phases.is_empty() { Phase::value_variants() } else { &self.phases };
            for phase in phases {
                eprintln!("{}", phase.name());
                report.add(phase.name(), phases::run(&lab, *phase, self.size(20_000, 8)).await?);
            }
        }
        if self.json {
            println!("{}", report.to_json());
        }
        Ok(())
    }

    /// As the arguments say; else these, or little where little is wanted.
    fn size(&self, messages: u64, orgs: u32) -> Size {
        let (messages, orgs, concurrency, seconds) =
            if self.smoke { (messages.min(200), orgs.min(3), 8, 1) } else { (messages, orgs, 64, 10) };
        Size {
            messages: self.messages.unwrap_or(messages),
            orgs: self.orgs.unwrap_or(orgs).try_into().unwrap_or(usize::MAX),
            concurrency: self.concurrency.unwrap_or(concurrency).into(),
            latency: self.latency,
            rate: self.rate,
            time: Duration::from_secs(seconds),
        }
    }

    fn scenario_size(&self, scenario: Scenario) -> Size {
        let (messages, orgs) = scenario.size();
        self.size(messages, orgs)
    }
}

/// What was measured so far.
struct Report {
    is_json: bool,
    sections: Vec<(&'static str, Figures)>,
}

impl Report {
    /// A table shows each part as soon as it is there.
    fn add(&mut self, name: &'static str, figures: Figures) {
        if !self.is_json {
            print!("{name}\n{figures}");
        }
        self.sections.push((name, figures));
    }

    /// Each section by its name, and before them the figures that stand for the whole.
    fn to_json(&self) -> Value {
        let mut all = Map::new();
        for (name, from) in HEADLINES {
            let section = self.sections.iter().find(|(section, _)| *section == from.name());
            if let Some(value) = section.and_then(|(_, figures)| figures.get(name)) {
                all.insert((*name).to_owned(), value.clone());
            }
        }
        all.extend(self.sections.iter().map(|(name, figures)| ((*name).to_owned(), figures.to_json())));
        Value::Object(all)
    }
}

/// Which phase stands for the whole. What a message costs is told of its whole life.
const HEADLINES: &[(&str, Phase)] = &[
    ("acceptsPerSecond", Phase::Accepts),
    ("acceptMs", Phase::Accepts),
    ("messagesPerSecond", Phase::Sends),
    ("deliveredPerSecond", Phase::Receipts),
    ("residentMb", Phase::Receipts),
    ("diskBytesPerMessage", Phase::Receipts),
    ("cpuMsPerMessage", Phase::Receipts),
    ("acceptToSendMs", Phase::LowRate),
    ("receiptsPerSecond", Phase::ReceiptBatches),
];
