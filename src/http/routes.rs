//! Every route, a line each: its method and path, what it is called, who may ask, and what answers.
//!
//! A handler that needs somebody's rights takes a proof of them, which only [`auth`] can make: no line can forget to ask.

mod backups;
mod bulk;
mod consents;
mod health;
mod inbound;
mod keys;
mod messages;
mod orgs;
mod recipients;
mod trail;
pub(super) mod webhook_health;
pub(super) mod webhooks;

use std::future::ready;
use std::pin::Pin;

use KeyScope::{Manage, Read, Send as Post};
use domain::org::KeyScope;

use super::auth::{self, Caller, Operator};
use super::problem::Problem;
use super::request::Request;
use super::{Answer, App, Asker};

type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
type Handler<By> = for<'a> fn(Call<'a, By>) -> Answering<'a>;

/// A request to one route, by somebody who may make it.
pub(super) struct Call<'a, By> {
    app: &'a App,
    request: &'a Request,
    by: By,
    /// What the path has where the route has a name in braces.
    names: [&'a str; 2],
}

/// One line of [`ROUTES`].
pub(super) struct Route {
    method: &'static str,
    /// Segments; one in braces is any.
    path: &'static str,
    /// What the API calls it.
    operation: &'static str,
    /// Whether something may stand behind the `?`. Where nothing may, `dryRun=true` there must not be taken for heeded.
    has_query: bool,
    who: Who,
}

/// Who may ask, and what answers.
enum Who {
    /// Anyone, also while the engine is not running.
    Alive(fn() -> Answer),
    /// Anyone, also while all connections are in use.
    Health(Handler<()>),
    /// Anyone.
    Anyone(Handler<()>),
    /// Whoever shows a signature: the handler looks whether it is right.
    Meta(Handler<()>),
    /// The holder of the admin key.
    Operator(Handler<Operator>),
    /// An organisation whose key has the scope, or the operator for one.
    Org(KeyScope, Handler<Caller>),
}

/// From whom a body is taken.
pub(super) enum Source {
    Nobody,
    Signed,
    Keyed,
}

impl Route {
    const fn new(method: &'static str, path: &'static str, operation: &'static str, who: Who) -> Self {
        Self { method, path, operation, has_query: false, who }
    }

    /// The same with parameters in its query.
    const fn with_query(self) -> Self {
        Self { has_query: true, ..self }
    }

    fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/')
    }

    /// What the path has in place of the names in braces, if it is a path of this route.
    fn names<'a>(&self, path: &[&'a str]) -> Option<[&'a str; 2]> {
        let (mut names, mut segments) = ([""; 2], self.segments());
        let mut free = names.iter_mut();
        for given in path {
            let own = segments.next()?;
            if own.starts_with('{') {
                *free.next()? = given;
            } else if own != *given {
                return None;
            }
        }
        segments.next().is_none().then_some(names)
    }

    /// What the API calls it.
    pub(super) const fn operation(&self) -> &'static str {
        self.operation
    }

    pub(super) const fn has_query(&self) -> bool {
        self.has_query
    }

    /// Whether it tells of the service's health: that is answered whatever else goes on.
    pub(super) const fn is_health(&self) -> bool {
        matches!(self.who, Who::Alive(_) | Who::Health(_))
    }

    /// From whom a body is taken. From whom shows neither a key nor a signature none is.
    pub(super) const fn source(&self) -> Source {
        match self.who {
            Who::Alive(_) | Who::Health(_) | Who::Anyone(_) => Source::Nobody,
            Who::Meta(_) => Source::Signed,
            Who::Operator(_) | Who::Org(..) => Source::Keyed,
        }
    }

    /// The answer while the engine is not running, if it has one.
    pub(super) fn answer_alone(&self) -> Option<Answer> {
        match self.who {
            Who::Alive(handler) => Some(handler()),
            Who::Health(_) | Who::Anyone(_) | Who::Meta(_) | Who::Operator(_) | Who::Org(..) => None,
        }
    }

    /// Asks who it is, waits for a slot, and has it answered.
    pub(super) async fn answer(&self, app: &App, request: &Request) -> Answer {
        let names = self.names(&request.segments()).unwrap_or_default();
        match self.who {
            Who::Alive(handler) => handler(),
            Who::Health(handler) | Who::Anyone(handler) => handler(Call { app, request, by: (), names }).await,
            Who::Meta(handler) => {
                let _slot = app.room.slot(&app.room.acting, Asker::Webhook).await?;
                handler(Call { app, request, by: (), names }).await
            }
            Who::Operator(handler) => {
                let by = auth::operator(app, request)?;
                handler(Call { app, request, by, names }).await
            }
            Who::Org(scope, handler) => {
                let by = auth::org(app, request, scope)?;
                let slots = if request.is_read() { &app.room.reading } else { &app.room.acting };
                let _slot = app.room.slot(slots, Asker::Org(by.org.no)).await?;
                handler(Call { app, request, by, names }).await
            }
        }
    }
}

/// The route of a request: the first whose method and path fit.
pub(super) fn find(request: &Request) -> Result<&'static Route, Problem> {
    let path = request.segments();
    let is_of_path = |route: &&Route| route.names(&path).is_some();
    if let Some(route) = ROUTES.iter().filter(|route| route.method == request.method.as_str()).find(is_of_path) {
        return Ok(route);
    }
    let Some(first) = ROUTES.iter().find(is_of_path) else { return Err(Problem::no_such_path()) };
    // What is named stands before what is any: `messages/retry` is no message.
    let mut methods: Vec<_> =
        ROUTES.iter().filter(|route| route.path == first.path).map(|route| route.method).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    Err(Problem::method_not_allowed(&methods.join(", ")))
}

const fn get(path: &'static str, operation: &'static str, scope: KeyScope, handler: Handler<Caller>) -> Route {
    Route::new("GET", path, operation, Who::Org(scope, handler))
}

const fn post(path: &'static str, operation: &'static str, scope: KeyScope, handler: Handler<Caller>) -> Route {
    Route::new("POST", path, operation, Who::Org(scope, handler))
}

const fn admin(method: &'static str, path: &'static str, operation: &'static str, handler: Handler<Operator>) -> Route {
    Route::new(method, path, operation, Who::Operator(handler))
}

/// An answer that takes no waiting.
fn at_once<'a>(answer: Answer) -> Answering<'a> {
    Box::pin(ready(answer))
}

/// All of them. Where two have the same method, the one with fewer braces comes first.
#[rustfmt::skip]
static ROUTES: &[Route] = &[
    Route::new("GET", "healthz", "getHealth", Who::Alive(health::alive)).with_query(),
    Route::new("GET", "readyz", "getReadiness", Who::Health(|c| at_once(health::ready(c.app)))).with_query(),
    // Webhooks come to `…/inbound`, or to the id of the organisation that alone they may concern.
    Route::new("GET", "api/v1/webhooks/whatsapp/inbound", "verifyWebhook", Who::Anyone(|c| at_once(webhooks::verify(c.app, c.request, None)))).with_query(),
    Route::new("POST", "api/v1/webhooks/whatsapp/inbound", "receiveWebhook", Who::Meta(|c| Box::pin(webhooks::receive(c.app, c.request, None)))).with_query(),
    Route::new("GET", "api/v1/webhooks/whatsapp/{org}", "verifyWebhookOfOrg", Who::Anyone(|c| at_once(webhooks::verify(c.app, c.request, Some(c.names[0]))))).with_query(),
    Route::new("POST", "api/v1/webhooks/whatsapp/{org}", "receiveWebhookOfOrg", Who::Meta(|c| Box::pin(webhooks::receive(c.app, c.request, Some(c.names[0]))))).with_query(),
    post("api/v1/outbound/messages", "sendMessage", Post, |c| Box::pin(messages::post(c.app, c.request, c.by))),
    get("api/v1/outbound/messages", "listMessages", Read, |c| Box::pin(messages::list(c.app, c.request, c.by))).with_query(),
    get("api/v1/outbound/messages/paginated", "pageMessages", Read, |c| Box::pin(messages::pages(c.app, c.request, c.by))).with_query(),
    post("api/v1/outbound/messages/retry", "retryMessages", Post, |c| Box::pin(bulk::retry(c.app, c.request, c.by))),
    post("api/v1/outbound/messages/cancel", "cancelMessages", Post, |c| Box::pin(bulk::cancel(c.app, c.request, c.by))),
    get("api/v1/outbound/messages/{id}", "getMessage", Read, |c| at_once(messages::get(c.app, c.by, c.names[0]))),
    get("api/v1/outbound/messages/{id}/attempts", "listAttempts", Read, |c| at_once(messages::attempts(c.app, c.by, c.names[0]))),
    get("api/v1/outbound/messages/{id}/timeline", "getTimeline", Read, |c| at_once(trail::timeline(c.app, c.by, c.names[0]))),
    get("api/v1/outbound/messages/{id}/explain", "explainMessage", Read, |c| Box::pin(messages::explain(c.app, c.by, c.names[0]))),
    post("api/v1/outbound/messages/{id}/retry", "retryMessage", Post, |c| Box::pin(messages::retry(c.app, c.by, c.names[0]))),
    post("api/v1/outbound/messages/{id}/cancel", "cancelMessage", Post, |c| Box::pin(messages::cancel(c.app, c.by, c.names[0]))),
    get("api/v1/outbound/stats", "getStats", Read, |c| at_once(messages::stats(c.app, c.by))),
    get("api/v1/inbound/messages", "listInbound", Read, |c| Box::pin(inbound::list(c.app, c.request, c.by))).with_query(),
    get("api/v1/consents", "listConsents", Read, |c| Box::pin(consents::list(c.app, c.request, c.by))).with_query(),
    get("api/v1/consents/{recipient}", "getConsent", Read, |c| Box::pin(consents::get(c.app, c.request, c.by, c.names[0]))).with_query(),
    Route::new("PUT", "api/v1/consents/{recipient}", "putConsent", Who::Org(Manage, |c| Box::pin(consents::put(c.app, c.request, c.by, c.names[0])))),
    Route::new("DELETE", "api/v1/recipients/{recipient}", "eraseRecipient", Who::Org(Manage, |c| Box::pin(recipients::erase(c.app, c.by, c.names[0])))),
    get("api/v1/recipients/{recipient}/export", "exportRecipient", Manage, |c| Box::pin(recipients::export(c.app, c.request, c.by, c.names[0]))).with_query(),
    get("api/v1/activities", "listActivities", Read, |c| Box::pin(trail::activities(c.app, c.request, c.by))).with_query(),
    get("api/v1/audit", "listAudit", Read, |c| Box::pin(trail::audit(c.app, c.request, c.by))).with_query(),
    admin("GET", "api/v1/admin/actors", "getActors", |c| at_once(orgs::actors(c.app, c.by, c.request))).with_query(),
    admin("GET", "api/v1/admin/tries", "getTries", |c| at_once(orgs::tries(c.app, c.by))),
    admin("POST", "api/v1/admin/check", "checkSender", |c| Box::pin(orgs::look(c.app, c.by))),
    admin("POST", "api/v1/admin/key/rotate", "rotateAdminKey", |c| Box::pin(keys::rotate_admin(c.app, c.by, c.request))),
    admin("GET", "api/v1/admin/orgs", "listOrgs", |c| at_once(orgs::list(c.app, c.by))),
    admin("GET", "api/v1/admin/orgs/{org}", "getOrg", |c| at_once(orgs::get(c.app, c.by, c.names[0]))),
    admin("PUT", "api/v1/admin/orgs/{org}", "putOrg", |c| Box::pin(orgs::put(c.app, c.by, c.request, c.names[0]))),
    admin("DELETE", "api/v1/admin/orgs/{org}", "deleteOrg", |c| Box::pin(orgs::delete(c.app, c.by, c.names[0]))),
    admin("POST", "api/v1/admin/orgs/{org}/pause", "pauseOrg", |c| Box::pin(orgs::pause(c.app, c.by, c.request, c.names[0]))).with_query(),
    admin("POST", "api/v1/admin/orgs/{org}/resume", "resumeOrg", |c| Box::pin(orgs::resume(c.app, c.by, c.request, c.names[0]))).with_query(),
    admin("POST", "api/v1/admin/orgs/{org}/check", "checkOrg", |c| Box::pin(orgs::check(c.app, c.by, c.request, c.names[0]))).with_query(),
    admin("POST", "api/v1/admin/orgs/{org}/release", "releaseOrg", |c| Box::pin(orgs::release(c.app, c.by, c.request, c.names[0]))),
    admin("POST", "api/v1/admin/orgs/{org}/keys", "createKey", |c| Box::pin(keys::add(c.app, c.by, c.request, c.names[0]))),
    admin("DELETE", "api/v1/admin/orgs/{org}/keys/{key}", "revokeKey", |c| Box::pin(keys::revoke(c.app, c.by, c.names))),
    admin("GET", "api/v1/admin/backups", "listBackups", |c| at_once(backups::list(c.app, c.by))),
    admin("POST", "api/v1/admin/backups", "createBackup", |c| Box::pin(backups::begin(c.app, c.by))),
    admin("GET", "api/v1/admin/backups/{id}", "getBackup", |c| at_once(backups::get(c.app, c.by, c.names[0]))),
    admin("DELETE", "api/v1/admin/backups/{id}", "deleteBackup", |c| at_once(backups::remove(c.app, c.by, c.names[0]))),
    admin("GET", "api/v1/admin/backups/{id}/data", "readBackup", |c| Box::pin(backups::data(c.app, c.by, c.request, c.names[0]))),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_has_a_name_of_its_own_and_none_hides_another() {
        let operations: BTreeSet<_> = ROUTES.iter().map(Route::operation).collect();
        assert_eq!(operations.len(), ROUTES.len());
        for (n, route) in ROUTES.iter().enumerate() {
            let path: Vec<_> = route.segments().collect();
            let first = ROUTES.iter().position(|other| other.method == route.method && other.names(&path).is_some());
            assert_eq!(first, Some(n), "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn names_in_the_path_are_read_in_their_order() {
        let route = ROUTES.iter().find(|route| route.operation == "revokeKey").unwrap();
        let path = |text: &'static str| text.split('/').collect::<Vec<_>>();
        assert_eq!(route.names(&path("api/v1/admin/orgs/acme/keys/k1")), Some(["acme", "k1"]));
        assert_eq!(route.names(&path("api/v1/admin/orgs/acme/keys")), None);
        assert_eq!(route.names(&path("api/v1/admin/orgs/acme/keyz/k1")), None);
    }
}
