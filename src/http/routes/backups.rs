//! Backups of the running service: begun, looked at, fetched in parts, removed. Admin key.

use std::sync::Arc;

use api::{Backup, Page};
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use super::orgs::no_content;
use crate::http::auth::Operator;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::{Answer, App, views};
use crate::service::backups::{Refused, Status};

/// Bytes that one answer brings at most; the next request asks for what follows.
const PART_MAX: u64 = 4 << 20;

/// Begins a backup; the one that is being taken, if one is.
pub(super) async fn begin(app: &App, _by: Operator) -> Answer {
    let (backups, outbox) = (Arc::clone(&app.backups), app.outbox.clone());
    let begun = tokio::task::spawn_blocking(move || backups.begin(&outbox)).await.map_err(|_| Problem::internal())?;
    match begun {
        Ok(status) => views::json(StatusCode::ACCEPTED, &view(&status)),
        Err(error @ Refused::NoRoom { .. }) => {
            Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "NO_ROOM", error.to_string()))
        }
        Err(error @ Refused::Ending) => Err(Problem::new(StatusCode::CONFLICT, "BACKUP_ENDING", error.to_string())),
        Err(error @ Refused::Io(..)) => {
            tracing::error!(%error, "a backup could not be begun");
            Err(Problem::internal())
        }
    }
}

pub(super) fn list(app: &App, _by: Operator) -> Answer {
    views::json(StatusCode::OK, &Page { items: app.backups.list().iter().map(view).collect() })
}

pub(super) fn get(app: &App, _by: Operator, id: &str) -> Answer {
    let status = app.backups.status(id).ok_or_else(|| Problem::not_found("backup"))?;
    views::json(StatusCode::OK, &view(&status))
}

pub(super) fn remove(app: &App, _by: Operator, id: &str) -> Answer {
    if app.backups.remove(id) { Ok(no_content()) } else { Err(Problem::not_found("backup")) }
}

/// The bytes of a whole backup that `Range` asks for, as many as one answer may bring.
pub(super) async fn data(app: &App, _by: Operator, request: &Request, id: &str) -> Answer {
    let whole = match app.backups.status(id) {
        Some(Status::Ready(summary)) => summary.bytes,
        Some(Status::Running(..)) => {
            return Err(Problem::new(StatusCode::CONFLICT, "NOT_READY", "the backup is still being taken"));
        }
        Some(Status::Failed(..)) | None => return Err(Problem::not_found("backup")),
    };
    let (from, limit) = range(request.header("range"), whole).ok_or_else(|| {
        let detail =
            format!("ask for a part by Range: bytes=FROM- with FROM below {whole}; one answer brings {PART_MAX}");
        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE", detail)
    })?;
    let (backups, id) = (Arc::clone(&app.backups), id.to_owned());
    let read = tokio::task::spawn_blocking(move || backups.read(&id, from, limit)).await;
    let read = read.map_err(|_| Problem::internal())?.map_err(|error| {
        tracing::error!(%error, "a backup cannot be read");
        Problem::internal()
    })?;
    let bytes = read.filter(|bytes| !bytes.is_empty()).ok_or_else(|| Problem::not_found("backup"))?;
    let last = from + u64::try_from(bytes.len()).unwrap_or(0) - 1;
    let range = HeaderValue::from_str(&format!("bytes {from}-{last}/{whole}")).map_err(|_| Problem::internal())?;
    let mut response = Response::new(bytes);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_RANGE, range);
    Ok(response)
}

/// From where and how much is asked for; `None` if that is not there.
fn range(header: Option<&str>, whole: u64) -> Option<(u64, u64)> {
    let (from, to) = header.unwrap_or("bytes=0-").strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = from.parse().ok().filter(|from| *from < whole)?;
    let to: u64 = if to.is_empty() { whole } else { to.parse().ok()? };
    let asked = to.checked_sub(from)?.saturating_add(1);
    Some((from, asked.min(PART_MAX)))
}

fn view(status: &Status) -> Backup {
    match status {
        Status::Running(id, progress) => {
            Backup::Running { id: id.clone(), records: progress.records, bytes: progress.bytes }
        }
        Status::Ready(summary) => Backup::Ready {
            id: summary.id.clone(),
            taken_at: summary.taken_at.to_string(),
            records: summary.records,
            bytes: summary.bytes,
            sha256: summary.sha256.clone(),
            master_keys: summary.master_keys.clone(),
        },
        Status::Failed(id, reason) => Backup::Failed { id: id.clone(), reason: reason.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_within_the_file_and_the_limit() {
        for (header, wanted) in [
            (None, Some((0, 101))),
            (Some("bytes=0-"), Some((0, 101))),
            (Some("bytes=40-"), Some((40, 61))),
            (Some("bytes=40-49"), Some((40, 10))),
            (Some("bytes=100-"), None),
            (Some("bytes=50-40"), None),
            (Some("bytes=-5"), None),
            (Some("bytes=a-b"), None),
            (Some("lines=0-"), None),
        ] {
            assert_eq!(range(header, 100), wanted, "{header:?}");
        }
        assert_eq!(range(Some("bytes=0-"), u64::MAX), Some((0, PART_MAX)));
    }
}
