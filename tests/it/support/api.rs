//! A client of the public API.

use std::sync::{Arc, Mutex};

use domain::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{eventually, text, with};

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem document as the contract describes it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!((body["code"].as_str(), &body["status"]), (Some(code), &status.into()), "{self:?}");
        for name in ["type", "title", "detail"] {
            assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {self:?}");
        }
        body
    }

    /// The fields that a problem names, sorted.
    pub(crate) fn fields(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let mut fields: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        fields.sort();
        fields
    }

    /// Asserts the status of a success and returns the body.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// A caller with its key. It follows twotick to its new address after a restart.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: Arc<Mutex<String>>,
    key: Option<String>,
    org: Option<String>,
}

impl Api {
    pub(super) fn new(client: Client, base: Arc<Mutex<String>>, key: Option<&str>) -> Self {
        Self { client, base, key: key.map(str::to_owned), org: None }
    }

    /// The same caller with the header X-Org-Id.
    pub(crate) fn for_org(&self, org: &str) -> Self {
        Self { org: Some(org.to_owned()), ..self.clone() }
    }

    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap()
    }

    /// Builds a request. `path` is relative to `/api/v1`, or absolute if it begins with a slash.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let base = self.base.lock().unwrap().clone();
        let url = if path.starts_with('/') { format!("{base}{path}") } else { format!("{base}/api/v1/{path}") };
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        match &self.org {
            Some(org) => request.header("x-org-id", org),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request("DELETE", path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        send(self.request("PUT", path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    /// Posts raw bytes.
    pub(crate) async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        send(self.request("POST", path).header("content-type", content_type).body(body.into())).await
    }

    pub(crate) async fn send_message(&self, body: &Value) -> Answer {
        self.post("outbound/messages", body).await
    }

    /// Posts a message, which must be accepted, and returns its id.
    pub(crate) async fn accept(&self, body: &Value) -> String {
        self.send_message(body).await.ok(201)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("outbound/messages/{id}")).await.ok(200)
    }

    pub(crate) async fn attempts(&self, id: &str) -> Vec<Value> {
        self.get(&format!("outbound/messages/{id}/attempts")).await.ok(200).as_array().unwrap().clone()
    }

    pub(crate) async fn timeline(&self, id: &str) -> Vec<Value> {
        self.get(&format!("outbound/messages/{id}/timeline")).await.ok(200).as_array().unwrap().clone()
    }

    /// A message's timeline as words, such as `MESSAGE_STATUS_UPDATE READ`.
    pub(crate) async fn story(&self, id: &str) -> Vec<String> {
        let steps = self.timeline(id).await;
        let word = |step: &Value| {
            format!("{} {}", step["type"].as_str().unwrap(), step["details"]["status"].as_str().unwrap_or("-"))
        };
        steps.iter().map(word).collect()
    }

    /// Waits until a message has a status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        eventually(status, async || {
            let message = self.message(id).await;
            if message["status"] == status { Ok(message) } else { Err(message) }
        })
        .await
    }

    /// Waits until a message has a status and an error code.
    pub(crate) async fn until_error(&self, id: &str, status: &str, code: &str) -> Value {
        eventually(code, async || {
            let message = self.message(id).await;
            if message["status"] == status && message["errorCode"] == code { Ok(message) } else { Err(message) }
        })
        .await
    }

    /// The current time by twotick's clock.
    pub(crate) async fn clock(&self) -> Timestamp {
        let id = self.accept(&with(text(888_888), &json!({"sendAt": "2099-01-01T00:00:00Z"}))).await;
        self.message(&id).await["createdAt"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("outbound/stats").await.ok(200)
    }

    /// Waits until `count` messages have a status.
    pub(crate) async fn until_stats(&self, status: &str, count: usize) {
        eventually(status, async || {
            let stats = self.stats().await;
            if stats[status] == count { Ok(()) } else { Err(stats) }
        })
        .await;
    }
}
