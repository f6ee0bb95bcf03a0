//! A place in the commit queue for what somebody asked.

use store::group_commit::Slot;
use store::{Committer, Unavailable};
use tokio::sync::oneshot;

/// Who asked, and waits for the answer.
type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// Takes a place, and gives `reply` back with it; where there is none, whoever asked is told so.
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
