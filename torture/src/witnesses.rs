//! What the API says, held against the clients' book and WhatsApp's ledger.

mod compare;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use serde_json::Value;
use simulator::Simulator;

use crate::clients::{Book, Tenant};
use crate::plan::End;
use crate::report::Report;
use compare::{Ledger, Shown, Trail, compare_messages};

/// The most that a page takes.
const PAGE: usize = 200;

pub(crate) struct Witnesses<'a> {
    pub(crate) http: &'a Client,
    pub(crate) base: Arc<str>,
    pub(crate) tenants: &'a [Tenant],
    pub(crate) book: &'a Book,
}

impl Witnesses<'_> {
    async fn get(&self, tenant: &Tenant, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/api/v1/{path}", self.base)).bearer_auth(&tenant.key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Every item of a list.
    async fn list(&self, tenant: &Tenant, path: &str, mut each: impl FnMut(&Value)) -> anyhow::Result<()> {
        let mut cursor = String::new();
        loop {
            let page = self.get(tenant, &format!("{path}?limit={PAGE}{cursor}")).await?;
            page.get("items").and_then(Value::as_array).context("items")?.iter().for_each(&mut each);
            match page.get("nextCursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// How many messages of each organisation have each status.
    pub(crate) async fn counts(&self) -> anyhow::Result<Vec<BTreeMap<String, u64>>> {
        let mut counts = Vec::new();
        for tenant in self.tenants {
            let stats = self.get(tenant, "outbound/stats").await?;
            let stats = stats.as_object().context("stats")?.iter();
            let stats = stats.filter_map(|(status, count)| Some((status.clone(), count.as_u64()?)));
            counts.push(stats.filter(|(_, count)| *count > 0).collect());
        }
        Ok(counts)
    }

    /// How many there must be when all is calm.
    fn wanted(&self) -> Vec<BTreeMap<String, u64>> {
        let mut wanted = vec![BTreeMap::new(); self.tenants.len()];
        for message in self.book.acknowledged().values() {
            if let Some(wanted) = wanted.get_mut(message.org) {
                *wanted.entry(End::of(message.org).status().to_owned()).or_default() += 1;
            }
        }
        wanted
    }

    /// Whether every message and every receipt has come to its end.
    pub(crate) async fn is_calm(&self, simulator: &Simulator) -> anyhow::Result<bool> {
        Ok(simulator.stats().receipts_waiting == 0 && self.counts().await? == self.wanted())
    }

    /// Writes down where the witnesses disagree.
    pub(crate) async fn compare(
        &self,
        simulator: &Simulator,
        stale_after: Duration,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (counts, wanted) = (self.counts().await?, self.wanted());
        if counts != wanted {
            report.found(|report| &mut report.counts_wrong, || format!("counts {counts:?}, not {wanted:?}"));
        }
        let book = self.book.acknowledged();
        let ledger = Ledger::of(simulator.messages_after(0));
        ledger.look_for_doubles(&book, stale_after, report);
        for tenant in self.tenants {
            let (mut shown, mut trail) = (Vec::new(), Trail::default());
            self.list(tenant, "outbound/messages", |item| shown.extend(Shown::read(item))).await?;
            compare_messages(tenant.org, &shown, &book, &ledger, report);
            self.list(tenant, "audit", |event| trail.read(event)).await?;
            trail.compare(tenant.org, &shown, report);
        }
        Ok(())
    }
}
