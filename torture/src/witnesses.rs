//! Compares the API with the clients' history and WhatsApp's ledger.

mod compare;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use serde_json::Value;
use simulator::Simulator;

use crate::clients::{History, Tenant};
use crate::plan::FinalStatus;
use crate::report::Report;
use compare::{Ledger, ListedMessage, Trail, compare_messages};

/// The largest page of a list.
const PAGE: usize = 200;

pub(crate) struct Witnesses<'a> {
    pub(crate) http: &'a Client,
    pub(crate) base: Arc<str>,
    pub(crate) tenants: &'a [Tenant],
    pub(crate) history: &'a History,
}

impl Witnesses<'_> {
    async fn get(&self, tenant: &Tenant, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/api/v1/{path}", self.base)).bearer_auth(&tenant.key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Calls `each` for every item of a list.
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

    /// The number of messages by status, for each organisation.
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

    /// The counts that are correct once the service has settled.
    fn wanted(&self) -> Vec<BTreeMap<String, u64>> {
        let mut wanted = vec![BTreeMap::new(); self.tenants.len()];
        for message in self.history.acknowledged().values() {
            if let Some(wanted) = wanted.get_mut(message.org) {
                *wanted.entry(FinalStatus::of(message.org).status().to_owned()).or_default() += 1;
            }
        }
        wanted
    }

    /// Whether every message has its final status and every receipt was delivered.
    pub(crate) async fn is_settled(&self, simulator: &Simulator) -> anyhow::Result<bool> {
        Ok(simulator.stats().receipts_waiting == 0 && self.counts().await? == self.wanted())
    }

    /// Reports where the witnesses disagree.
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
        let history = self.history.acknowledged();
        let ledger = Ledger::of(simulator.messages_after(0));
        ledger.look_for_doubles(&history, stale_after, report);
        for tenant in self.tenants {
            let (mut listed, mut trail) = (Vec::new(), Trail::default());
            self.list(tenant, "outbound/messages", |item| listed.extend(ListedMessage::read(item))).await?;
            compare_messages(tenant.org, &listed, &history, &ledger, report);
            self.list(tenant, "audit", |event| trail.read(event)).await?;
            trail.compare(tenant.org, &listed, report);
        }
        Ok(())
    }
}
