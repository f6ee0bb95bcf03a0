//! Whether it is alive, and whether it can take messages.

use http::StatusCode;
use serde_json::json;

use crate::http::problem::Problem;
use crate::http::{Answer, App, views};

pub(super) fn alive() -> Answer {
    views::json(StatusCode::OK, &json!({"status": "ok"}))
}

pub(super) fn ready(app: &App) -> Answer {
    match app.outbox.trouble() {
        None => views::json(StatusCode::OK, &json!({"status": "ready"})),
        Some(trouble) => Err(Problem::unavailable(trouble)),
    }
}
