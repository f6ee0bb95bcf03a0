//! A slow disk: an OrgActor that crashes while its commits are on their way to it, and one that does not answer for long. In
//! real time: the commit thread is real.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::{AcceptError, Clock, News, OrgChange, Outbox};
use domain::audit::By;
use domain::intake::NewMessage;
use domain::org::PutOrg;
use domain::{OrgNo, Status};
use serde_json::json;
use store::backend::{Backend, Order, Visit, Write};
use store::{Committer, MemoryBackend, StoreError};
use tokio::time::Instant;

use crate::provider::Script;
use crate::support::{SECOND, eventually, org_id, pass, sender, settings, store_over};

/// A backend whose writes wait while it is held, and whose reads fail when told to.
#[derive(Clone, Default)]
struct Slow {
    inner: MemoryBackend,
    is_held: Arc<AtomicBool>,
    fails_reads: Arc<AtomicBool>,
}

impl Backend for Slow {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        while self.is_held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.inner.apply(writes)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.fails_reads.load(Ordering::SeqCst) {
            return Err(StoreError::Backend { doing: "read", cause: "told to fail".into() });
        }
        self.inner.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_new_owner_begins_with_all_that_the_old_one_handed_in() {
    let (backend, acme, no) = (Slow::default(), org_id("acme"), OrgNo(1));
    let store = store_over(backend.clone());
    let provider = Arc::new(Script::new(store.clone(), Instant::now()));
    let committer = Committer::start(&store).unwrap();
    let outbox = Outbox::start(settings(), store.clone(), committer, Arc::<Script>::clone(&provider), Clock::system());
    let outbox = outbox.await.unwrap();
    let put = PutOrg::parse(json!({"senders": [sender("1001")]}).as_object().unwrap()).unwrap();
    outbox.put_org(acme.clone(), OrgChange::Put(put), By::Admin).await.unwrap();
    let post = async |key: Option<&str>| {
        let body = json!({"to": "+4915112345678", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        let request = NewMessage::parse(body.as_object().unwrap(), key, outbox.clock().now()).unwrap();
        outbox.accept(outbox.admit(&acme)?, &acme, request, By::Admin).await
    };
    let is_sent = |id| store.state(no, id).unwrap().is_some_and(|state| state.phase.status() == Status::Sent);
    let first = post(None).await.unwrap().message.id;
    eventually("sent", 5 * SECOND, || is_sent(first).then_some(())).await;
    pass(Duration::from_millis(50)).await;

    backend.is_held.store(true, Ordering::SeqCst);
    let crash_and_release = async {
        pass(Duration::from_millis(50)).await;
        backend.fails_reads.store(true, Ordering::SeqCst);
        assert!(post(Some("k")).await.is_err());
        backend.fails_reads.store(false, Ordering::SeqCst);
        // The new owner would be started after a tenth of a second.
        pass(Duration::from_millis(400)).await;
        backend.is_held.store(false, Ordering::SeqCst);
    };
    let (second, ()) = tokio::join!(post(None), crash_and_release);
    let second = second.unwrap().message.id;
    eventually("sent", 5 * SECOND, || is_sent(second).then_some(())).await;
    let third = post(None).await.unwrap().message.id;
    eventually("sent", 5 * SECOND, || is_sent(third).then_some(())).await;

    assert_eq!(outbox.stop(SECOND).await, 0);
    let head = store.head(no).unwrap();
    assert_eq!(head.count(Status::Sent), 3);
    assert_eq!(head.last_seq, 7, "the organisation, and two for each message");
    assert_eq!(store.sealed_entries(no, 1, 100).unwrap().len(), 7);
    assert_eq!(provider.count(), 3);
}

#[tokio::test]
async fn while_the_disk_does_not_answer_nothing_is_let_in_or_sent_and_then_all_goes_on() {
    let (backend, acme, no) = (Slow::default(), org_id("acme"), OrgNo(1));
    let store = store_over(backend.clone());
    let provider = Arc::new(Script::new(store.clone(), Instant::now()));
    let committer = Committer::start(&store).unwrap();
    let mut settings = settings();
    settings.limits.max_flush = Duration::from_millis(100);
    let outbox = Outbox::start(settings, store.clone(), committer, Arc::<Script>::clone(&provider), Clock::system());
    let outbox = outbox.await.unwrap();
    let put = PutOrg::parse(json!({"senders": [sender("1001")]}).as_object().unwrap()).unwrap();
    outbox.put_org(acme.clone(), OrgChange::Put(put), By::Admin).await.unwrap();
    let post = async || {
        let body = json!({"to": "+4915112345678", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        let request = NewMessage::parse(body.as_object().unwrap(), None, outbox.clock().now()).unwrap();
        outbox.accept(outbox.admit(&acme)?, &acme, request, By::Admin).await
    };
    backend.is_held.store(true, Ordering::SeqCst);
    let while_held = async {
        eventually("it is noticed", 5 * SECOND, || outbox.trouble().filter(|why| why.contains("disk"))).await;
        assert!(matches!(post().await, Err(AcceptError::Unavailable)));
        assert!(outbox.webhook(&acme, News::default()).await.is_err());
        assert_eq!(provider.count(), 0);
        backend.is_held.store(false, Ordering::SeqCst);
    };
    let (waiting, ()) = tokio::join!(post(), while_held);
    let is_sent = |id| store.state(no, id).unwrap().is_some_and(|state| state.phase.status() == Status::Sent);
    let waiting = waiting.unwrap().message.id;
    eventually("sent", 5 * SECOND, || is_sent(waiting).then_some(())).await;
    assert_eq!(outbox.trouble(), None);
    let next = post().await.unwrap().message.id;
    eventually("sent", 5 * SECOND, || is_sent(next).then_some(())).await;
    assert_eq!(outbox.stop(SECOND).await, 0);
}
