//! What is looked at before messages can go, and what to do about each thing that is wrong: by `twotick doctor`, and by the running
//! service about itself.

pub(crate) mod senders;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// Worth knowing.
    Note,
    /// To be mended.
    Wrong,
}

/// One thing that was looked at.
#[derive(Deserialize, Serialize)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) what: String,
    pub(crate) detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// What was found, in order.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn ok(&mut self, what: &str, detail: impl Into<String>) {
        self.add(Verdict::Ok, what, detail, None);
    }

    pub(crate) fn note(&mut self, what: &str, detail: impl Into<String>, fix: &str) {
        self.add(Verdict::Note, what, detail, Some(fix.to_owned()));
    }

    pub(crate) fn wrong(&mut self, what: &str, detail: impl Into<String>, fix: &str) {
        self.add(Verdict::Wrong, what, detail, Some(fix.to_owned()));
    }

    pub(crate) fn add(&mut self, verdict: Verdict, what: &str, detail: impl Into<String>, fix: Option<String>) {
        self.findings.push(Finding { verdict, what: what.to_owned(), detail: detail.into(), fix });
    }

    /// How many things are wrong.
    pub(crate) fn wrong_findings(&self) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count()
    }

    pub(crate) fn to_text(&self) -> String {
        let line = |finding: &Finding| {
            let word = match finding.verdict {
                Verdict::Ok => "ok   ",
                Verdict::Note => "note ",
                Verdict::Wrong => "WRONG",
            };
            let fix = finding.fix.as_ref().map(|fix| format!("\n       do: {fix}")).unwrap_or_default();
            format!("{word}  {}: {}{fix}", finding.what, finding.detail)
        };
        self.findings.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
