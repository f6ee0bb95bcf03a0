//! A provider that answers by script and remembers every call.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::outcome::{Outcome, ProviderError};
use domain::{AttemptRef, Failure, OrgNo, ProviderId, State};
use serde_json::Value;
use store::Store;
use tokio::time::Instant;
use whatsapp::classify::{Origin, Signal, classify};
use whatsapp::{Answer, Provider, SendRequest};

/// What the provider says to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Accept,
    Refuse(i64),
    NotSent,
    Unknown,
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

pub(crate) struct Script {
    began: Instant,
    store: Mutex<Store>,
    calls: Mutex<Vec<Call>>,
    next: Mutex<VecDeque<(Say, Duration)>>,
    otherwise: Mutex<(Say, Duration)>,
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
            otherwise: Mutex::new((Say::Accept, Duration::ZERO)),
            under_way: Arc::default(),
            most: AtomicUsize::new(0),
        }
    }

    pub(crate) fn look_into(&self, store: Store) {
        *self.store.lock().unwrap() = store;
    }

    /// The next calls are answered so, one after the other.
    pub(crate) fn next(&self, says: &[Say]) {
        self.next.lock().unwrap().extend(says.iter().map(|say| (*say, Duration::ZERO)));
    }

    /// All other calls are answered so.
    pub(crate) fn always(&self, say: Say, after: Duration) {
        *self.otherwise.lock().unwrap() = (say, after);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
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
    let signal = Signal { code, subcode: None, details: "", http_status: Some(400), origin };
    ProviderError { code, message: "by script".into(), verdict: classify(&signal) }
}

impl Provider for Script {
    fn send(&self, request: SendRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let attempt: AttemptRef = body["biz_opaque_callback_data"].as_str().unwrap().parse().unwrap();
        // Tests that look at `stored` use the first organisation.
        let stored = self.store.lock().unwrap().state(OrgNo(1), attempt.message).unwrap();
        let (say, after) = self.next.lock().unwrap().pop_front().unwrap_or(*self.otherwise.lock().unwrap());
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
                Say::Accept => Outcome::Accepted(wamid(attempt)),
                Say::Refuse(code) => Outcome::Refused(error(code, Origin::Answer)),
                Say::NotSent => Outcome::NotSent(Failure::new("CONNECT", "by script")),
                Say::Unknown => Outcome::Unknown(Failure::new("TIMEOUT", "by script")),
                Say::Never => std::future::pending().await,
                Say::Panic | Say::PanicAtOnce => panic!("a panic by script"),
            };
            under_way.fetch_sub(1, Ordering::SeqCst);
            Answer { outcome, response: Some(b"{}".to_vec()), retry_after: None }
        })
    }
}
