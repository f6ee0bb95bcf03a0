//! Removing what a deleted organisation leaves.

use std::sync::Arc;
use std::time::Duration;

use domain::Epoch;
use domain::org::Org;
use ractor::ActorProcessingErr;
use store::{Commit, Unavailable};
use tokio::sync::oneshot;

use crate::context::Context;

/// How long to wait for a slot in the commit queue.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Keys that one commit purges.
const PURGE_MAX: usize = 2000;

/// Removes a deleted organisation's data, a little at a time. Cut off, it goes on at the next start.
pub(super) fn begin(ctx: Arc<Context>, record: Arc<Org>) {
    tokio::spawn(async move {
        if let Err(error) = purge(&ctx, &record).await {
            tracing::error!(org = %record.id, %error, "a deleted organisation's data could not be purged; it goes on at the next start");
        } else {
            tracing::info!(org = %record.id, "a deleted organisation's data is purged");
        }
    });
}

async fn purge(ctx: &Context, record: &Org) -> Result<(), ActorProcessingErr> {
    let epoch = Epoch(ctx.store.head(record.no)?.epoch.0 + 1);
    loop {
        let store = ctx.store.clone();
        let no = record.no;
        let keys = tokio::task::spawn_blocking(move || store.data_keys(no, PURGE_MAX)).await??;
        let is_last = keys.is_empty();
        let mut commit = Commit::new(no, epoch);
        if is_last {
            commit.forget_org(ctx.store.master_key()?, Some(record))?;
        } else {
            commit.purge(keys);
        }
        let (done, durable) = oneshot::channel();
        let slot = loop {
            match ctx.committer.reserve() {
                Err(Unavailable::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                slot => break slot?,
            }
        };
        slot.submit(commit, move |result| {
            let _ = done.send(result);
        });
        durable.await??;
        if is_last {
            return Ok(());
        }
    }
}
