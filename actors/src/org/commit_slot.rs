//! A slot in the commit queue for a request.

use store::group_commit::Slot;
use store::{Committer, Unavailable};
use tokio::sync::oneshot;

/// Who asked, and waits for the answer.
type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Reserves a slot and gives `reply` back with it; if none is free, it answers the request with that.
pub(super) fn reserve<T, E: From<Unavailable>>(
    committer: &Committer,
    reply: Reply<T, E>,
) -> Option<(Slot<'_>, Reply<T, E>)> {
    match committer.reserve() {
        Ok(slot) => Some((slot, reply)),
        Err(error) => {
            let _ = reply.send(Err(error.into()));
            None
        }
    }
}
