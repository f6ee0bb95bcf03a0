//! The actor tree, for operators: as JSON and as text.

use std::fmt::Write;

use domain::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::vitals::{Kind, Vitals};

/// The width of a line of the tree as text.
const COLUMNS: usize = 100;

/// What to show of the tree.
#[derive(Clone, Debug)]
pub struct TreeQuery {
    /// Levels below the root.
    pub depth: usize,
    /// Only this organisation.
    pub org: Option<String>,
    /// Children shown of each actor.
    pub limit: usize,
}

impl Default for TreeQuery {
    fn default() -> Self {
        Self { depth: usize::MAX, org: None, limit: 100 }
    }
}

/// One actor and its children.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its place, such as `/root/org:org-123/provider:1065`.
    pub path: String,
    /// `root`, `org`, `message`, `provider` or `audit`.
    pub kind: &'static str,
    /// What it stands for.
    pub id: String,
    /// `RUNNING`, `STUCK`, or what else is the matter.
    pub status: &'static str,
    /// When it first started.
    pub started_at: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it ended the last time.
    pub last_exit: Option<String>,
    /// Messages not yet handled.
    pub mailbox: u64,
    /// For how long the oldest of it has waited, at least: since the message before it is being handled.
    pub oldest_mail_ms: Option<u64>,
    /// What it is doing, and since when.
    pub doing: Option<String>,
    /// Its own figures.
    pub counters: Map<String, Value>,
    /// Its children.
    pub children: Vec<Self>,
    /// Children that are not shown.
    pub children_omitted: usize,
}

impl Node {
    pub(crate) fn read(root: &Vitals, query: &TreeQuery, now: Timestamp) -> Self {
        Self::at(root, query, query.depth, now)
    }

    fn at(vitals: &Vitals, query: &TreeQuery, depth: usize, now: Timestamp) -> Self {
        let limit = if depth == 0 { 0 } else { query.limit };
        let is_wanted =
            |child: &Vitals| vitals.kind != Kind::Root || query.org.as_ref().is_none_or(|org| *org == child.id());
        let (children, children_omitted) = vitals.children(limit, is_wanted);
        let children = children.iter().map(|child| Self::at(child, query, depth.saturating_sub(1), now)).collect();
        let seen = vitals.seen();
        let mailbox = vitals.mailbox();
        let busy_for = seen.doing.map(|(_, since)| now.since(since).as_millis());
        let (word, details) = seen.status.map_or(("RUNNING", Vec::new()), |status| (status.word, status.details));
        let mut counters = seen.figures.to_counters();
        counters.extend(details.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        Self {
            path: vitals.path().to_owned(),
            kind: vitals.kind.as_str(),
            id: vitals.id().to_owned(),
            status: if seen.is_stuck { "STUCK" } else { word },
            started_at: vitals.started_at.to_string(),
            restarts: vitals.restarts(),
            last_exit: seen.last_exit,
            mailbox,
            oldest_mail_ms: busy_for.filter(|_| mailbox > 0).map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            doing: seen.doing.map(|(what, since)| format!("{what} since {since}")),
            counters,
            children,
            children_omitted,
        }
    }

    /// Draws the tree for a terminal: lines of up to [`COLUMNS`], figures of zero left out.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.draw(&mut text, "", "");
        text
    }

    fn draw(&self, text: &mut String, first: &str, rest: &str) {
        let trunk = if self.children.is_empty() && self.children_omitted == 0 { "  " } else { "│ " };
        let name = if self.kind == "root" { self.id.clone() } else { format!("{} {}", self.kind, self.id) };
        let mut line = format!("{first}{name}");
        let mut add = |words: String| {
            if line.chars().count() + 2 + words.chars().count() > COLUMNS {
                let full = std::mem::replace(&mut line, format!("{rest}{trunk}  {words}"));
                text.push_str(&full);
                text.push('\n');
            } else {
                let _ = write!(line, "  {words}");
            }
        };
        if self.status != "RUNNING" {
            add(self.status.to_owned());
        }
        for (name, value) in self.counters.iter().filter(|(_, value)| value.as_f64() != Some(0.0)) {
            add(format!("{name}={value}"));
        }
        for (name, count) in [("mailbox", self.mailbox), ("restarts", self.restarts.into())] {
            if count > 0 {
                add(format!("{name}={count}"));
            }
        }
        if let Some(doing) = &self.doing {
            add(format!("({doing})"));
        }
        if let Some(last_exit) = &self.last_exit {
            add(format!("lastExit={}", shortened(last_exit)));
        }
        text.push_str(&line);
        text.push('\n');
        let last = self.children.len() + usize::from(self.children_omitted > 0);
        for (i, child) in (1..).zip(&self.children) {
            let (branch, below) = if i == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.draw(text, &format!("{rest}{branch}"), &format!("{rest}{below}"));
        }
        if self.children_omitted > 0 {
            let _ = writeln!(text, "{rest}└─ … and {} more", self.children_omitted);
        }
    }
}

/// The first line of a text, as much of it as is worth a place in the tree.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}
