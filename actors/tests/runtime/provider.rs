//! A provider that answers by script and remembers every call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::circuit::Fault;
use domain::outcome::{Class, Outcome, ProviderError, Scope, Verdict};
use domain::{AttemptRef, Failure, OrgNo, OurCode, ProviderId, State};
use serde_json::{Value, json};
use store::Store;
use tokio::time::Instant;
use whatsapp::classify::{Origin, Signal, classify};
use whatsapp::{Answer, Provider, SendRequest};

use crate::crash_point::Life;

/// What the provider says to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Accept,
    /// Accepts, and tells this id of the recipient.
    AcceptAs(&'static str),
    /// Accepts under this id.
    AcceptById(&'static str),
    Refuse(i64),
    /// Refuses, and wants to be left alone for so many seconds.
    RefuseFor(i64, u64),
    NotSent,
    /// Something that is not Meta turns it away.
    Foreign,
    Unknown,
    /// Nothing that reaches us, although it takes the message.
    Taken,
    /// Nothing, ever.
    Never,
    /// The future of the call panics.
    Panic,
    /// The call panics before there is a future.
    PanicAtOnce,
}

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Since the test began.
    pub(crate) at: Duration,
    pub(crate) from: String,
    pub(crate) token: String,
    pub(crate) attempt: AttemptRef,
    /// The message's state in the store at that moment.
    pub(crate) stored: Option<State>,
    /// What is said to it.
    pub(crate) say: Say,
}

impl Call {
    /// Whether it took the message.
    pub(crate) const fn is_taken(&self) -> bool {
        matches!(self.say, Say::Accept | Say::Taken)
    }
}

/// Says what the next call is answered, and how long after it came.
type Dice = Box<dyn FnMut() -> (Say, Duration) + Send>;

pub(crate) struct Script {
    began: Instant,
    store: Mutex<Store>,
    calls: Mutex<Vec<Call>>,
    next: Mutex<VecDeque<(Say, Duration)>>,
    otherwise: Mutex<Dice>,
    life: Mutex<Arc<Life>>,
    under_way: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Script {
    pub(crate) fn new(store: Store, began: Instant) -> Self {
        Self {
            began,
            store: Mutex::new(store),
            calls: Mutex::default(),
            next: Mutex::default(),
            otherwise: Mutex::new(Box::new(|| (Say::Accept, Duration::ZERO))),
            life: Mutex::default(),
            under_way: Arc::default(),
            most: AtomicUsize::new(0),
        }
    }

    pub(crate) fn look_into(&self, store: Store) {
        *self.store.lock().unwrap() = store;
    }

    /// Calls come from this life now; what one does after its end never happened.
    pub(crate) fn serve(&self, life: &Arc<Life>) {
        *self.life.lock().unwrap() = Arc::clone(life);
    }

    /// The next calls are answered so, one after the other.
    pub(crate) fn next(&self, says: &[Say]) {
        self.next.lock().unwrap().extend(says.iter().map(|say| (*say, Duration::ZERO)));
    }

    /// All other calls are answered so.
    pub(crate) fn always(&self, say: Say, after: Duration) {
        self.by_dice(Box::new(move || (say, after)));
    }

    /// All other calls are answered as the dice say.
    pub(crate) fn by_dice(&self, dice: Dice) {
        *self.otherwise.lock().unwrap() = dice;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls_after(0)
    }

    /// All but the first `count`.
    pub(crate) fn calls_after(&self, count: usize) -> Vec<Call> {
        self.calls.lock().unwrap().iter().skip(count).cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// The most calls that were ever under way at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// The id that the provider gives to an attempt.
pub(crate) fn wamid(attempt: AttemptRef) -> ProviderId {
    ProviderId::new(&format!("wamid.{attempt}"))
}

pub(crate) fn error(code: i64, origin: Origin) -> ProviderError {
    let signal = Signal { code, subcode: None, details: "", http_status: Some(400), is_transient: false, origin };
    ProviderError { code, message: "by script".into(), verdict: classify(&signal) }
}

impl Provider for Script {
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let attempt: AttemptRef = body["biz_opaque_callback_data"].as_str().unwrap().parse().unwrap();
        if self.life.lock().unwrap().is_over() {
            return Box::pin(std::future::pending());
        }
        // Tests that look at `stored` use the first two organisations.
        let store = self.store.lock().unwrap().clone();
        let stored = [1, 2].iter().find_map(|no| store.state(OrgNo(*no), attempt.message).unwrap());
        let next = self.next.lock().unwrap().pop_front();
        let (say, after) = next.unwrap_or_else(|| (*self.otherwise.lock().unwrap())());
        self.calls.lock().unwrap().push(Call {
            at: self.began.elapsed(),
            from: request.from.to_string(),
            token: request.token.expose().to_owned(),
            attempt,
            stored,
            say,
        });
        assert!(!matches!(say, Say::PanicAtOnce), "a panic by script");
        let under_way = Arc::clone(&self.under_way);
        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Box::pin(async move {
            tokio::time::sleep(after).await;
            let outcome = match say {
                Say::Accept | Say::AcceptAs(_) => Outcome::Accepted(wamid(attempt)),
                Say::AcceptById(id) => Outcome::Accepted(ProviderId::new(id)),
                Say::Refuse(code) | Say::RefuseFor(code, _) => Outcome::Refused(error(code, Origin::Answer)),
                Say::NotSent => Outcome::NotSent(Failure::new(OurCode::ConnectFailed, "by script")),
                Say::Foreign => Outcome::Refused(ProviderError {
                    code: 404,
                    message: "by script".into(),
                    verdict: Verdict { class: Class::Transient, scope: Scope::Message },
                }),
                Say::Unknown | Say::Taken => Outcome::Unknown(Failure::new(OurCode::Timeout, "by script")),
                Say::Never => std::future::pending().await,
                Say::Panic | Say::PanicAtOnce => panic!("a panic by script"),
            };
            under_way.fetch_sub(1, Ordering::SeqCst);
            let told = if let Say::AcceptAs(user_id) = say { json!([{"user_id": user_id}]) } else { json!([]) };
            let response = json!({ "contacts": told }).to_string();
            let fault = match say {
                Say::NotSent => Some(Fault::Unreached),
                Say::Foreign => Some(Fault::Foreign),
                Say::Unknown | Say::Taken => Some(Fault::Silent),
                Say::Accept
                | Say::AcceptAs(_)
                | Say::AcceptById(_)
                | Say::Refuse(_)
                | Say::RefuseFor(..)
                | Say::Never
                | Say::Panic
                | Say::PanicAtOnce => None,
            };
            let retry_after = if let Say::RefuseFor(_, secs) = say { Some(Duration::from_secs(secs)) } else { None };
            Answer { outcome, response: Some(response.into_bytes()), retry_after, fault }
        })
    }
}
