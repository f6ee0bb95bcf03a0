//! A running simulator, a client for it, and a webhook that records its calls.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::org::Secret;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::Client;
use serde_json::{Value, json};
use simulator::{Faults, Settings, Simulator, Stats};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const PHONE: &str = "1066";
pub(crate) const ADA: &str = "+4915112345678";
pub(crate) const BOB: &str = "+15550001234";
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn secret() -> Secret {
    "app-secret".parse().unwrap()
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn faults(rules: &Value) -> Faults {
    Faults::from_json(json!({ "rules": rules }).to_string().as_bytes()).unwrap()
}

pub(crate) fn text(to: &str, opaque: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text",
           "text": {"body": "Hello"}, "biz_opaque_callback_data": opaque})
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// An answer from the simulator.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap()
    }

    pub(crate) fn wamid(&self) -> String {
        self.json()["messages"][0]["id"].as_str().unwrap().to_owned()
    }
}

/// A simulator, and a client that calls it.
pub(crate) struct Rig {
    pub(crate) simulator: Simulator,
    pub(crate) client: Client,
}

impl Rig {
    pub(crate) async fn new(settings: Settings) -> Self {
        let simulator = Simulator::start(listener().await, settings).await.unwrap();
        Self { simulator, client: Client::builder().timeout(DEADLINE).build().unwrap() }
    }

    pub(crate) async fn with_faults(rules: Value) -> Self {
        Self::new(Settings { faults: faults(&rules), ..Settings::default() }).await
    }

    pub(crate) async fn with_webhook(webhook: &Webhook, rules: Value) -> Self {
        let webhook = Some(webhook.url.clone());
        Self::new(Settings { webhook, app_secret: secret(), faults: faults(&rules), ..Settings::default() }).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    pub(crate) async fn try_send(&self, body: &Value) -> reqwest::Result<Answer> {
        let url = self.url(&format!("/v25.0/{PHONE}/messages"));
        answer(self.client.post(url).bearer_auth("token").json(body)).await
    }

    pub(crate) async fn send(&self, body: &Value) -> Answer {
        self.try_send(body).await.unwrap()
    }

    /// Sends a text and returns its id. The text must be accepted.
    pub(crate) async fn sent(&self, to: &str, opaque: &str) -> String {
        self.send(&text(to, opaque)).await.wamid()
    }

    /// Sends `n` texts and returns the HTTP status of each.
    pub(crate) async fn statuses(&self, to: &str, n: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for i in 0..n {
            statuses.push(self.send(&text(to, &format!("{i}"))).await.status);
        }
        statuses
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(self.url(path))).await.unwrap()
    }

    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Stats) -> bool) {
        until(what, || so(&self.simulator.stats())).await;
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let media_type = answer.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    Ok(Answer { status, media_type, text: answer.text().await? })
}

type Calls = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A webhook that answers with 200 unless a test sets other answers.
pub(crate) struct Webhook {
    pub(crate) url: String,
    calls: Calls,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    server: JoinHandle<()>,
}

impl Webhook {
    pub(crate) async fn new() -> Self {
        let listener = listener().await;
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let calls = Calls::default();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let server = tokio::spawn(serve(listener, Arc::clone(&calls), Arc::clone(&answers)));
        Self { url, calls, answers, server }
    }

    /// Answers the next calls with these statuses.
    pub(crate) fn will_answer(&self, statuses: impl IntoIterator<Item = u16>) {
        let statuses = statuses.into_iter().map(|status| StatusCode::from_u16(status).unwrap());
        self.answers.lock().unwrap().extend(statuses);
    }

    pub(crate) fn calls(&self) -> Vec<(HeaderMap, Bytes)> {
        self.calls.lock().unwrap().clone()
    }

    /// The values of the calls, in the order in which they came.
    pub(crate) fn values(&self) -> Vec<Value> {
        let mut values = Vec::new();
        for (_, body) in self.calls() {
            let body: Value = serde_json::from_slice(&body).unwrap();
            for change in body["entry"][0]["changes"].as_array().unwrap() {
                assert_eq!(change["value"]["metadata"]["phone_number_id"], PHONE);
                values.push(change["value"].clone());
            }
        }
        values
    }

    /// All statuses in the order in which they came.
    pub(crate) fn statuses(&self) -> Vec<Value> {
        self.values().iter().flat_map(|value| value["statuses"].as_array().unwrap().clone()).collect()
    }

    /// The words of the statuses of one message, sorted, because calls may overtake each other.
    pub(crate) fn words(&self, wamid: &str) -> Vec<String> {
        let mut words = self.words_in_order(wamid);
        words.sort();
        words
    }

    /// The words of the statuses of one message, in the order in which they came.
    pub(crate) fn words_in_order(&self, wamid: &str) -> Vec<String> {
        let statuses = self.statuses();
        let of = statuses.iter().filter(|status| status["id"] == wamid);
        of.map(|status| status["status"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, calls: Calls, answers: Arc<Mutex<VecDeque<StatusCode>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (calls, answers) = (Arc::clone(&calls), Arc::clone(&answers));
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (calls, answers) = (Arc::clone(&calls), Arc::clone(&answers));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let status = answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK);
                calls.lock().unwrap().push((head.headers, body));
                Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::new())).unwrap())
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A URL at which nobody listens.
pub(crate) async fn nowhere() -> String {
    let addr = listener().await.local_addr().unwrap();
    format!("http://{addr}/hook")
}

/// Awaits a future that must end in time.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap()
}
