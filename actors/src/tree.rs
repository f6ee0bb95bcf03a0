//! The actor tree, for operators: as JSON and as text.

use std::fmt::Write;

use domain::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::vitals::{Kind, Vitals};

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
    /// `RUNNING`, or what is the matter.
    pub status: &'static str,
    /// When it first started.
    pub started_at: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it ended the last time.
    pub last_exit: Option<String>,
    /// Mail not yet handled.
    pub mailbox: u64,
    /// For how long the oldest of it has waited, at least: since the mail before it is being handled.
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
        Self::at(root, String::new(), query, query.depth, now)
    }

    fn at(vitals: &Vitals, parent: String, query: &TreeQuery, depth: usize, now: Timestamp) -> Self {
        let path = match vitals.kind {
            Kind::Root => "/root".to_owned(),
            Kind::Org | Kind::Message | Kind::Provider | Kind::Audit => {
                format!("{parent}/{}:{}", vitals.kind.as_str(), vitals.id)
            }
        };
        let is_wanted =
            |child: &Vitals| vitals.kind != Kind::Root || query.org.as_ref().is_none_or(|org| *org == child.id);
        let limit = match (depth, vitals.kind, &query.org) {
            (0, _, _) => 0,
            // One organisation among all of them is wanted: look through all.
            (_, Kind::Root, Some(_)) => usize::MAX,
            _ => query.limit,
        };
        let (children, children_omitted) = vitals.children(limit);
        let children = children
            .iter()
            .filter(|child| is_wanted(child))
            .map(|child| Self::at(child, path.clone(), query, depth.saturating_sub(1), now))
            .collect();
        let seen = vitals.seen();
        let mailbox = vitals.mailbox();
        let busy_for = seen.doing.map(|(_, since)| now.since(since).as_millis());
        Self {
            path,
            kind: vitals.kind.as_str(),
            id: vitals.id.clone(),
            status: seen.status.unwrap_or("RUNNING"),
            started_at: vitals.started_at.to_string(),
            restarts: vitals.restarts(),
            last_exit: seen.last_exit,
            mailbox,
            oldest_mail_ms: busy_for.filter(|_| mailbox > 0).map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            doing: seen.doing.map(|(what, since)| format!("{what} since {since}")),
            counters: seen.counters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            children,
            children_omitted,
        }
    }

    /// Draws the tree for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.draw(&mut text, "", "");
        text
    }

    fn draw(&self, text: &mut String, first: &str, rest: &str) {
        let name = if self.kind == "root" { "root".to_owned() } else { format!("{} {}", self.kind, self.id) };
        let _ = write!(text, "{first}{name}");
        if self.status != "RUNNING" {
            let _ = write!(text, "  {}", self.status);
        }
        for (name, value) in &self.counters {
            let _ = write!(text, "  {name}={value}");
        }
        if self.mailbox > 0 {
            let _ = write!(text, "  mailbox={}", self.mailbox);
        }
        if self.restarts > 0 {
            let _ = write!(text, "  restarts={}", self.restarts);
        }
        if let Some(doing) = &self.doing {
            let _ = write!(text, "  ({doing})");
        }
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
