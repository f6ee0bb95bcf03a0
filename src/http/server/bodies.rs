//! Reading bodies, and room for them: bounded in all and for each who sends, and never held by who stands still while somebody
//! else needs it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use domain::OrgNo;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::http::problem::Problem;

/// What a body may take of memory that is not counted: most have no more.
const FREE: usize = 16 * 1024;
/// The longest that a body waits for room.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Of which so many bytes more must come …
const STEP: usize = 64 * 1024;
/// … in this time: whoever sends fewer stands still.
const STILL: Duration = Duration::from_secs(1);
/// A body must be here within this time.
const WITHIN: Duration = Duration::from_secs(30);
/// One that has to come at a lowest rate must do so in each span of this length.
const SPAN: Duration = Duration::from_secs(5);
/// So much of a body beyond its limit, or of one that nobody will look at, is read and thrown away: a client that is still
/// sending when the connection closes would see that, and not the answer.
const DISCARDED_MAX: usize = 16 * 1024 * 1024;
/// … and for this long, where nobody will look at it.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);

/// What a gzip body begins with, and JSON does not.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// With the admin key.
    Operator,
    /// With a key of its own.
    Org(OrgNo),
    /// Without a key.
    Address(IpAddr),
}

/// Bodies of one kind.
pub(crate) struct Bodies {
    /// Bytes for all of them together …
    size: usize,
    /// … and for those of one owner.
    share: usize,
    /// Bytes per second at which they must come, at least.
    rate: Option<usize>,
    held: Mutex<Held>,
    /// Told when some of it comes free.
    freed: Notify,
}

/// Those of clients with a key, and of the operator.
pub(crate) static KEYED: Bodies = Bodies::new(128 << 20, 64 << 20, None);
/// Webhooks: nobody knows yet who sends them.
pub(crate) static WEBHOOKS: Bodies = Bodies::new(64 << 20, 16 << 20, Some(16 << 10));

struct Held {
    next: u64,
    parts: BTreeMap<u64, Part>,
}

/// What one body takes.
struct Part {
    owner: Owner,
    bytes: usize,
    /// When the last step of it came; `None` once all of it is here.
    moved_at: Option<Instant>,
    cut: Arc<Notify>,
}

/// The room of one body; given back by its drop.
pub(crate) struct Room {
    bodies: &'static Bodies,
    owner: Owner,
    /// `None` as long as it takes none.
    id: Option<u64>,
    /// How many steps of it are here.
    steps: usize,
    cut: Arc<Notify>,
}

impl Bodies {
    const fn new(size: usize, share: usize, rate: Option<usize>) -> Self {
        let held = Mutex::new(Held { next: 0, parts: BTreeMap::new() });
        Self { size, share, rate, held, freed: Notify::const_new() }
    }

    /// Reads a body of at most `max` bytes.
    pub(crate) async fn read<B: Buf>(
        &'static self,
        owner: Owner,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
        max: usize,
    ) -> Result<(Bytes, Room), Problem> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
        let is_large = announced > max;
        if is_large && headers.contains_key(EXPECT) {
            // It waits for a word from us before it sends any.
            return Err(Problem::too_large(max));
        }
        let mut whole = Vec::with_capacity(announced.min(FREE));
        let mut room = Room::new(self, owner);
        let mut size: usize = 0;
        let deadline = Instant::now() + WITHIN;
        let (mut span_ends, mut wanted) = (Instant::now() + SPAN, self.in_a_span());
        let mut body = std::pin::pin!(body);
        loop {
            let part = tokio::select! {
                part = timeout_at(deadline.min(span_ends), body.next()) => part,
                () = room.cut.notified() => return Err(Problem::too_slow()),
            };
            let part = match part {
                Ok(None) => break,
                Ok(Some(part)) => part,
                Err(_) if Instant::now() < deadline && size >= wanted => {
                    (span_ends, wanted) = (Instant::now() + SPAN, size + self.in_a_span());
                    continue;
                }
                Err(_) => return Err(Problem::too_slow()),
            };
            let mut part = part.map_err(|_| Problem::malformed("the body was cut off"))?;
            size = size.saturating_add(part.remaining());
            if size > max.saturating_add(DISCARDED_MAX) {
                break;
            }
            while !is_large && size <= max && part.has_remaining() {
                let length = whole.len() + part.chunk().len();
                if length > FREE && room.id.is_none() {
                    // Room for all of it at once: two that have half of what they need would wait for each other.
                    let all = if (length..=max).contains(&announced) { announced } else { max };
                    room.take(all).await?;
                    whole.reserve_exact(all - whole.len());
                    (span_ends, wanted) = (Instant::now() + SPAN, size + self.in_a_span());
                }
                whole.extend_from_slice(part.chunk());
                room.moved(whole.len());
                part.advance(part.chunk().len());
            }
        }
        if is_large || size > max {
            return Err(Problem::too_large(max));
        }
        // A webhook that is packed without saying so is a signed one that cannot be read: whoever looks at it says so.
        check_encoding(headers, if self.rate.is_none() { &whole } else { &[] })?;
        room.rest();
        Ok((Bytes::from(whole), room))
    }

    /// What must come in each span.
    fn in_a_span(&self) -> usize {
        self.rate.map_or(0, |rate| rate * usize::try_from(SPAN.as_secs()).unwrap_or(0))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(bodies: &'static Bodies, owner: Owner) -> Self {
        Self { bodies, owner, id: None, steps: 0, cut: Arc::default() }
    }

    /// Takes room for so many bytes, as soon as there is some.
    async fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        // One that is larger than a share may be has all of it.
        let (bytes, until) = (bytes.min(self.bodies.share), Instant::now() + WAIT_MAX);
        loop {
            let freed = self.bodies.freed.notified();
            if self.is_taken(bytes) {
                return Ok(());
            }
            let now = Instant::now();
            if now >= until {
                return Err(Problem::overloaded("too many bodies are being read"));
            }
            // Somebody who is now moving may come to stand still.
            let _ = timeout_at(until.min(now + STILL / 2), freed).await;
        }
    }

    /// Takes room now, if need be from those that stand still. Says whether there was any.
    fn is_taken(&mut self, bytes: usize) -> bool {
        let now = Instant::now();
        let mut held = self.bodies.held();
        let is_ours = |owner: Owner| owner == self.owner;
        let is_there = held.make_room(bytes, self.bodies.share, is_ours, now)
            && held.make_room(bytes, self.bodies.size, |_| true, now);
        if is_there {
            held.next += 1;
            let (id, cut) = (held.next, Arc::clone(&self.cut));
            held.parts.insert(id, Part { owner: self.owner, bytes, moved_at: Some(now), cut });
            self.id = Some(id);
        }
        is_there
    }

    /// So much of it is here.
    fn moved(&mut self, length: usize) {
        if length / STEP > self.steps {
            self.steps = length / STEP;
            self.mark(Some(Instant::now()));
        }
    }

    /// All of it is here: nobody takes its room any more.
    fn rest(&self) {
        self.mark(None);
    }

    fn mark(&self, moved_at: Option<Instant>) {
        let mut held = self.bodies.held();
        if let Some(part) = self.id.and_then(|id| held.parts.get_mut(&id)) {
            part.moved_at = moved_at;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.bodies.held().parts.remove(&id);
            self.bodies.freed.notify_waiters();
        }
    }
}

impl Held {
    /// Whether those `among` whom it is counted leave room for `more` within `max`, once those that stand still have been cut
    /// off as far as need be.
    fn make_room(&mut self, more: usize, max: usize, among: impl Fn(Owner) -> bool, now: Instant) -> bool {
        loop {
            let counted = || self.parts.iter().filter(|(_, part)| among(part.owner));
            if counted().map(|(_, part)| part.bytes).sum::<usize>() + more <= max {
                return true;
            }
            let still = counted().filter_map(|(id, part)| Some((part.moved_at.filter(|at| *at + STILL <= now)?, *id)));
            let Some((_, longest)) = still.min() else { return false };
            if let Some(part) = self.parts.remove(&longest) {
                part.cut.notify_one();
            }
        }
    }
}

/// Takes from a client what it is still sending, though nobody will look at it.
pub(crate) async fn discard<B: Buf>(headers: &HeaderMap, body: impl Stream<Item = Result<B, warp::Error>>) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let (mut body, mut size) = (std::pin::pin!(body), 0_usize);
        while let Some(Ok(part)) = body.next().await {
            size = size.saturating_add(part.remaining());
            if size > DISCARDED_MAX {
                break;
            }
        }
    };
    let _ = timeout(DISCARD_WITHIN, read).await;
}

/// Bodies are taken as they are: a signature is of the bytes, and a small packed body may unpack to any size.
fn check_encoding(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let is_packed = encodings.any(|encoding| !matches!(encoding.trim().to_ascii_lowercase().as_str(), "" | "identity"));
    if is_packed || body.starts_with(&GZIP) { Err(Problem::packed()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: usize = 4 * STEP;

    fn bodies() -> &'static Bodies {
        Box::leak(Box::new(Bodies::new(8 * BODY, 4 * BODY, None)))
    }

    /// Room for a body, if there is some at once.
    fn room(bodies: &'static Bodies, from: u8, bytes: usize) -> Option<Room> {
        let mut room = Room::new(bodies, Owner::Address([192, 0, 2, from].into()));
        room.is_taken(bytes).then_some(room)
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_has_its_share_and_not_all() {
        let bodies = bodies();
        let mut held: Vec<_> = (0..4).map(|_| room(bodies, 1, BODY).unwrap()).collect();
        held.iter().for_each(Room::rest);
        assert!(room(bodies, 1, BODY).is_none(), "no more for this one");
        assert!(room(bodies, 2, BODY).is_some(), "for another there is");
        let mut waits = Room::new(bodies, held[0].owner);
        let free = async {
            tokio::time::sleep(WAIT_MAX / 2).await;
            held.pop();
        };
        let (taken, ()) = tokio::join!(waits.take(BODY), free);
        assert!(taken.is_ok(), "it waited for it");
        waits.rest();
        assert!(Room::new(bodies, waits.owner).take(BODY).await.is_err(), "not for ever");
        drop((held, waits));
        assert!(bodies.held().parts.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_gives_way_and_who_moves_or_has_come_does_not() {
        let bodies = bodies();
        let (still, mut moves, whole) = (room(bodies, 1, BODY), room(bodies, 1, BODY), room(bodies, 1, BODY));
        whole.as_ref().unwrap().rest();
        tokio::time::advance(STILL).await;
        moves.as_mut().unwrap().moved(STEP);
        let fourth = room(bodies, 1, BODY).unwrap();
        assert_eq!(bodies.held().parts.len(), 4, "there was room for all");
        let fifth = room(bodies, 1, BODY).unwrap();
        still.unwrap().cut.notified().await;
        assert!(room(bodies, 1, BODY).is_none(), "of the others none stands still");
        drop((fourth, fifth));
    }
}
