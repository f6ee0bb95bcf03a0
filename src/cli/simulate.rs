//! `twotick simulate`: the simulated Cloud API alone.

#![expect(clippy::print_stdout, reason = "a command speaks on standard output")]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use domain::org::Secret;
use simulator::{Faults, Settings, Simulator};
use tokio::net::TcpListener;

use super::command::{Failure, Signals, secret_argument};
use crate::config::SecretRef;

/// The key of signatures where none is given: nobody has to keep it secret.
const APP_SECRET: &str = "app-secret";

/// Arguments of `twotick simulate`.
#[derive(Args)]
pub(crate) struct Simulate {
    /// Address and port to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Where receipts go: twotick's webhook.
    #[arg(long)]
    webhook: Option<String>,
    /// The key of the webhooks' signatures, as env:NAME, file:PATH, `-` for a line of standard input, or written out;
    /// `app-secret` if it is left out.
    #[arg(long)]
    app_secret: Option<SecretRef>,
    /// The id of the WhatsApp business account that webhooks are of.
    #[arg(long, value_parser = digits, default_value_t = Settings::default().waba_id)]
    waba: String,
    /// How long each call takes.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "50ms")]
    latency: Duration,
    /// The time between the answer and `sent`, `sent` and `delivered`, `delivered` and `read`, for voice messages also `read` and
    /// `played`.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    receipt_delay: Duration,
    /// What every random decision comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most statuses in one webhook call. Meta may send a thousand; some clients read the first alone. With 1, those of a
    /// message come in order.
    #[arg(long, default_value_t = 1000, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    batch: usize,
    /// A JSON file that says what goes wrong: {"rules": […]}.
    #[arg(long)]
    faults: Option<PathBuf>,
}

fn digits(text: &str) -> Result<String, String> {
    let is_id = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_id { Ok(text.to_owned()) } else { Err("must be digits, such as 102290129340398".to_owned()) }
}

/// The secret that `--app-secret` names.
fn app_secret(given: Option<&SecretRef>) -> Result<Secret, Failure> {
    let text = given.map_or_else(|| Ok(APP_SECRET.to_owned()), |given| secret_argument("--app-secret", given))?;
    text.parse::<Secret>().map_err(|reason| Failure::Usage(format!("--app-secret: {reason}")))
}

/// Listens, or says what to do where that cannot be, most often because another simulator already does.
async fn listen(addr: SocketAddr) -> Result<TcpListener, Failure> {
    let advice = |error: io::Error| {
        anyhow::anyhow!(
            "cannot listen on {addr}: {error}. Give another address with --listen ADDR:PORT (port 0 picks a free one), or end what \
             listens there"
        )
    };
    TcpListener::bind(addr).await.map_err(|error| Failure::Runtime(advice(error)))
}

/// The file that `--faults` names.
pub(crate) fn read_faults(path: &Path) -> Result<Faults, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(format!("--faults {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| usage(&error))?;
    Faults::from_json(&text).map_err(|error| usage(&error))
}

impl Simulate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let faults = self.faults.as_deref().map(read_faults).transpose()?.unwrap_or_default();
        let app_secret = app_secret(self.app_secret.as_ref())?;
        let listener = listen(self.listen).await?;
        let settings = Settings {
            latency: self.latency,
            receipt_delay: self.receipt_delay,
            seed: self.seed,
            app_secret,
            webhook: self.webhook,
            waba_id: self.waba,
            batch: self.batch,
            faults,
        };
        let simulator = Simulator::start(listener, settings).await?;
        println!("listening on {}", simulator.base_url());
        Signals::new()?.next().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command that fails says.
    fn said<T>(outcome: Result<T, Failure>) -> String {
        outcome.err().unwrap().to_string()
    }

    #[test]
    fn the_app_secret_is_named_as_for_an_organisation_and_has_a_default() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        let named = format!("file:{}", file.path().display());
        for (given, secret) in [(None, "app-secret"), (Some("s3cret"), "s3cret"), (Some(named.as_str()), "hush")] {
            let given = given.map(|given| SecretRef::from(given.to_owned()));
            assert_eq!(app_secret(given.as_ref()).ok().unwrap().expose(), secret);
        }
        let missing = said(app_secret(Some(&SecretRef::from("env:TWOTICK_NO_SUCH_VARIABLE".to_owned()))));
        assert!(missing.contains("--app-secret") && missing.contains("TWOTICK_NO_SUCH_VARIABLE"), "{missing}");
        let blank = said(app_secret(Some(&SecretRef::from("two words".to_owned()))));
        assert!(blank.contains("--app-secret") && !blank.contains("two"), "{blank}");
    }

    #[tokio::test]
    async fn a_busy_port_is_named_with_what_to_do() {
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = other.local_addr().unwrap();
        let busy = said(listen(addr).await);
        assert!(busy.contains(&addr.to_string()) && busy.contains("--listen"), "{busy}");
    }

    #[test]
    fn help_names_every_receipt_and_the_account() {
        let help = Simulate::augment_args(clap::Command::new("simulate")).render_long_help().to_string();
        assert!(["`sent`", "`played`", "--waba", "102290129340398"].iter().all(|word| help.contains(word)), "{help}");
        assert!(digits("").is_err() && digits("7a").is_err() && digits("77").is_ok());
    }
}
