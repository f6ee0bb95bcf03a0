//! Notices actors that do not get on: shown as STUCK, logged once for each such message, and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{ActorCell, ActorStatus};

use crate::clock::LOOK_EVERY;
use crate::context::Context;
use crate::vitals::Vitals;

/// Looks at all actors below `vitals` for as long as the root lives.
pub(crate) fn start(ctx: &Arc<Context>, root: ActorCell, vitals: Arc<Vitals>) {
    // It must not keep the store open.
    let ctx = Arc::downgrade(ctx);
    tokio::spawn(async move {
        while root.get_status() < ActorStatus::Stopping {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(ctx) = ctx.upgrade() else { return };
            let limit = ctx.settings().limits.stuck_after;
            // Asked this often, the clock knows when the process stood still; nobody got on then.
            if ctx.clock.catching_up_until(limit).is_some() {
                continue;
            }
            vitals.find_stuck(limit, ctx.clock.now(), &mut |stuck, doing| {
                ctx.stuck.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    path = stuck.path(),
                    doing,
                    ?limit,
                    "an actor is stuck: it has been handling one of its messages for too long"
                );
            });
        }
    });
}
