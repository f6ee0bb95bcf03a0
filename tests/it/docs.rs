//! The documentation: its links lead somewhere, its references are complete, and the shell blocks of its tours run as they
//! are written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::support::{eventually, path};

/// The addresses that the tours use: the service's, and the simulator's.
const SERVICE: &str = "127.0.0.1:8080";
const SIMULATOR: &str = "127.0.0.1:9090";
/// Comes before the output of each block.
const MARK: &str = "--- the next block of the page\n";
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// Problem codes that their source does not have beside an HTTP status.
const OTHER_CODES: [&str; 3] = ["BLOCKED_BY_POLICY", "NOT_CANCELLABLE", "NOT_RETRYABLE"];

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
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = read("README.md");
    assert!(readme.len() <= 10 * 1024, "{} bytes: details belong into docs/", readme.len());
    let linked: BTreeSet<_> = links(&readme).map(|target| root().join(target)).collect();
    let missing: Vec<_> = markdown_in(&root().join("docs")).filter(|page| !linked.contains(page)).collect();
    assert_eq!(missing, Vec::<PathBuf>::new());
}

#[test]
fn the_gate_runs_the_commands_of_the_readme() {
    let (readme, gate) = (read("README.md"), read(".ci/run").replace(" --locked", ""));
    let commands: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("$ cargo ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        assert!(gate.contains(&format!("cargo {command}\n")), "cargo {command}");
    }
}

#[test]
fn the_api_reference_has_every_route_and_no_other() {
    let routes = routes();
    assert!(routes.len() > 30, "the table of routes is read: {routes:?}");
    let page = read("docs/api.md");
    let is_route = |span: &&str| span.split_once(" /").is_some_and(|(method, _)| METHODS.contains(&method));
    let described: BTreeSet<_> = page.split('`').filter(is_route).map(str::to_owned).collect();
    assert_eq!(described, routes);
}

#[test]
fn the_page_of_errors_has_every_problem_code_and_every_code_of_meta_that_is_known() {
    let page = read("docs/errors.md");
    let codes = problem_codes();
    assert!(codes.len() > 20, "the codes are read: {codes:?}");
    let missing: Vec<_> = codes.iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert_eq!(missing, Vec::<&String>::new());
    let (classified, listed) = (meta_codes(), numbers(&page));
    assert!(classified.len() > 80, "the table is read: {classified:?}");
    assert_eq!(classified.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_page_of_the_configuration_has_every_key_with_its_default() {
    let (file, page) = (read("config.toml"), read("docs/configuration.md"));
    let (keys, orgs) = file.split_once("# Organisations may be declared").unwrap();
    let (mut missing, mut section) = (Vec::new(), "");
    for line in keys.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if let Some((key, rest)) = line.split_once(" = ").filter(|(key, _)| is_key(key)) {
            let default = rest.split(" #").next().unwrap_or_default().trim();
            missing.push(format!("| `{section}.{key}` | `{default}` |"));
        }
    }
    assert!(missing.len() > 30, "the keys are read: {missing:?}");
    let of_orgs = orgs.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    missing.extend(of_orgs.filter(|(key, _)| is_key(key)).map(|(key, _)| format!("| `{key}` |")));
    missing.retain(|row| !page.contains(row));
    assert_eq!(missing, Vec::<String>::new());
}

#[tokio::test]
async fn the_quick_start_runs_as_it_is_written() {
    run_tour("docs/quick-start.md", 0).await;
}

#[tokio::test]
async fn the_tour_of_the_readme_runs_as_it_is_written() {
    run_tour("README.md", 1).await;
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
}

fn markdown_in(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    entries(folder).filter(|path| path.extension().is_some_and(|kind| kind == "md"))
}

/// The pages at the root, in `docs`, and those of the crates.
fn pages() -> Vec<PathBuf> {
    let of_crates = entries(&root()).map(|folder| folder.join("README.md")).filter(|page| page.exists());
    markdown_in(&root()).chain(markdown_in(&root().join("docs"))).chain(of_crates).collect()
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

/// The source files of the binary's package, without their unit tests.
fn sources() -> Vec<String> {
    let (mut folders, mut found) = (vec![root().join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in entries(&folder) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let text = fs::read_to_string(entry).unwrap();
                found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// The table of routes, a line each, such as `GET /outbound/messages/{id}`.
fn routes() -> BTreeSet<String> {
    let sources = sources();
    let table = sources.iter().find_map(|text| text.split_once("static ROUTES").map(|(_, table)| table)).unwrap();
    let lines = table.lines().map(str::trim).take_while(|line| *line != "];");
    let route = |line: &str| {
        let mut literals = line.split('"').skip(1).step_by(2);
        let first = literals.next()?;
        // Without a method of its own, the line begins with a function that is named like it.
        let (method, path) = match METHODS.contains(&first) {
            true => (first.to_owned(), literals.next()?),
            false => (line.split('(').next()?.to_uppercase(), first),
        };
        Some(format!("{method} /{}", path.trim_start_matches("api/v1/")))
    };
    lines.filter(|line| !line.starts_with("//")).filter_map(route).collect()
}

/// The codes of problems: texts beside an HTTP status.
fn problem_codes() -> BTreeSet<String> {
    let sources = sources();
    let after_status = sources.iter().flat_map(|text| text.split("StatusCode::").skip(1));
    let code = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').strip_prefix(',')?;
        let (code, _) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(code.to_owned()).filter(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    };
    after_status.filter_map(code).chain(OTHER_CODES.map(str::to_owned)).collect()
}

/// Meta's codes in the table that says what they mean to us.
fn meta_codes() -> BTreeSet<String> {
    let source = read("whatsapp/src/classify.rs");
    let table = source.split_once("match signal.code {").unwrap().1.split_once("_ => undocumented").unwrap().0;
    let arms = table.lines().filter(|line| !line.trim_start().starts_with("//"));
    arms.filter_map(|line| line.split_once("=>")).flat_map(|(codes, _)| numbers(codes)).collect()
}

fn numbers(text: &str) -> BTreeSet<String> {
    let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_number).map(str::to_owned).collect()
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// The blocks of a page: what they are of, and their text.
fn blocks(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// Runs the `sh` blocks of a page, all in one shell. What a `text` block shows of an answer must be in the output of the
/// block before it. `n` tells tours of one process apart.
async fn run_tour(page: &str, n: u32) {
    let page = read(page);
    let (mut script, mut shown) = (String::new(), Vec::new());
    for (kind, text) in blocks(&page) {
        if kind == "sh" {
            script.push_str(&format!("printf '%s' '{MARK}'\n{text}\n"));
            shown.push(Vec::new());
        } else if let Some(names) = shown.last_mut().filter(|_| kind == "text") {
            names.extend(self::names(text));
        }
    }
    assert!(shown.len() > 4, "the page has its commands in blocks of `sh`");
    let output = run_script(&script, n).await;
    let outputs: Vec<_> = output.split(MARK).skip(1).collect();
    assert_eq!(outputs.len(), shown.len(), "{output}");
    for (output, names) in outputs.into_iter().zip(shown) {
        for name in names {
            assert!(output.contains(&format!("\"{name}\":")), "no {name} in {output}");
        }
    }
}

/// What a script prints that must end well. It runs in a folder of its own, with addresses of its own.
async fn run_script(script: &str, n: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [service, simulator] = addresses(n);
    let script = script.replace(SERVICE, &service).replace(SIMULATOR, &simulator);
    let programs = Path::new(env!("CARGO_BIN_EXE_twotick")).parent().unwrap();
    let search = format!("{}:{}", path(programs), std::env::var("PATH").unwrap_or_default());
    let file = |name: &str| folder.path().join(name);
    let mut command = Command::new("bash");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TWOTICK_")) {
        command.env_remove(name);
    }
    command
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", search)
        .env("TWOTICK__HTTP__LISTEN", service)
        // curl must not ask a proxy for what is on this machine.
        .envs([("NO_PROXY", "*"), ("no_proxy", "*")])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::create(file("stdout")).unwrap())
        .stderr(File::create(file("stderr")).unwrap());
    let mut shell = Shell(command.spawn().unwrap());
    let text = |name: &str| String::from_utf8_lossy(&fs::read(file(name)).unwrap()).into_owned();
    let printed = || ["stdout", "stderr"].map(text);
    let status = eventually("the end of the tour", async || shell.0.try_wait().unwrap().ok_or_else(printed)).await;
    let [stdout, stderr] = printed();
    assert!(status.success(), "{status}: {stdout}{stderr}");
    stdout
}

/// Two free addresses of this machine that nobody else takes until the tour listens there: this process and tour have a part
/// of the loopback network for themselves.
fn addresses(n: u32) -> [String; 2] {
    let own = Ipv4Addr::from_bits(0x7f00_0000 | ((std::process::id() * 2 + n) & 0x7f_ffff));
    let listeners = [0, 1].map(|_| TcpListener::bind((own, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// A shell in a process group of its own. Dropping it kills the group: what it started in the background, too.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).unwrap();
        let _ = signal::kill(Pid::from_raw(-group), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// The names of fields in an answer, such as `"status":`.
fn names(answer: &str) -> impl Iterator<Item = &str> {
    let parts = answer.split('"').collect::<Vec<_>>();
    let pairs = parts.clone().into_iter().zip(parts.into_iter().skip(1));
    pairs.filter(|(name, next)| next.starts_with(':') && !name.is_empty()).map(|(name, _)| name)
}
