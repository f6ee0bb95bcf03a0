//! The documentation: its links lead somewhere, and the shell blocks of its tours run as they are written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::support::{APP_SECRET, Setup, TestApp, eventually, path};

/// What the tours start themselves; the test has these running already.
const STARTED: [&str; 3] = ["cargo ", "twotick simulate", "twotick serve"];
/// The addresses that the tours use: the service's, and the simulator's.
const SERVICE: &str = "http://127.0.0.1:8080";
const SIMULATOR: &str = "http://127.0.0.1:9090";

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in links(&text) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = file.exists() && (heading.is_empty() || headings(&file).contains(heading));
            if !is_there {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn the_readme_is_short() {
    let bytes = fs::metadata(root().join("README.md")).unwrap().len();
    assert!(bytes <= 10 * 1024, "{bytes} bytes: details belong into docs/");
}

#[tokio::test]
async fn the_quick_start_runs_as_it_is_written() {
    run_tour("docs/quick-start.md").await;
}

#[tokio::test]
async fn the_tour_of_the_readme_runs_as_it_is_written() {
    run_tour("README.md").await;
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let found = [root(), root().join("docs")].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    found.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

/// The targets of links within the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://"))
}

/// The anchors of a page's headings, as they are made of their text.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    titles.map(anchor).collect()
}

/// A command of a tour, and what the page says that it answers; `…` stands for anything.
struct Step {
    command: String,
    answer: String,
}

/// The commands in the page's `console` blocks. A command goes on while a quote is open or a line ends in a backslash.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("```console\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block) {
        let mut is_open = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ").filter(|_| !is_open) {
                steps.push(Step { command: command.to_owned(), answer: String::new() });
            } else if let Some(step) = steps.last_mut() {
                let text = if is_open { &mut step.command } else { &mut step.answer };
                text.push('\n');
                text.push_str(line);
            }
            let command = &steps.last().unwrap().command;
            is_open = steps.last().unwrap().answer.is_empty()
                && (command.ends_with('\\') || command.matches('\'').count() % 2 == 1);
        }
    }
    steps
}

async fn run_tour(page: &str) {
    let app = Setup::new().start_empty().await;
    let page = fs::read_to_string(root().join(page)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 5, "the page has its commands in blocks of `console`");
    for step in steps {
        if STARTED.iter().any(|started| step.command.contains(started)) {
            continue;
        }
        settled(&app).await;
        let shown = run_step(&app, &step.command).await;
        for name in names(&step.answer) {
            assert!(shown.contains(name), "{}\nshows no {name}:\n{shown}", step.command);
        }
    }
}

/// Waits until nothing moves any more: a page says "a moment later", a machine needs to know when that is.
async fn settled(app: &TestApp) {
    let admin = app.admin();
    if admin.get("admin/orgs/acme").await.status != 200 {
        return;
    }
    eventually("all messages to be READ", async || {
        let stats: Value = admin.for_org("acme").get("outbound/stats").await.json();
        let is_settled = ["QUEUED", "SENDING", "SENT", "DELIVERED"].iter().all(|status| stats[*status] == 0);
        if is_settled { Ok(()) } else { Err(stats) }
    })
    .await;
}

/// Runs one command in the shell, with the variables that those before it have set.
async fn run_step(app: &TestApp, command: &str) -> String {
    let command =
        command.replace(SERVICE, &app.base()).replace(SIMULATOR, &app.sim.base_url()).replace("s3cret", APP_SECRET);
    let script = format!(
        "set -euo pipefail\n[ ! -f vars ] || . ./vars\n{command}\ndeclare -p > all\n\
        grep -E '^declare -[-x]+ (API|ADMIN|KEY|ID|MESSAGES|TWOTICK_[A-Z]+)=' all > vars || true\n"
    );
    let programs = Path::new(env!("CARGO_BIN_EXE_twotick")).parent().unwrap();
    let search = format!("{}:{}", path(programs), std::env::var("PATH").unwrap_or_default());
    let listen = app.base().replace("http://", "");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(app.folder())
        .env("PATH", search)
        .env("TWOTICK__HTTP__LISTEN", listen)
        .output()
        .await
        .unwrap();
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}\nended with {}: {shown}{said}", output.status);
    shown.into_owned()
}

/// The names of fields in an answer, such as `"status":`.
fn names(answer: &str) -> impl Iterator<Item = &str> {
    let parts = answer.split('"').collect::<Vec<_>>();
    let pairs = parts.clone().into_iter().zip(parts.into_iter().skip(1));
    pairs.filter(|(name, next)| next.starts_with(':') && !name.is_empty()).map(|(name, _)| name)
}
