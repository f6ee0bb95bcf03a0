//! Who may have signed a body: found by a look at its bytes that takes nothing apart and keeps nothing but the senders of ours
//! that they name.
//!
//! A stranger's body costs this look and a few hashes of it, whatever it holds. Only what proved itself is parsed.

use std::hint::black_box;
use std::sync::Arc;

use actors::Directory;
use bytes::Bytes;
use domain::PhoneNumberId;
use domain::org::{Org, Secret, Sender};
use memchr::memmem;
use tokio::sync::Semaphore;
use whatsapp::signature;

use super::Meant;
use crate::http::App;
use crate::http::problem::Problem;

/// So many bytes may be hashed to find the secret that signed a body: a large one is tried with few …
const HASHED_MAX: usize = 6 * 1024 * 1024;
/// … yet with no fewer than this: an app has two while its secret is being exchanged. Where there are not so many to try, it is
/// hashed as often all the same, so that the time does not tell what there is.
const TRIES_MIN: usize = 2;
/// … and a small one with no more.
const TRIES_MAX: usize = 100;
/// Places in a body that are looked at for an id. One webhook tells of a few numbers, however much it tells.
const LOOKS_MAX: usize = 1000;
/// Senders of ours that are gathered.
const SENDERS_MAX: usize = 16;

/// Work on a larger body is not done by the threads that answer.
const LARGE: usize = 64 * 1024;
/// So much of it is done at once.
static TURNS: Semaphore = Semaphore::const_new(2);

/// What a body says of whom it concerns, before anything of it is believed.
pub(super) struct Claim {
    /// The senders of ours that it names, as far as was looked.
    pub(super) senders: Vec<(Arc<Org>, PhoneNumberId)>,
    /// Those that may have signed it, the likeliest first, each once.
    secrets: Vec<Secret>,
}

/// What a body claims, and the app secret that it is signed with, if that is one of ours.
pub(super) async fn seek(
    app: &App,
    meant: &Meant,
    body: &Bytes,
    signature: &str,
) -> Result<(Claim, Option<Secret>), Problem> {
    let (outbox, meant, body, signature) = (app.outbox.clone(), meant.clone(), body.clone(), signature.to_owned());
    aside(body.len(), move || {
        let claim = Claim::of(outbox.directory(), &meant, &body);
        let secret = claim.signed_with(&body, &signature);
        (claim, secret)
    })
    .await
}

/// Works on a body of this size, where that holds up nobody.
pub(super) async fn aside<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= LARGE {
        return Ok(work());
    }
    let turn = TURNS.acquire().await.map_err(|_| Problem::internal())?;
    let work = move || {
        // It ends with the work, also where nobody waits for that any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())
}

impl Claim {
    fn of(directory: &Directory, meant: &Meant, body: &[u8]) -> Self {
        let max = (HASHED_MAX / body.len().max(1)).clamp(TRIES_MIN, TRIES_MAX);
        let mut claim = Self { senders: Vec::new(), secrets: Vec::new() };
        let numbers = tokens_after(body, b"\"phone_number_id\"").filter_map(|id| id.parse::<PhoneNumberId>().ok());
        for number in numbers {
            let Some(org) = directory.owner(&number).filter(|org| meant.includes(&org.id)) else { continue };
            let Some(sender) = org.sender(&number) else { continue };
            if !claim.senders.iter().any(|(_, known)| *known == number) {
                claim.may_be(sender.app_secrets(), max);
                claim.senders.push((Arc::clone(&org), number));
            }
            if claim.senders.len() == SENDERS_MAX {
                break;
            }
        }
        if claim.senders.is_empty() {
            claim.of_nobody_named(directory, meant, body, max);
        }
        claim
    }

    /// It names no sender of ours, and is still Meta's if an app of ours signed it: news of an account's templates, of a number
    /// that is no longer ours.
    fn of_nobody_named(&mut self, directory: &Directory, meant: &Meant, body: &[u8], max: usize) {
        if !meant.is_all() {
            let org = meant.org(directory);
            return self.may_be(org.iter().flat_map(|org| &org.senders).flat_map(Sender::app_secrets), max);
        }
        for account in tokens_after(body, b"\"id\"") {
            for org in directory.of_account(account) {
                let senders = org.senders.iter().filter(|sender| sender.waba_id.as_deref() == Some(account));
                self.may_be(senders.flat_map(Sender::app_secrets), max);
            }
        }
        self.may_be(directory.app_secrets().iter(), max);
    }

    fn may_be<'a>(&mut self, secrets: impl Iterator<Item = &'a Secret>, max: usize) {
        for secret in secrets {
            if self.secrets.len() >= max {
                return;
            }
            if !self.secrets.contains(secret) {
                self.secrets.push(secret.clone());
            }
        }
    }

    fn signed_with(&self, body: &[u8], header: &str) -> Option<Secret> {
        let found = self.secrets.iter().find(|secret| signature::verify(secret, body, header));
        if found.is_none()
            && let Ok(nobodys) = "nobodys".parse::<Secret>()
        {
            for _ in self.secrets.len()..TRIES_MIN {
                black_box(signature::sign(&nobodys, body));
            }
        }
        found.cloned()
    }
}

/// The ids that stand behind `key` in a body of JSON, by the look of its bytes.
fn tokens_after<'a>(body: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = &'a str> {
    let mut last = "";
    memmem::find_iter(body, key).take(LOOKS_MAX).filter_map(move |at| {
        let token = token(body.get(at + key.len()..)?)?;
        // A batch mostly tells of one number, again and again.
        let is_new = token != last;
        last = token;
        is_new.then_some(token)
    })
}

/// The string or number that a member of an object has, if it can be an id.
fn token(rest: &[u8]) -> Option<&str> {
    let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    // One more than an id may have, so that a longer text is not taken for one.
    let length = value.iter().take(65).take_while(|byte| is_part(byte)).count();
    std::str::from_utf8(value.get(..length)?).ok().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_however_the_json_is_spaced_and_whatever_else_there_is() {
        let body = br#"{"phone_number_id":"106","x":{"phone_number_id" :
            107, "phone_number_id":{}, "phone_number_id": "", "phone_number_id":"106\u0031", "phone_number_id""#;
        let found: Vec<_> = tokens_after(body, b"\"phone_number_id\"").collect();
        assert_eq!(found, ["106", "107", "106"]);
        assert_eq!(tokens_after(&[b'['; 100], b"\"id\"").count(), 0);
        assert_eq!(tokens_after(br#""id":1,"#.repeat(5000).as_slice(), b"\"id\"").count(), 1);
        let many: String = (0..5000).map(|n| format!("\"id\":{n},")).collect();
        assert_eq!(tokens_after(many.as_bytes(), b"\"id\"").count(), LOOKS_MAX);
    }
}
