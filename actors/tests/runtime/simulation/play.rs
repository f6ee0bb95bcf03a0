//! One play: who does what, when, as the dice say.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::{AcceptError, Manual, ManualError, OrgChange, Settings};
use domain::audit::By;
use domain::consent::{Choice, Covers, Source};
use domain::message::OnUnknown;
use domain::org::{Pause, PausedBy};
use domain::{MessageId, OrgId, State, Status};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use store::MemoryBackend;
use store::verify::verify;

use super::chance::{after, bad_day, settings_by};
use super::copies::Backup;
use super::judge::judge;
use super::meta::Told;
use super::played::Played;
use crate::provider::{Call, Say};
use crate::support::{HOUR, MINUTE, SECOND, START, World, org_id, pass, sender};

const STEPS: usize = 60;
const RECIPIENTS: usize = 8;
/// What a play may take, from its first message to rest. The longest pause by Meta, or row of retries, is far shorter.
const REST_WITHIN: Duration = Duration::from_secs(3 * 24 * 3600);

/// A message that a client has posted.
#[derive(Clone)]
pub(super) struct Posted {
    pub(super) org: OrgId,
    pub(super) body: Value,
    /// Once it is acknowledged.
    pub(super) id: Option<MessageId>,
    /// Whether it was refused for good.
    pub(super) is_blocked: bool,
    pub(super) recipient: usize,
    pub(super) holds: bool,
    pub(super) send_at: Option<Duration>,
    pub(super) expires_at: Option<Duration>,
    /// When it was cancelled, as the client was told; until it is queued again.
    pub(super) cancelled: Option<Duration>,
    /// When people asked for it to be queued again, whatever they were told.
    pub(super) retried: Vec<Duration>,
    /// Whether anybody asked to cancel it.
    pub(super) is_unwanted: bool,
    /// When a copy with it took the original's place.
    pub(super) copied: Vec<Duration>,
}

pub(super) struct Play {
    pub(super) world: World,
    pub(super) dice: StdRng,
    pub(super) orgs: [OrgId; 2],
    pub(super) posted: Vec<Posted>,
    /// Posted to an original that is lost, and not in its backup.
    pub(super) gone: Vec<Posted>,
    pub(super) told: Vec<Told>,
    /// Receipts to come, by when and number.
    pub(super) due: BTreeMap<(Duration, usize), ()>,
    /// Calls whose receipts are planned.
    pub(super) planned: usize,
    /// When the consent of a recipient of an organisation was revoked, as the client was told.
    pub(super) revoked: BTreeMap<(OrgId, usize), Duration>,
    /// The latest.
    pub(super) backup: Option<Backup>,
    /// When a person decided about what an organisation held.
    pub(super) released: Vec<(OrgId, Duration)>,
    pub(super) played: Played,
}

impl Play {
    pub(super) async fn begin(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let settings = settings_by(&mut dice);
        let world = World::seeded(seed, MemoryBackend::new(), settings).await;
        world.provider.by_dice(bad_day(seed));
        let orgs = ["acme", "beta"].map(org_id);
        world.put("acme", json!([sender("1001"), sender("1002")])).await.unwrap();
        world.put("beta", json!([sender("2001")])).await.unwrap();
        Self {
            world,
            dice,
            orgs,
            posted: Vec::new(),
            gone: Vec::new(),
            told: Vec::new(),
            due: BTreeMap::new(),
            planned: 0,
            revoked: BTreeMap::new(),
            backup: None,
            released: Vec::new(),
            played: Played::default(),
        }
    }

    pub(super) async fn play(mut self) -> Played {
        for _ in 0..STEPS {
            self.step().await;
            if self.world.life.is_over() {
                self.crash().await;
            }
        }
        self.come_to_rest().await;
        judge(&self);
        self.told_as_story()
    }

    async fn step(&mut self) {
        match self.dice.random_range(0..44) {
            0..14 => self.post().await,
            14 => self.post_again().await,
            15..18 => self.wish().await,
            18 => self.pause_or_resume().await,
            19 => self.revoke().await,
            20 => self.reconfigure(),
            21..25 => self.world.life.ends_after(self.dice.random_range(1..12)),
            25 => self.crash().await,
            26 => self.restart().await,
            40..42 => self.back_up(),
            42 if self.dice.random_bool(0.5) => self.restore().await,
            43 => {
                let org = self.org();
                self.release(org).await;
            }
            27..36 => {
                let time = after(&mut self.dice, 20 * SECOND);
                self.pass(time).await;
            }
            _ => {
                let time = after(&mut self.dice, 20 * MINUTE);
                self.pass(time).await;
            }
        }
    }

    fn org(&mut self) -> OrgId {
        // Mostly the first.
        let [first, second] = &self.orgs;
        if self.dice.random_bool(0.8) { first.clone() } else { second.clone() }
    }

    /// What a client learns of what it asked: nothing, if the process died over it.
    pub(super) fn heard<T>(&self, answer: T) -> Option<T> {
        (!self.world.life.is_over()).then_some(answer)
    }

    async fn post(&mut self) {
        let (n, org, recipient) = (self.posted.len(), self.org(), self.dice.random_range(0..RECIPIENTS));
        let key = format!("key-{}", n + self.gone.len());
        let now = self.world.elapsed();
        let soon =
            |dice: &mut StdRng, share| dice.random_bool(share).then(|| now + 20 * SECOND + after(dice, 30 * MINUTE));
        let send_at = soon(&mut self.dice, 0.15);
        let expires_at = soon(&mut self.dice, 0.15).filter(|expires| send_at.is_none_or(|send| send < *expires));
        let mut body = json!({"to": format!("+4915100000{recipient:02}"), "idempotencyKey": key});
        let numbers: &[&str] = if org == self.orgs[0] { &["1001", "1002"] } else { &["2001"] };
        body["from"] = json!(numbers.choose(&mut self.dice));
        if let Some(at) = send_at {
            body["sendAt"] = json!(World::time(at));
        }
        if let Some(at) = expires_at {
            body["expiresAt"] = json!(World::time(at));
        }
        body["priority"] = json!(["HIGH", "NORMAL", "LOW"].choose(&mut self.dice));
        let holds = match self.dice.random_range(0..4) {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        };
        if let Some(holds) = holds {
            body["onUnknown"] = json!(if holds { "HOLD" } else { "RESEND" });
        }
        let holds = holds.unwrap_or(self.world.settings.policy.on_unknown == OnUnknown::Hold);
        self.posted.push(Posted {
            org,
            body,
            id: None,
            is_blocked: false,
            recipient,
            holds,
            send_at,
            expires_at,
            cancelled: None,
            retried: Vec::new(),
            is_unwanted: false,
            copied: Vec::new(),
        });
        self.post_nth(n).await;
    }

    /// Asks once.
    async fn post_nth(&mut self, n: usize) {
        let Posted { org, body, .. } = &self.posted[n];
        let answer = self.world.try_post(org, body.clone()).await;
        let Some(answer) = self.heard(answer) else { return };
        let id = match answer {
            Ok(accepted) => accepted.message.id,
            Err(AcceptError::Blocked(_)) => {
                assert!(self.posted[n].id.is_none(), "it was accepted before");
                self.posted[n].is_blocked = true;
                return;
            }
            Err(AcceptError::Unavailable) => return,
            Err(error) => panic!("message {n}: {error:?}"),
        };
        let known = self.posted[n].id.get_or_insert(id);
        assert_eq!(*known, id, "message {n}, asked again, is another");
    }

    async fn post_again(&mut self) {
        let now = self.world.elapsed();
        let is_timely = |n: &usize| self.posted[*n].expires_at.is_none_or(|end| now + SECOND < end);
        let timely: Vec<usize> = (0..self.posted.len()).filter(is_timely).collect();
        if let Some(&n) = timely.choose(&mut self.dice) {
            self.post_nth(n).await;
        }
    }

    async fn wish(&mut self) {
        let known: Vec<usize> = (0..self.posted.len()).filter(|n| self.posted[*n].id.is_some()).collect();
        let Some(&n) = known.choose(&mut self.dice) else { return };
        let (org, id) = (self.posted[n].org.clone(), self.posted[n].id.unwrap());
        let wish = if self.dice.random_bool(0.5) { Manual::Cancel } else { Manual::Retry };
        match wish {
            Manual::Cancel => self.posted[n].is_unwanted = true,
            Manual::Retry => {
                let now = self.world.elapsed();
                self.posted[n].retried.push(now);
            }
        }
        let answer = self.world.outbox.manual(&org, id, wish, By::Admin).await;
        let now = self.world.elapsed();
        match (wish, self.heard(answer)) {
            (Manual::Cancel, Some(Ok(_))) => self.posted[n].cancelled = Some(now),
            (Manual::Retry, Some(Ok(_))) => self.posted[n].cancelled = None,
            (Manual::Retry, Some(Err(ManualError::WrongState | ManualError::Blocked(_)))) => {
                self.posted[n].retried.pop();
            }
            (_, None | Some(Err(ManualError::WrongState | ManualError::Blocked(_) | ManualError::Unavailable))) => {}
            (_, Some(Err(error))) => panic!("message {n}: {error:?}"),
        }
    }

    async fn pause_or_resume(&mut self) {
        let org = self.org();
        let change = if self.dice.random_bool(0.4) {
            OrgChange::Pause(vec![], Pause { reason: "by dice".into(), by: PausedBy::Operator, since: START })
        } else {
            OrgChange::Resume(vec![], PausedBy::Operator)
        };
        let _ = self.world.outbox.change_org(&org, change, By::Admin).await;
    }

    async fn revoke(&mut self) {
        let (org, recipient) = (self.org(), self.dice.random_range(0..RECIPIENTS));
        self.revoke_for(&org, recipient).await;
    }

    pub(super) async fn revoke_for(&mut self, org: &OrgId, recipient: usize) {
        let (name, source) = (format!("+4915100000{recipient:02}"), Source::Api { name: None, evidence: None });
        let said = (Choice::Revoked, Covers::Both);
        let answer = self.world.outbox.consent(org, name, said, source, By::Admin).await;
        if let Some(Ok(_)) = self.heard(answer) {
            let now = self.world.elapsed();
            self.revoked.entry((org.clone(), recipient)).or_insert(now);
        }
    }

    fn reconfigure(&mut self) {
        let mut settings = settings_by(&mut self.dice);
        // What is judged by stays.
        settings.policy = self.world.settings.policy.clone();
        settings.enabled = self.dice.random_bool(0.7);
        self.configure(settings);
    }

    fn configure(&mut self, settings: Settings) {
        self.world.settings = settings.clone();
        self.world.outbox.reconfigure(settings);
    }

    async fn crash(&mut self) {
        self.nobody_crashed();
        self.world.crash().await;
        self.played.crashes += 1;
        self.agrees_with_itself("after a crash");
        self.ask_again().await;
    }

    pub(super) fn agrees_with_itself(&self, when: &str) {
        let report = verify(&self.world.store, &mut |_| ());
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert!(report.is_clean(), "{when}: {findings:#?}");
    }

    /// Who heard nothing asks again soon, and only before its message expires.
    pub(super) async fn ask_again(&mut self) {
        for n in 0..self.posted.len() {
            if self.posted[n].id.is_none() && !self.posted[n].is_blocked {
                self.post_nth(n).await;
            }
        }
    }

    async fn restart(&mut self) {
        self.nobody_crashed();
        self.world.restart().await;
        self.played.restarts += 1;
    }

    /// A broken assertion ends an actor, and nothing else tells of it.
    pub(super) fn nobody_crashed(&self) {
        let mut nodes = vec![self.world.tree()];
        while let Some(node) = nodes.pop() {
            assert_eq!((node.restarts, &node.last_exit), (0, &None), "{} crashed", node.path);
            nodes.extend(node.children);
        }
    }

    /// Lets time pass, in which receipts come; less, if the process dies.
    async fn pass(&mut self, time: Duration) {
        let end = self.world.elapsed() + time;
        while self.world.elapsed() < end && !self.world.life.is_over() {
            self.plan_receipts();
            let now = self.world.elapsed();
            let next = self.due.keys().next().map_or(end, |(at, _)| (*at).clamp(now, end));
            // Calls come meanwhile, and their receipts, and a life ends.
            let step = (next - now).min((time / 10).max(Duration::from_millis(5)));
            pass(step).await;
            self.deliver().await;
        }
    }

    /// Everything gets better, and everybody is heard, until nothing is left to do; first without what is held for a person.
    async fn come_to_rest(&mut self) {
        self.world.life.ends_after(0);
        self.world.provider.always(Say::Accept, Duration::from_millis(50));
        let settings = Settings { enabled: true, ..self.world.settings.clone() };
        self.configure(settings);
        for org in self.orgs.clone() {
            let resume = OrgChange::Resume(vec![], PausedBy::Operator);
            self.world.outbox.change_org(&org, resume, By::Admin).await.unwrap();
        }
        self.rest().await;
        for org in self.orgs.clone() {
            self.release(org).await;
        }
        self.rest().await;
        assert_eq!(self.held(), 0, "held, although all was released");
        self.nobody_crashed();
    }

    async fn rest(&mut self) {
        let began = self.world.elapsed();
        while !self.is_at_rest() {
            assert!(self.world.elapsed() - began < REST_WITHIN, "not at rest: {:?}", self.restless());
            let step = if self.world.elapsed() - began < HOUR / 4 { 30 * SECOND } else { 10 * MINUTE };
            self.pass(step).await;
        }
    }

    fn is_at_rest(&mut self) -> bool {
        self.plan_receipts();
        self.due.is_empty() && self.restless().is_empty()
    }

    fn states(&self) -> impl Iterator<Item = (MessageId, State)> {
        self.posted.iter().filter_map(|posted| Some((posted.id?, self.world.state(&posted.org, posted.id?))))
    }

    fn held(&self) -> usize {
        self.states().filter(|(_, state)| state.is_held_by_restore()).count()
    }

    /// The messages that something is still to happen to, unless a person must let it.
    fn restless(&self) -> Vec<(MessageId, Status)> {
        let restless = self.states().filter(|(_, state)| state.due().is_some() && !state.is_held_by_restore());
        restless.map(|(id, state)| (id, state.phase.status())).collect()
    }

    fn told_as_story(mut self) -> Played {
        let calls = self.world.provider.calls();
        let mut played = std::mem::take(&mut self.played);
        played.plays = 1;
        played.calls = u64::try_from(calls.len()).unwrap();
        for call in &calls {
            let Call { at, from, attempt, say, .. } = call;
            played.story.push(format!("{at:?} {from} {attempt} {say:?}"));
            let before = calls.iter().filter(|other| other.attempt.message == attempt.message && other.is_taken());
            played.resent += u64::from(call.is_taken() && before.take_while(|other| other.at < *at).count() > 0);
        }
        for Posted { org, id, .. } in &self.posted {
            let Some(id) = id else { continue };
            let state = self.world.state(org, *id);
            played.messages += 1;
            *played.statuses.entry(state.phase.status()).or_default() += 1;
            played.story.push(format!("{id} {state:?}"));
        }
        played
    }
}
