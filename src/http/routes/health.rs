//! Whether it is alive, and whether it can take messages.

use api::{State, Word};
use http::StatusCode;

use crate::http::problem::Problem;
use crate::http::{Answer, App, views};

pub(super) fn alive() -> Answer {
    views::json(StatusCode::OK, &State { status: Word::Borrowed("ok") })
}

pub(super) fn ready(app: &App) -> Answer {
    match app.outbox.trouble() {
        None => views::json(StatusCode::OK, &State { status: Word::Borrowed("ready") }),
        Some(trouble) => Err(Problem::unavailable(trouble)),
    }
}
