//! The state that the server, the emitter and the handle of one simulator share. It is under one lock that is never
//! held across an await.

use base64::prelude::{BASE64_STANDARD, Engine};
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use domain::Timestamp;
use domain::org::Secret;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::account::Account;
use crate::checks::Parsed;
use crate::errors::Refusal;
use crate::faults::Faults;
use crate::inbound::{Facts, Inbound, InboundError, Webhook};
use crate::ledger::{Accepted, Ledger, Stats};
use crate::matching::{Answer, CallPlan, Matcher};
use crate::media::Media;
use crate::pending::{About, PendingReceipt};
use crate::schedule::{Planned, Stage, schedule};
use crate::settings::Settings;
use crate::templates::Templates;

/// The most inbound messages that wait for the webhook.
const INBOUND_MAX: usize = 10_000;

/// The state of a simulator.
pub(crate) struct Shared {
    /// See [`Settings::latency`].
    pub(crate) latency: Duration,
    /// See [`Settings::app_secret`].
    pub(crate) app_secret: Secret,
    /// See [`Settings::batch`].
    pub(crate) batch: usize,
    /// The files that were uploaded.
    pub(crate) media: Media,
    /// The account's templates.
    pub(crate) templates: Templates,
    /// The settings whose changes take effect in the emitter at once.
    pub(crate) control: watch::Sender<Control>,
    /// Notified when a new receipt is due before all others.
    pub(crate) wake: Notify,
    /// Notified when an inbound message is queued.
    pub(crate) inbound: Notify,
    receipt_delay: Duration,
    waba_id: String,
    seed: u64,
    /// Makes this simulator's message ids differ from those of an earlier one with the same seed, because the service
    /// under test may outlive a simulator and still know its messages.
    run: Uuid,
    account: Mutex<Account>,
    state: Mutex<State>,
}

/// How receipts are currently sent.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Where they go.
    pub(crate) webhook: Option<Arc<str>>,
    /// Whether they are sent or held back.
    pub(crate) receipts: bool,
    /// The number of resets so far. Receipts and messages of an earlier era are dropped.
    pub(crate) era: u64,
}

struct State {
    ledger: Ledger,
    matcher: Matcher,
    ids: StdRng,
    queue: BinaryHeap<PendingReceipt>,
    inbound: VecDeque<Bytes>,
    /// All phone number ids that a message was sent from, and the last of them.
    senders: HashSet<String>,
    last_sender: Option<String>,
    /// The number of receipts so far. It orders receipts that are due at the same time.
    receipts: u64,
    era: u64,
}

/// The outcome of a well-formed request.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// How long the answer is delayed beyond the latency.
    pub(crate) delay: Duration,
    /// The message's id, if the message was accepted.
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
            batch: settings.batch.max(1),
            media: Media::new(),
            templates: Templates::default(),
            control: watch::Sender::new(Control { webhook, receipts: true, era: 0 }),
            wake: Notify::new(),
            inbound: Notify::new(),
            receipt_delay: settings.receipt_delay,
            waba_id: settings.waba_id,
            seed: settings.seed,
            run: Uuid::new_v4(),
            account: Mutex::default(),
            state: Mutex::new(State {
                ledger: Ledger::default(),
                matcher: Matcher::new(settings.faults, settings.seed),
                ids: StdRng::seed_from_u64(settings.seed),
                queue: BinaryHeap::new(),
                inbound: VecDeque::new(),
                senders: HashSet::new(),
                last_sender: None,
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
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.of_our_waba(account)
    }

    /// The account with the simulator's own WABA id if it has none.
    pub(crate) fn of_our_waba(&self, mut account: Account) -> Account {
        account.waba_id.get_or_insert_with(|| self.waba_id.clone());
        account
    }

    /// The WhatsApp business account that webhooks name.
    pub(crate) fn waba_id(&self) -> String {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.waba_id.as_ref().unwrap_or(&self.waba_id).clone()
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

    /// Decides about a well-formed request: accepts its message unless a fault prevents that, and plans its receipts.
    pub(crate) fn admit(&self, request: Parsed) -> Verdict {
        let now = Instant::now();
        let category = request.template.as_ref().map_or("service", |(name, code)| self.templates.category(name, code));
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
        let most = match request.kind {
            "reaction" => Stage::Sent,
            _ if request.voice => Stage::Played,
            _ => Stage::Read,
        };
        let planned = schedule(most, self.receipt_delay, plan, state.matcher.dice());
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
        if state.last_sender.as_ref() != Some(&message.phone_number_id) {
            state.senders.insert(message.phone_number_id.clone());
            state.last_sender = Some(message.phone_number_id.clone());
        }
        let earliest = state.queue.peek().map(|due| due.at);
        let about = Arc::new(About { recipient: request.wa_id, group: request.group, category });
        let answered = now + self.latency.div_f64(2.0);
        for Planned { kind, played, error, happens, sent } in planned {
            state.receipts += 1;
            state.ledger.stats.receipts_waiting += 1;
            state.queue.push(PendingReceipt {
                at: later(answered, sent),
                no: state.receipts,
                kind,
                played,
                error,
                happened: message.at.after(happens),
                with_opaque: !plan.no_opaque,
                about: Arc::clone(&about),
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

    /// Whether a message was sent from this phone number.
    pub(crate) fn is_sender(&self, phone_number_id: &str) -> bool {
        self.state().senders.contains(phone_number_id)
    }

    /// Queues the webhook of an inbound message and returns the message's id.
    pub(crate) fn receive(&self, inbound: Inbound) -> Result<Option<String>, InboundError> {
        if self.control.borrow().webhook.is_none() {
            return Err(InboundError::NoWebhook);
        }
        let waba_id = self.waba_id();
        let mut state = self.state();
        let sender = inbound.phone_number_id.clone().or_else(|| state.last_sender.clone());
        let unknown = "phoneNumberId, the recipient of the message, is required until a message was sent";
        let sender = sender.ok_or_else(|| InboundError::Wrong(unknown.to_owned()))?;
        if state.inbound.len() >= INBOUND_MAX {
            return Err(InboundError::TooMany(INBOUND_MAX));
        }
        let id = self.wamid(&mut state.ids, inbound.author());
        let quoted = inbound.quotes().then(|| {
            let last = state.ledger.last_to(&sender, inbound.author());
            last.unwrap_or_else(|| self.wamid(&mut state.ids, inbound.author()))
        });
        let facts = Facts {
            waba_id: &waba_id,
            phone_number_id: &sender,
            wamid: &id,
            quoted: quoted.as_deref(),
            now: timestamp().as_millis() / 1000,
            media: &self.media,
        };
        let Webhook { id, body } = inbound.webhook(&facts).map_err(InboundError::Wrong)?;
        state.ledger.stats.inbound_waiting += 1;
        state.inbound.push_back(body.into());
        drop(state);
        self.inbound.notify_one();
        Ok(id)
    }

    /// Takes the next inbound webhook, and the era it belongs to.
    pub(crate) fn take_inbound(&self) -> Option<(Bytes, u64)> {
        let mut state = self.state();
        let body = state.inbound.pop_front()?;
        Some((body, state.era))
    }

    /// A message id in Meta's format: base64 of the recipient's digits and an id. Half of that id comes from the seed,
    /// half from this run.
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
    pub(crate) fn take_due(&self, now: Instant, most: usize) -> (Vec<PendingReceipt>, u64) {
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

    /// See [`crate::Simulator::reset`]. The generator of ids does not start again, so that no id is given twice.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        let faults = state.matcher.faults();
        state.matcher = Matcher::new(faults, self.seed);
        let old = (std::mem::take(&mut state.ledger), std::mem::take(&mut state.queue));
        state.inbound.clear();
        state.era += 1;
        let era = state.era;
        tracing::debug!(era, "reset");
        self.control.send_modify(|control| control.era = era);
        drop(state);
        self.media.clear();
        // Freed after the lock is released: it may be large, and requests wait for the lock.
        drop(old);
    }
}

/// The current time.
fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `at` plus `delay`. A delay that the clock cannot represent becomes one day.
fn later(at: Instant, delay: Duration) -> Instant {
    at.checked_add(delay).unwrap_or_else(|| at + Duration::from_secs(86_400))
}
