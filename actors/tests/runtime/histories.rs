//! Whole histories by the dice, through the public door: bodies of webhooks in which ids, seconds, names and opaque texts collide,
//! of two organisations, between posts, erasures, wishes, changes of retention, crashes and the passing of months. Whatever comes,
//! the store agrees with itself at the end, and a backup of it restores.
//!
//! `SEED=7 cargo test -p actors --test runtime histories` repeats one, looking after each step; `SEEDS=20000` plays that many.

mod bodies;

use std::io::Seek;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use actors::{AcceptError, Arrival, Manual, News, OrgChange};
use domain::audit::{By, Fact};
use domain::consent::{Choice, Covers, Source};
use domain::org::PutOrg;
use domain::{Inbound, MessageId, OrgId, PhoneNumberId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use store::backup::{self, Source as BackupSource};
use store::search::AuditFilter;
use store::verify::verify;
use store::{MemoryBackend, Restored, Store};
use whatsapp::webhook;

use crate::provider::Say;
use crate::simulation::number;
use crate::support::{DAY, SECOND, START, World, copy, org_id, pass, sender, settings, store_over};

/// Played at each run of the tests.
const SEEDS: u64 = 60;
const STEPS: usize = 70;
/// An organisation that is erased from, or sends, comes to its end in this.
const REST: Duration = Duration::from_secs(40);

/// Two spellings of one number among them.
const NUMBERS: [&str; 5] = ["+4915112345678", "+4915187654321", "+525512345678", "+5215512345678", "+14155550123"];
const IDS: [&str; 4] = ["DE.1", "DE.2", "MX.3", "DE.ENT.4"];
const ORGS: [(&str, &[&str]); 2] = [("acme", &["1001", "1002"]), ("beta", &["2001"])];
/// Ids that Meta gives to messages of ours; the first embeds a number.
const WAMIDS: [&str; 5] =
    ["wamid.HBgNNDkxNTExMjM0NTY3OAA=", "wamid.same-1", "wamid.same-2", "wamid.same-3", "wamid.same-4"];

struct History {
    world: World,
    dice: StdRng,
    /// Bodies that came, to come again.
    bodies: Vec<(usize, String)>,
    backup: Option<(MemoryBackend, Duration)>,
    looks_always: bool,
    story: Vec<String>,
}

/// What happened in all histories.
#[derive(Default, Debug)]
struct Counts {
    posts: u64,
    webhooks: u64,
    erasures: u64,
    crashes: u64,
    restores: u64,
    claims: u64,
    purged: u64,
}

impl History {
    async fn begin(seed: u64, looks_always: bool) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut settings = settings();
        settings.policy.stale_after = 30 * SECOND;
        settings.limits.max_parked = *[3, 100].choose(&mut dice).unwrap();
        settings.limits.passivate_org_after = 20 * SECOND;
        settings.passivate_after = 5 * SECOND;
        let world = World::seeded(seed, MemoryBackend::new(), settings).await;
        let mut calls = StdRng::seed_from_u64(!seed);
        world.provider.by_dice(Box::new(move || {
            let say = match calls.random_range(0..12) {
                0..4 => Say::AcceptById(WAMIDS.choose(&mut calls).unwrap()),
                4..6 => Say::Accept,
                6 => Say::AcceptAs(IDS.choose(&mut calls).unwrap()),
                7 => Say::Unknown,
                8 => Say::Taken,
                9 => Say::Refuse(131_026),
                10 => Say::Refuse(131_050),
                _ => Say::Refuse(131_000),
            };
            (say, Duration::from_millis(calls.random_range(0..2500)))
        }));
        let history = Self { world, dice, bodies: Vec::new(), backup: None, looks_always, story: Vec::new() };
        for (org, _) in ORGS {
            history.put(org, json!({})).await;
        }
        history
    }

    async fn put(&self, org: &str, retention: serde_json::Value) {
        let senders = ORGS.iter().find(|(id, _)| *id == org).unwrap().1;
        let senders: Vec<_> = senders.iter().map(|id| sender(id)).collect();
        let body = json!({"senders": senders, "retention": retention, "quotas": {"recipientsPerDay": 3}});
        // Payloads are not kept longer than their messages.
        let Ok(put) = PutOrg::parse(body.as_object().unwrap()) else { return };
        let _ = self.world.outbox.put_org(org_id(org), OrgChange::Put(put), By::Admin).await;
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        from.choose(&mut self.dice).unwrap()
    }

    fn org(&mut self) -> usize {
        usize::from(self.dice.random_bool(0.3))
    }

    fn name(&mut self) -> &'static str {
        let names: &[&'static str] = if self.dice.random_bool(0.6) { &NUMBERS } else { &IDS };
        self.pick::<&'static str>(names)
    }

    async fn play(mut self) -> Counts {
        let mut counts = Counts::default();
        for n in 0..STEPS {
            let what = self.step(&mut counts).await;
            self.story.push(format!("{n}: {what}"));
            if self.looks_always {
                eprintln!("{n} at {:?}: {what}", self.world.elapsed());
                self.agrees();
            }
        }
        pass(REST).await;
        self.agrees();
        self.restores();
        for (org, _) in ORGS {
            let no = self.world.org_no(&org_id(org));
            let trail = self.world.store.audit(no, &AuditFilter::default(), None, 100_000).unwrap().items;
            let is_claim = |fact: &Fact| matches!(fact, Fact::IdTaken { .. });
            counts.claims += trail.iter().filter(|(_, entry)| is_claim(&entry.fact)).count() as u64;
            counts.purged += self.world.store.upkeep(no).unwrap().purged.total();
        }
        counts
    }

    async fn step(&mut self, counts: &mut Counts) -> String {
        match self.dice.random_range(0..40) {
            0..9 => {
                counts.posts += 1;
                self.post().await
            }
            9..24 => {
                counts.webhooks += 1;
                self.webhook().await
            }
            24..27 => {
                counts.erasures += 1;
                self.erase().await
            }
            27 => self.wish().await,
            28 => self.say().await,
            29 => {
                let keep = |dice: &mut StdRng| *["1h", "30h", "3d", "40d", "forever"].choose(dice).unwrap();
                let mut kept = || keep(&mut self.dice);
                let mut retention = serde_json::Map::new();
                for kind in ["messages", "payloads", "inbound", "audit"] {
                    let time = kept();
                    if time != "forever" {
                        retention.insert(kind.into(), json!(time));
                    }
                }
                let org = ORGS[self.org()].0;
                let told = format!("{org} keeps {retention:?}");
                self.put(org, retention.into()).await;
                told
            }
            30 => {
                counts.crashes += 1;
                self.nobody_crashed();
                self.world.crash().await;
                "crash".into()
            }
            31 => {
                self.backup = Some((copy(&self.world.backend), self.world.elapsed()));
                "backup".into()
            }
            32 => match self.backup.take() {
                Some((backup, at)) => {
                    counts.restores += 1;
                    self.nobody_crashed();
                    self.world.restore(&backup, at).await;
                    "restore".into()
                }
                None => "nothing".into(),
            },
            33 => {
                let time = *self.pick(&[Duration::from_secs(3700), DAY, 20 * DAY, 31 * DAY]);
                tokio::time::advance(time).await;
                pass(SECOND).await;
                format!("{time:?} pass")
            }
            _ => {
                let time = Duration::from_millis(self.dice.random_range(0..4000));
                pass(time).await;
                format!("{time:?} pass")
            }
        }
    }

    async fn post(&mut self) -> String {
        let (org, to) = (ORGS[self.org()].0, self.name());
        let mut body = json!({ "to": to, "from": null });
        let soon = World::time(self.world.elapsed() + Duration::from_secs(self.dice.random_range(1..20)));
        if self.dice.random_bool(0.4) {
            body["idempotencyKey"] = json!(format!("key-{}", self.dice.random_range(0..6)));
        }
        if self.dice.random_bool(0.5) {
            body["dossierId"] = json!(format!("d-{}", self.dice.random_range(0..3)));
        }
        if self.dice.random_bool(0.2) {
            body["sendAt"] = json!(soon);
        } else if self.dice.random_bool(0.2) {
            body["expiresAt"] = json!(soon);
        }
        if self.dice.random_bool(0.3) {
            body["category"] = json!("MARKETING");
        }
        body["from"] = json!(ORGS.iter().find(|(id, _)| *id == org).unwrap().1.choose(&mut self.dice).unwrap());
        let answer = self.world.try_post(&org_id(org), body.clone()).await;
        if let Err(error @ (AcceptError::Down(_) | AcceptError::Unavailable)) = &answer {
            panic!("{error:?}");
        }
        format!(
            "post {org} {body}: {:?}",
            answer.map(|accepted| accepted.message.id).map_err(|error| error.to_string())
        )
    }

    async fn webhook(&mut self) -> String {
        let is_again = !self.bodies.is_empty() && self.dice.random_bool(0.15);
        let (org, body) = if is_again {
            self.pick(&self.bodies.clone()).clone()
        } else {
            let org = self.org();
            let body = self.body(org);
            self.bodies.push((org, body.clone()));
            (org, body)
        };
        self.deliver(org, &body).await;
        format!("webhook of {}: {body}", ORGS[org].0)
    }

    /// As the front door does it.
    async fn deliver(&self, org: usize, body: &str) {
        let (org, senders) = ORGS[org];
        let org = org_id(org);
        let record = self.world.outbox.directory().org(&org).unwrap();
        let (clock, now) = (self.world.outbox.clock(), self.world.outbox.clock().now());
        let mut news = News::default();
        for change in webhook::parse(body.as_bytes(), now).unwrap().changes {
            let number: PhoneNumberId = change.phone_number_id.unwrap();
            assert!(senders.contains(&number.as_str()));
            let sender = record.sender(&number).unwrap();
            news.receipts.extend(change.receipts);
            news.preferences.extend(change.preferences);
            news.inbound.extend(change.inbound.into_iter().map(|item| Arrival {
                link: item.link,
                inbound: Inbound {
                    id: clock.new_message_id(now),
                    provider_id: item.id,
                    sender: number.clone(),
                    sender_no: sender.no,
                    from: item.from,
                    user_id: item.user_id,
                    kind: item.kind,
                    opens_window: item.opens_window,
                    payload: item.raw,
                    at: item.at,
                    received_at: now,
                },
            }));
        }
        self.world.outbox.webhook(&org, news).await.unwrap();
    }

    async fn erase(&mut self) -> String {
        let (org, name) = (ORGS[self.org()].0, self.name());
        let record = self.world.outbox.directory().org(&org_id(org)).unwrap();
        // A send that is under way holds it up; it goes on by itself.
        let within = Duration::from_millis(*self.pick(&[1, 5000]));
        let erased = tokio::time::timeout(within, self.world.outbox.erase(&record, name.into(), By::Admin)).await;
        format!("erase {name} of {org}: {erased:?}")
    }

    async fn wish(&mut self) -> String {
        let org = org_id(ORGS[self.org()].0);
        let Some(message) = self.message(&org) else { return "no wish".into() };
        let wish = *self.pick(&[Manual::Cancel, Manual::Retry]);
        let answer = self.world.outbox.manual(&org, message, wish, By::Admin).await;
        format!("{wish:?} {message}: {}", answer.is_ok())
    }

    /// Any message of an organisation.
    fn message(&mut self, org: &OrgId) -> Option<MessageId> {
        let all = self.world.store.oldest_messages(self.world.org_no(org), None, 1000).unwrap();
        all.choose(&mut self.dice).map(|(id, _)| *id)
    }

    async fn say(&mut self) -> String {
        let (org, name) = (ORGS[self.org()].0, self.name());
        let choice = *self.pick(&[Choice::Granted, Choice::Revoked]);
        let covers = *self.pick(&[Covers::Both, Covers::Marketing]);
        let source = Source::Api { name: None, evidence: None };
        self.world.outbox.consent(&org_id(org), name.into(), (choice, covers), source, By::Admin).await.unwrap();
        format!("{name} of {org}: {choice:?}")
    }

    fn nobody_crashed(&self) {
        let mut nodes = vec![self.world.tree()];
        while let Some(node) = nodes.pop() {
            assert_eq!((node.restarts, &node.last_exit), (0, &None), "{} crashed", node.path);
            nodes.extend(node.children);
        }
    }

    fn agrees(&self) {
        self.nobody_crashed();
        is_whole(&self.world.store, "the store", &self.story);
    }

    /// A backup of it is as whole, and so is what is restored from it.
    fn restores(&self) {
        let mut file = tempfile::tempfile().unwrap();
        let now = || START.after(self.world.elapsed());
        let source = BackupSource { store: &self.world.store, committer: None, id: "b", now: &now };
        let taken = backup::take(&source, &file, &mut |_| Ok(())).unwrap();
        file.rewind().unwrap();
        let backend = MemoryBackend::new();
        backup::read(&file, &mut |writes| Ok(store::Backend::apply(&backend, writes)?)).unwrap();
        let copied = store_over(backend);
        is_whole(&copied, "the backup", &self.story);
        let mark = Restored { backup: taken.id, taken_at: taken.taken_at, at: now(), held: 0 };
        copied.hold_unfinished(&mark, &self.world.settings.policy, &mut |_| ()).unwrap();
        is_whole(&copied, "what is restored", &self.story);
    }
}

fn is_whole(store: &Store, what: &str, story: &[String]) {
    let report = verify(store, &mut |_| ());
    let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{what}: {findings:#?}\n{}", story.join("\n"));
}

fn play(seed: u64, looks_always: bool) -> Counts {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let history = async { History::begin(seed, looks_always).await.play().await };
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(history))).unwrap_or_else(|panic| {
        eprintln!("to repeat it: SEED={seed} cargo test -p actors --test runtime histories");
        resume_unwind(panic)
    })
}

#[test]
fn whatever_comes_from_outside_the_store_agrees_with_itself_and_its_backup_restores() {
    let only = number("SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let mut all = Counts::default();
    for seed in seeds {
        let Counts { posts, webhooks, erasures, crashes, restores, claims, purged } = play(seed, only.is_some());
        all.posts += posts;
        all.webhooks += webhooks;
        all.erasures += erasures;
        all.crashes += crashes;
        all.restores += restores;
        all.claims += claims;
        all.purged += purged;
    }
    println!("{all:?}");
    // It would prove nothing if nothing happened.
    if is_whole {
        let Counts { posts, webhooks, erasures, crashes, restores, claims, purged } = all;
        assert!([posts, webhooks, erasures, crashes, restores, claims, purged].into_iter().all(|count| count > 0));
    }
}
