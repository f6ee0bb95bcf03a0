//! Slots that requests share fairly: one that comes free goes to the party that holds fewest, so that a crowd waits for itself
//! and does not delay others. No slot stays unused: a party that is alone may have them all.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// A fixed number of slots for all parties.
pub(crate) struct Slots<P: Party>(Arc<Mutex<Line<P>>>);

/// A party that shares the slots.
pub(crate) trait Party: Copy + Eq + Hash + Send + 'static {}
impl<P: Copy + Eq + Hash + Send + 'static> Party for P {}

struct Line<P: Party> {
    free: usize,
    parties: HashMap<P, Share<P>>,
    /// Who comes later gets a higher one.
    next_ticket: u64,
}

/// The slots of one party, and its requests that wait. It is forgotten once it has neither.
struct Share<P: Party> {
    held: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Slot<P>>)>,
}

/// One slot; given back by its drop.
pub(crate) struct Slot<P: Party> {
    line: Arc<Mutex<Line<P>>>,
    party: P,
}

impl<P: Party> Slots<P> {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Line { free: count, parties: HashMap::new(), next_ticket: 0 })))
    }

    /// A slot for `party`, if there is one for it within `max_wait`.
    pub(crate) async fn take(&self, party: P, max_wait: Duration) -> Option<Slot<P>> {
        let granted = {
            let mut line = lock(&self.0);
            let ticket = line.next_ticket;
            line.next_ticket += 1;
            let is_free = line.free > 0;
            let share = line.parties.entry(party).or_insert_with(|| Share { held: 0, waiting: VecDeque::new() });
            if is_free {
                share.held += 1;
                line.free -= 1;
                return Some(Slot { line: Arc::clone(&self.0), party });
            }
            // Those who gave up came first.
            while share.waiting.front().is_some_and(|(_, waiter)| waiter.is_closed()) {
                share.waiting.pop_front();
            }
            let (waiter, granted) = oneshot::channel();
            share.waiting.push_back((ticket, waiter));
            granted
        };
        timeout(max_wait, granted).await.ok()?.ok()
    }
}

impl<P: Party> Line<P> {
    /// Who gets the next slot: of those who wait, the party that holds fewest, and of equals the one that came first.
    fn next(&mut self) -> Option<(P, oneshot::Sender<Slot<P>>)> {
        for share in self.parties.values_mut() {
            while share.waiting.front().is_some_and(|(_, waiter)| waiter.is_closed()) {
                share.waiting.pop_front();
            }
        }
        self.parties.retain(|_, share| share.held > 0 || !share.waiting.is_empty());
        let waiting = self.parties.iter_mut().filter(|(_, share)| !share.waiting.is_empty());
        let (party, share) = waiting.min_by_key(|(_, share)| (share.held, share.waiting.front().map(|(at, _)| *at)))?;
        let (_, waiter) = share.waiting.pop_front()?;
        share.held += 1;
        Some((*party, waiter))
    }
}

impl<P: Party> Drop for Slot<P> {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        if let Some(share) = line.parties.get_mut(&self.party) {
            share.held -= 1;
        }
        match line.next() {
            Some((party, waiter)) => {
                drop(line);
                // One that gave up just now gives it back by its drop.
                let _ = waiter.send(Self { line: Arc::clone(&self.line), party });
            }
            None => line.free += 1,
        }
    }
}

fn lock<P: Party>(line: &Mutex<Line<P>>) -> MutexGuard<'_, Line<P>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn at_once(slots: &Slots<char>, party: char) -> Option<Slot<char>> {
        slots.take(party, LONG).now_or_never().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_has_all_and_whoever_comes_then_has_the_next() {
        let slots = Slots::new(3);
        let mut crowd: Vec<_> = (0..3).map(|_| at_once(&slots, 'a').unwrap()).collect();
        let mut own = Box::pin(slots.take('a', LONG));
        assert!(own.as_mut().now_or_never().is_none());
        let mut others: Vec<_> = (0..2).map(|_| Box::pin(slots.take('b', LONG))).collect();
        assert!(others.iter_mut().all(|other| other.as_mut().now_or_never().is_none()));
        crowd.pop();
        let first = others[0].as_mut().now_or_never().unwrap().unwrap();
        assert!(own.as_mut().now_or_never().is_none(), "it came sooner, and has more");
        crowd.pop();
        assert!(own.as_mut().now_or_never().is_some(), "both have one: the first come goes first");
        drop(first);
        assert!(others[1].as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_who_gave_up_takes_no_slot() {
        let slots = Slots::new(1);
        let held = at_once(&slots, 'a').unwrap();
        assert!(slots.take('b', LONG).await.is_none());
        let mut left = Box::pin(slots.take('b', LONG));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        drop(held);
        let again = at_once(&slots, 'c').unwrap();
        drop(again);
        assert!(lock(&slots.0).parties.is_empty() && lock(&slots.0).free == 1, "nothing is kept of them");
    }
}
