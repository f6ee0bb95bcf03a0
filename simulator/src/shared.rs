//! What the server, the emitter and the handle of one simulator share: a small state under one lock that is never held
//! across an await.

use base64::prelude::{BASE64_STANDARD, Engine};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Timestamp;
use domain::org::Secret;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::account::Account;
use crate::checks::Parsed;
use crate::emitter::Due;
use crate::errors::Refusal;
use crate::faults::Faults;
use crate::ledger::{Accepted, Ledger, Stats};
use crate::matching::{Answer, CallPlan, Matcher};
use crate::schedule::{Planned, schedule};
use crate::settings::Settings;

/// The simulator behind its handle.
pub(crate) struct Shared {
    /// See [`Settings::latency`].
    pub(crate) latency: Duration,
    /// See [`Settings::app_secret`].
    pub(crate) app_secret: Secret,
    /// What the emitter must know of at once.
    pub(crate) control: watch::Sender<Control>,
    /// Called when a receipt is due before all others.
    pub(crate) wake: Notify,
    receipt_delay: Duration,
    seed: u64,
    /// Sets the ids of this simulator apart from those of another with the same seed, whose messages a service that
    /// outlives it may still know.
    run: Uuid,
    account: Mutex<Account>,
    state: Mutex<State>,
}

/// How receipts are sent now.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Where to.
    pub(crate) webhook: Option<Arc<str>>,
    /// Whether at all; if not, they are held back.
    pub(crate) receipts: bool,
    /// Grows with every reset. What belongs to an earlier era is dropped.
    pub(crate) era: u64,
}

struct State {
    ledger: Ledger,
    matcher: Matcher,
    ids: StdRng,
    queue: BinaryHeap<Due>,
    /// Tells apart, and keeps in order, receipts that are due at the same time.
    receipts: u64,
    era: u64,
}

/// What becomes of a well-formed request.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// How much later than usual the answer comes.
    pub(crate) delay: Duration,
    /// The message's id, if it was accepted.
    pub(crate) wamid: Option<String>,
    /// What the caller sees.
    pub(crate) answer: Answer,
}

impl Shared {
    /// The state of a simulator that has not yet seen a request.
    pub(crate) fn new(settings: Settings) -> Self {
        let webhook = settings.webhook.map(Arc::from);
        Self {
            latency: settings.latency,
            app_secret: settings.app_secret,
            control: watch::Sender::new(Control { webhook, receipts: true, era: 0 }),
            wake: Notify::new(),
            receipt_delay: settings.receipt_delay,
            seed: settings.seed,
            run: Uuid::new_v4(),
            account: Mutex::default(),
            state: Mutex::new(State {
                ledger: Ledger::default(),
                matcher: Matcher::new(settings.faults, settings.seed),
                ids: StdRng::seed_from_u64(settings.seed),
                queue: BinaryHeap::new(),
                receipts: 0,
                era: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account as set.
    pub(crate) fn account(&self) -> Account {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`crate::Simulator::set_account`].
    pub(crate) fn set_account(&self, account: Account) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = account;
    }

    /// Changes the counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.state().ledger.stats);
    }

    /// Changes the counts, unless there was a reset since `era`.
    pub(crate) fn count_in(&self, era: u64, change: impl FnOnce(&mut Stats)) {
        let mut state = self.state();
        if state.era == era {
            change(&mut state.ledger.stats);
        }
    }

    /// Counts a request that was refused by the checks.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.state().ledger.refused(refusal.code);
    }

    /// Decides a well-formed request, accepts its message unless a fault forbids it, and plans its receipts.
    pub(crate) fn admit(&self, request: Parsed) -> Verdict {
        let now = Instant::now();
        let mut guard = self.state();
        let state = &mut *guard;
        let CallPlan { delay, accept, answer } = state.matcher.call(&request, now);
        let stats = &mut state.ledger.stats;
        match &answer {
            Answer::Success => {}
            Answer::Error(refusal) => state.ledger.refused(refusal.code),
            Answer::Nothing => stats.dropped += 1,
            Answer::NotJson | Answer::NoEnvelope(_) => stats.garbled += 1,
        }
        if !accept {
            return Verdict { delay, wamid: None, answer };
        }
        let plan = state.matcher.receipts(&request);
        let planned = schedule(request.kind, self.receipt_delay, plan, state.matcher.dice());
        let wamid = self.wamid(&mut state.ids, &request.wa_id);
        let message = Arc::new(Accepted {
            seq: state.ledger.next_seq(),
            at: timestamp(),
            received: now.into_std(),
            phone_number_id: request.phone_number_id,
            to: request.to,
            opaque: request.opaque,
            wamid: wamid.clone(),
            body: request.body,
        });
        state.ledger.push(&message);
        let earliest = state.queue.peek().map(|due| due.at);
        let recipient: Arc<str> = request.wa_id.into();
        let answered = now + self.latency.div_f64(2.0);
        for Planned { kind, error, happens, sent } in planned {
            state.receipts += 1;
            state.ledger.stats.receipts_waiting += 1;
            state.queue.push(Due {
                at: later(answered, sent),
                no: state.receipts,
                kind,
                error,
                happened: message.at.after(happens),
                with_opaque: !plan.no_opaque,
                recipient: Arc::clone(&recipient),
                message: Arc::clone(&message),
            });
        }
        let wake = state.queue.peek().map(|due| due.at) != earliest;
        drop(guard);
        if wake {
            self.wake.notify_one();
        }
        Verdict { delay, wamid: Some(wamid), answer }
    }

    /// As Meta's look: base64 of the recipient's digits and an id, here half from the seed and half from this run.
    fn wamid(&self, ids: &mut StdRng, wa_id: &str) -> String {
        let mut bytes = [0; 16];
        let (seeded, run) = bytes.split_at_mut(8);
        ids.fill_bytes(seeded);
        for (byte, own) in run.iter_mut().zip(self.run.as_bytes()) {
            *byte = *own;
        }
        let digits = wa_id.as_bytes();
        let len = u8::try_from(digits.len()).unwrap_or(u8::MAX);
        let id = hex::encode_upper(bytes);
        let plain = [&[0x1c, 0x18, len], digits, &[0x15, 2, 0, 0x11, 0x18, 0x20], id.as_bytes(), &[0]].concat();
        format!("wamid.{}", BASE64_STANDARD.encode(plain))
    }

    /// When the next receipt is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.state().queue.peek().map(|due| due.at)
    }

    /// Takes up to `most` receipts that are due, earliest first, and the era they belong to.
    pub(crate) fn take_due(&self, now: Instant, most: usize) -> (Vec<Due>, u64) {
        let mut batch = Vec::new();
        let mut state = self.state();
        while batch.len() < most && state.queue.peek().is_some_and(|due| due.at <= now) {
            batch.extend(state.queue.pop());
        }
        (batch, state.era)
    }

    /// See [`crate::Simulator::set_faults`].
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().matcher.set(faults);
    }

    /// The faults as set.
    pub(crate) fn faults(&self) -> Faults {
        self.state().matcher.faults()
    }

    /// The accepted messages after number `after`, at most `limit`.
    pub(crate) fn messages(&self, after: u64, limit: usize) -> Vec<Arc<Accepted>> {
        self.state().ledger.messages(after, limit)
    }

    /// The counts.
    pub(crate) fn stats(&self) -> Stats {
        self.state().ledger.stats.clone()
    }

    /// Forgets messages, counts and receipts; the rules begin anew, and so do their dice. The ids go on, so that no id
    /// is given twice.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        let faults = state.matcher.faults();
        state.matcher = Matcher::new(faults, self.seed);
        let old = (std::mem::take(&mut state.ledger), std::mem::take(&mut state.queue));
        state.era += 1;
        let era = state.era;
        tracing::debug!(era, "reset");
        self.control.send_modify(|control| control.era = era);
        drop(state);
        // Freed only now: it may be large, and requests wait for the lock.
        drop(old);
    }
}

/// Now.
fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A time so much later; a delay beyond what the clock can count is as good as a day.
fn later(at: Instant, delay: Duration) -> Instant {
    at.checked_add(delay).unwrap_or_else(|| at + Duration::from_secs(86_400))
}
