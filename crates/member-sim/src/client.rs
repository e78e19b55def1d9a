//! Clients: what they ask next, and what they make of replies.
//!
//! Each has one connection at a time, goes where it is redirected, and takes the outcome for unknown when its patience or its connection
//! ends. What it asks is drawn: counters, sessions written under a version, sessions that are held, numbers under locks, keys that expire, and sessions of its own.

use std::collections::{BTreeMap, VecDeque};

use sim::random::Random;
use sim::reply::Reply;
use sim::workload::encode;

use crate::plan::Plan;
use crate::rare::{Counts, Rare};
use crate::record::{Answer, Ask, Operation, Walk, head_of, value, words};
use replies::{Told, page, told};

mod replies;

/// A hold that took so long to be granted was waited for.
const WAITED_MS: u64 = 60;
/// Clients that write to a session without holding it where others hold it, in parts of ten thousand.
const INTRUDES: u32 = 3_000;
/// Holders that look at other things first, in parts of ten thousand.
const DAWDLES: u32 = 1_000;
/// How often a client tries to make an id again that is gone.
const MOST_RAISES: u32 = 8;
/// Requests that are such a try, in parts of ten thousand.
const RAISES: u32 = 3_000;
/// Longest value of a pair.
const PAIR_BYTES: u64 = 100;
/// Requests about a pair that read it, in parts of ten thousand.
const READS_PAIR: u32 = 6_000;
/// Tries of one request before its client gives it up.
const MOST_TRIES: u32 = 12;
/// A client that is sent the same way again so soon goes in circles: what a node knows of who leads only grows, and leadership passes more slowly.
const CIRCLE_US: u64 = 20_000;

/// A request that is under way, or to be sent again.
#[derive(Clone, Debug)]
struct Asked {
    /// What it is about, and what that is called.
    key: String,
    id: String,
    ask: Ask,
    /// When it was sent first, and last.
    sent_us: u64,
    tried_us: u64,
    tries: u32,
    /// The way it was sent from node to node, since somebody last asked for patience, and when.
    redirected: Vec<(u32, u32, u64)>,
}

impl Asked {
    /// What is wrong with the answer to this.
    fn about(&self, wrong: &str) -> String {
        format!("{} {:?}: {wrong}", self.key, self.ask)
    }

    /// It is sent from one node to another.
    ///
    /// # Errors
    /// The first has sent it there before, on the same way, and so short a time ago that nobody can have led meanwhile.
    fn follow(&mut self, at: Option<u32>, to: u32, now_us: u64) -> Result<(), String> {
        let Some(at) = at else {
            return Ok(());
        };
        // A node that cannot be reached ends the way, and the client begins anew.
        if self.redirected.last().is_some_and(|(_, to, _)| *to != at) {
            self.redirected.clear();
        }
        let is_again = |step: &&(u32, u32, u64)| (step.0, step.1) == (at, to);
        let before = self.redirected.iter().rfind(is_again);
        if before.is_some_and(|(_, _, us)| now_us < us + CIRCLE_US) {
            return Err(format!("is sent in circles: {:?}", self.redirected));
        }
        self.redirected.push((at, to, now_us));
        Ok(())
    }
}

/// A session that one client alone knows, and so knows everything of.
#[derive(Clone, Debug)]
struct Own {
    key: String,
    id: String,
    old: Option<String>,
    user: String,
    version: u64,
}

/// See the module.
pub struct Client {
    number: usize,
    /// It only reads counters, and goes back to where it was not answered.
    is_reader: bool,
    /// Which of its connections it uses.
    pub line: u64,
    /// The node that the connection is with; `None`: there is none.
    pub at: Option<u32>,
    /// Sent and not answered, in order.
    asked: VecDeque<Asked>,
    /// To be sent again.
    again: VecDeque<Asked>,
    received: Vec<u8>,
    /// What follows from what it was told.
    next: VecDeque<(String, String, Ask)>,
    /// The session that nobody else knows.
    own: Option<Own>,
    /// Ids that are gone, to be made again some time.
    gone: VecDeque<(String, String, Ask)>,
    /// Over which of its connections it has taken a lock, and the lock's token.
    lock: Option<(u64, String)>,
    /// Whom each key was found at.
    routes: BTreeMap<String, u32>,
    values: u64,
    /// It is going to look at how long it has waited.
    pub is_looking: bool,
    /// It begins nothing new.
    pub is_stopped: bool,
    random: Random,
}

impl Client {
    /// A client that has asked nothing.
    #[must_use]
    pub fn new(plan: &Plan, number: usize) -> Self {
        Self {
            number,
            is_reader: number < plan.readers,
            line: 0,
            at: None,
            asked: VecDeque::new(),
            again: VecDeque::new(),
            received: Vec::new(),
            next: VecDeque::new(),
            own: None,
            gone: VecDeque::new(),
            lock: None,
            routes: BTreeMap::new(),
            values: 0,
            is_looking: false,
            is_stopped: false,
            random: Random::new(plan.seed ^ (number as u64) << 32, "client"),
        }
    }

    /// Whether it waits for nothing and has nothing to ask.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.again.is_empty() && self.next.is_empty()
    }

    /// Whether it waits for answers.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether it has waited for an answer since then.
    #[must_use]
    pub fn is_impatient(&self, since_us: u64) -> bool {
        self.asked.iter().any(|asked| asked.tried_us <= since_us)
    }

    /// Shall ask this, too.
    pub fn shall_ask(&mut self, key: String, ask: Ask) {
        self.next.push_back((key.clone(), key, ask));
    }

    /// Shall look after the session that it alone knows.
    pub fn shall_read_own(&mut self) {
        if let Some(own) = &self.own {
            let wish = (own.key.clone(), own.id.clone(), Ask::Read);
            self.next.push_back(wish);
        }
    }

    /// How long it thinks before it asks next.
    pub fn think_us(&mut self, longest_us: u64) -> u64 {
        self.random.extreme(100, longest_us)
    }

    /// What it sends now, and to whom: nothing if it waits, or has nothing to ask.
    pub fn send(
        &mut self,
        plan: &Plan,
        now_us: u64,
        counts: &mut Counts,
    ) -> Option<(u32, Vec<u8>)> {
        if !self.asked.is_empty() {
            return None;
        }
        let mut batch = self.choose(plan, now_us, counts);
        let to = match self.routes.get(&batch.front()?.id) {
            Some(to) => *to,
            None => self.random.below(u64::from(plan.nodes)) as u32,
        };
        if matches!(batch.front()?.ask, Ask::Under(_)) && !self.has_lock(to) {
            // Another connection may write whenever nobody has the lock: who has lost this one has to begin again.
            batch.front_mut()?.ask = Ask::Count;
        }
        let requests = batch.iter().map(|a| encode(&words(&a.id, &a.ask)));
        let bytes = requests.collect::<Vec<_>>().concat();
        batch.iter_mut().for_each(|asked| asked.tried_us = now_us);
        self.asked = batch;
        Some((to, bytes))
    }

    /// Whether what it asks of this node goes over the connection that has taken the lock.
    fn has_lock(&self, to: u32) -> bool {
        let taken = self.lock.as_ref();
        self.at == Some(to) && taken.is_some_and(|(line, _)| *line == self.line)
    }

    fn choose(&mut self, plan: &Plan, now_us: u64, counts: &mut Counts) -> VecDeque<Asked> {
        if let Some(again) = self.again.pop_front() {
            return [again].into();
        }
        if self.next.is_empty() && !self.is_stopped {
            self.draw(plan, counts);
        }
        let asked = |(key, id, ask)| Asked {
            key,
            id,
            ask,
            sent_us: now_us,
            tried_us: now_us,
            tries: 0,
            redirected: Vec::new(),
        };
        let counters = self
            .next
            .iter()
            .take_while(|(_, _, ask)| *ask == Ask::Increment);
        let count = counters.count().max(1).min(self.next.len());
        self.next.drain(..count).map(asked).collect()
    }

    fn draw(&mut self, plan: &Plan, counts: &mut Counts) {
        if self.random.chance(RAISES)
            && let Some(raise) = self.gone.pop_front()
        {
            return self.next.push_back(raise);
        }
        let key = self.random.below(plan.keys);
        let kind = match self.is_reader {
            true => 1,
            false => self.kind(plan),
        };
        match kind {
            0 => {
                let count = self.random.between(1, plan.pipeline);
                for _ in 0..count {
                    self.shall_ask(format!("count:{key}"), Ask::Increment);
                }
            }
            1 => self.shall_ask(format!("count:{key}"), Ask::Count),
            2 => {
                // Also what others hold: a write to that is refused.
                let kind = if self.random.chance(INTRUDES) {
                    "held"
                } else {
                    "session"
                };
                self.shall_ask(format!("{kind}:{key}"), Ask::Read);
            }
            3 => {
                let (hold_ms, wait_ms) =
                    (self.random.extreme(1, 1_500), self.random.extreme(0, 600));
                self.shall_ask(format!("held:{key}"), Ask::Open(hold_ms, wait_ms));
            }
            4 => self.use_own(plan, counts),
            5 => {
                let (token, ms) = (self.own("token"), self.random.extreme(1, 1_500));
                self.shall_ask(format!("locked:{{{key}}}"), Ask::Lock(token, ms));
            }
            6 => {
                let value = self.value(plan, counts);
                let (key, ttl_ms) = (self.own("mortal"), self.random.extreme(1, plan.ttl_ms));
                self.shall_ask(key, Ask::Put(value, ttl_ms));
            }
            7 => {
                let (idle_ms, max_ms) =
                    (self.random.extreme(1, 3_000), self.random.extreme(1, 6_000));
                let key = self.own("idle");
                self.shall_ask(key, Ask::Arise(idle_ms, max_ms));
            }
            8 => {
                let key = format!("pair:{{{key}}}");
                let ask = if self.random.chance(READS_PAIR) {
                    Ask::Both
                } else {
                    // Two of them in one command.
                    self.values += 1;
                    let len = self.random.extreme(0, plan.value_bytes.min(PAIR_BYTES));
                    Ask::Pair(value(self.number, self.values, len))
                };
                self.shall_ask(key, ask);
            }
            _ => {
                let key = self.own("flush");
                self.shall_ask(key, Ask::Flush);
            }
        }
    }

    /// Goes on with the session that it alone knows, or begins one.
    fn use_own(&mut self, plan: &Plan, counts: &mut Counts) {
        let value = self.value(plan, counts);
        let Some(own) = &self.own else {
            return self.begin_own(value);
        };
        let (key, mut id, user) = (own.key.clone(), own.id.clone(), own.user.clone());
        let (old, version) = (own.old.clone(), own.version);
        let ask = match self.random.below(16) {
            0..4 => Ask::Read,
            4..7 => Ask::Write(version, value),
            7 | 8 => Ask::Rotate(self.random.extreme(0, 400)),
            9 => Ask::Revoke(user),
            10 => Ask::Destroy,
            11 => Ask::List(user),
            12 => Ask::Keys,
            13 | 14 => Ask::Walk(Walk::default()),
            _ => match old {
                None => Ask::Read,
                Some(old) => {
                    id = old;
                    Ask::ReadOld
                }
            },
        };
        self.next.push_back((key, id, ask));
    }

    fn begin_own(&mut self, value: String) {
        let key = self.own("own");
        let user = format!("user-{key}");
        self.shall_ask(key.clone(), Ask::Bear(value, user.clone()));
        self.own = Some(Own {
            id: key.clone(),
            key,
            old: None,
            user,
            version: 0,
        });
    }

    /// What it knows of the session that it alone knows, after this answer.
    fn follow_own(&mut self, plan: &Plan, asked: &Asked, answer: &Answer) {
        let Some(own) = self.own.as_mut().filter(|own| own.key == asked.key) else {
            return;
        };
        match (&asked.ask, answer) {
            (Ask::Bear(..), Answer::Refused) | (_, Answer::Unknown) => self.own = None,
            (Ask::Destroy, Answer::Ended(_)) | (Ask::Revoke(_), Answer::Ended(1..)) => {
                // Looked after once more, made again if its id is still guarded, and then left alone.
                let (key, id) = (own.key.clone(), own.id.clone());
                let is_guarded = plan.guard_ms > 0 && key == id;
                self.next.push_back((key.clone(), id.clone(), Ask::Read));
                let raise = is_guarded.then_some((key, id, Ask::Raise(plan.guard_ms, MOST_RAISES)));
                self.next.extend(raise);
                self.own = None;
            }
            (Ask::Rotate(_), Answer::Renamed(id)) => {
                let at = self.routes.get(&own.id).copied();
                self.routes.extend(at.map(|at| (id.clone(), at)));
                own.old = Some(std::mem::replace(&mut own.id, id.clone()));
            }
            (
                Ask::Bear(..) | Ask::Read | Ask::Write(..),
                Answer::Version(version) | Answer::State { version, .. },
            ) => own.version = *version,
            _ => {}
        }
    }

    fn kind(&mut self, plan: &Plan) -> usize {
        let all = plan.weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut drawn = self.random.below(all);
        let found = plan.weights.iter().position(|weight| {
            let found = drawn < u64::from(*weight);
            drawn = drawn.saturating_sub(u64::from(*weight));
            found
        });
        found.unwrap_or(0)
    }

    fn own(&mut self, kind: &str) -> String {
        self.values += 1;
        format!("{kind}:{}.{}", self.number, self.values)
    }

    fn value(&mut self, plan: &Plan, counts: &mut Counts) -> String {
        self.values += 1;
        let len = self.random.extreme(0, plan.value_bytes);
        if len as usize > plan.max_value_bytes / 2 {
            counts.note(Rare::LongValue);
        }
        value(self.number, self.values, len)
    }

    /// Bytes have come over its connection. What was answered.
    ///
    /// # Errors
    /// They are no reply, one that answers nothing, or one that no server should give.
    pub fn receive(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        now_us: u64,
        counts: &mut Counts,
    ) -> Result<Vec<Operation>, String> {
        self.received.extend_from_slice(bytes);
        let mut operations = Vec::new();
        while let Some((reply, len)) = Reply::parse(&self.received)? {
            self.received.drain(..len);
            let asked = self.asked.pop_front();
            let mut asked = asked.ok_or_else(|| format!("{reply:?} answers nothing"))?;
            let told = told(&asked.ask, &reply, counts);
            let told = told.map_err(|wrong| asked.about(&wrong))?;
            if let Told::Answer(Answer::Ids(found)) = &told
                && self.walks_on(&mut asked, &reply, found, counts)
            {
                self.again.push_front(asked);
                continue;
            }
            match told {
                Told::Answer(answer) => {
                    if let Some(at) = self.at {
                        self.routes.insert(asked.id.clone(), at);
                    }
                    self.note(&asked, &answer, now_us, counts);
                    self.follow_up(plan, &asked, &answer, counts);
                    operations.push(self.operation(asked, answer, now_us));
                }
                Told::Elsewhere(node) => {
                    counts.note(Rare::Redirected);
                    let followed = asked.follow(self.at, node, now_us);
                    followed.map_err(|wrong| asked.about(&wrong))?;
                    self.routes.insert(asked.id.clone(), node);
                    self.ask_again(asked);
                }
                Told::Later => {
                    self.routes.remove(&asked.id);
                    asked.redirected.clear();
                    self.ask_again(asked);
                }
            }
        }
        Ok(operations)
    }

    /// A walk has come one page further; whether there is another one, which the request asks for then. Nothing else is a walk.
    fn walks_on(
        &self,
        asked: &mut Asked,
        reply: &Reply,
        found: &[String],
        counts: &mut Counts,
    ) -> bool {
        let Ask::Walk(walk) = &mut asked.ask else {
            return false;
        };
        if walk.by.is_some() && walk.by != self.at {
            counts.note(Rare::WalkedOn);
        }
        walk.by = self.at;
        walk.pages += 1;
        walk.found = found.to_vec();
        walk.cursor = page(reply).map(|(cursor, _)| cursor).unwrap_or_default();
        asked.tries = 0;
        asked.redirected.clear();
        walk.cursor != "0"
    }

    fn note(&self, asked: &Asked, answer: &Answer, now_us: u64, counts: &mut Counts) {
        match (&asked.ask, answer) {
            (Ask::Get, Answer::Value(None)) => counts.note(Rare::Expired),
            (Ask::Raise(..), Answer::Refused) => counts.note(Rare::Guarded),
            (Ask::Under(_), Answer::Refused) => counts.note(Rare::LockLost),
            (Ask::Touch(_), Answer::Ended(1)) => counts.note(Rare::Slid),
            (Ask::Touch(_), Answer::Ended(0)) => counts.note(Rare::WentIdle),
            (Ask::Rotate(_), Answer::Renamed(_)) => counts.note(Rare::Rotated),
            (Ask::Destroy, Answer::Ended(1)) => counts.note(Rare::Destroyed),
            (Ask::Revoke(_), Answer::Ended(1)) => counts.note(Rare::Revoked),
            (Ask::List(_), Answer::Ids(ids)) if !ids.is_empty() => counts.note(Rare::Listed),
            (Ask::Open(_, wait_ms), Answer::State { fence, .. })
                if *fence > 0
                    && *wait_ms > WAITED_MS
                    && now_us > asked.tried_us + WAITED_MS * 1_000 =>
            {
                counts.note(Rare::Waited);
            }
            _ => {}
        }
    }

    /// Nothing was done: it is asked again, or given up.
    fn ask_again(&mut self, mut asked: Asked) {
        asked.tries += 1;
        if asked.tries <= MOST_TRIES || self.is_stopped {
            self.again.push_back(asked);
        } else if matches!(asked.ask, Ask::Bear(..)) {
            self.own = None;
        }
    }

    fn operation(&self, asked: Asked, answer: Answer, now_us: u64) -> Operation {
        Operation {
            client: self.number,
            key: asked.key,
            sent_us: asked.sent_us,
            ended_us: now_us,
            ask: short(asked.ask),
            answer,
            is_led: false,
        }
    }

    /// The connection is over, or the client's patience: what was asked has an unknown outcome.
    pub fn give_up(&mut self, now_us: u64, counts: &mut Counts) -> Vec<Operation> {
        self.at = None;
        self.line += 1;
        self.received.clear();
        let asked = std::mem::take(&mut self.asked);
        // A walk goes on wherever it is asked again.
        let is_walk = |asked: &Asked| matches!(asked.ask, Ask::Walk(_));
        let (walks, asked): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_walk);
        for walk in walks {
            self.routes.remove(&walk.id);
            self.ask_again(walk);
        }
        let unknown = asked.into_iter().map(|asked| {
            counts.note(Rare::Unknown);
            if !self.is_reader {
                self.routes.remove(&asked.id);
            }
            if self.own.as_ref().is_some_and(|own| own.key == asked.key) {
                self.own = None;
            }
            // What is read at the end is asked until it is answered.
            if self.is_stopped && matches!(asked.ask, Ask::Count | Ask::Read | Ask::Get) {
                self.again.push_back(asked.clone());
            }
            self.operation(asked, Answer::Unknown, now_us)
        });
        unknown.collect()
    }

    /// What the client does with what it was told.
    fn follow_up(&mut self, plan: &Plan, asked: &Asked, answer: &Answer, counts: &mut Counts) {
        self.follow_own(plan, asked, answer);
        let key = asked.key.clone();
        if let (Ask::Raise(guard_ms, left @ 1..), Answer::Refused) = (&asked.ask, answer) {
            let again = Ask::Raise(*guard_ms, left - 1);
            self.gone.push_back((key.clone(), key.clone(), again));
        }
        if self.is_stopped || key.starts_with("own") {
            return;
        }
        if key.starts_with("idle") {
            return self.look_after(key, asked, answer);
        }
        match (&asked.ask, answer) {
            (Ask::Read | Ask::Open(..), Answer::State { version: 0, .. }) => {
                let value = self.value(plan, counts);
                self.shall_ask(key, Ask::Create(value));
            }
            (Ask::Read, Answer::State { version, .. }) => {
                let value = self.value(plan, counts);
                self.shall_ask(key, Ask::Write(*version, value));
            }
            (Ask::Open(..), Answer::State { version, fence, .. }) if *fence > 0 => {
                self.use_hold(plan, key, *fence, *version, counts);
            }
            (Ask::Put(_, ttl_ms), Answer::Done) => {
                for _ in 0..self.random.between(1, 3 + ttl_ms / 200) {
                    self.shall_ask(key.clone(), Ask::Get);
                }
            }
            (Ask::Lock(token, _), Answer::Done) => {
                counts.note(Rare::Locked);
                self.lock = Some((self.line, token.clone()));
                self.shall_ask(key, Ask::Count);
            }
            (Ask::Count, Answer::Version(version)) if key.starts_with("locked") => {
                if let Some((_, token)) = self.lock.clone() {
                    self.shall_ask(key.clone(), Ask::Under(version + 1));
                    self.shall_ask(key, Ask::Unlock(token));
                }
            }
            (Ask::Unlock(_), _) => self.lock = None,
            // It is the last thing that is asked of it.
            (Ask::Get, Answer::Value(None)) if plan.guard_ms > 0 && self.next.is_empty() => {
                self.shall_ask(key, Ask::Raise(plan.guard_ms, MOST_RAISES));
            }
            _ => {}
        }
    }

    /// Uses a session that it has made now and then, or not.
    fn look_after(&mut self, key: String, asked: &Asked, answer: &Answer) {
        let (Ask::Arise(idle_ms, _), Answer::State { .. }) = (&asked.ask, answer) else {
            return;
        };
        for _ in 0..self.random.between(1, 3 + idle_ms / 100) {
            let ms = self.random.extreme(1, 3_000);
            let ask = match self.random.below(16) {
                0..3 => Ask::Touch(None),
                3 => Ask::Touch(Some(ms)),
                4..6 => Ask::ReadTouch,
                6..8 => Ask::Use,
                8 => Ask::Expire(ms),
                9..13 => Ask::Left,
                _ => Ask::Read,
            };
            self.shall_ask(key.clone(), ask);
        }
    }

    fn use_hold(
        &mut self,
        plan: &Plan,
        key: String,
        fence: u64,
        version: u64,
        counts: &mut Counts,
    ) {
        if self.random.chance(2_000) {
            let ms = self.random.extreme(1, 1_500);
            self.shall_ask(key.clone(), Ask::Renew(fence, ms));
        }
        if self.random.chance(DAWDLES) {
            // Its hold may be over before it comes back to it.
            for _ in 0..self.random.between(1, 30) {
                let other = self.random.below(plan.keys);
                self.shall_ask(format!("count:{other}"), Ask::Count);
            }
        }
        match self.random.below(8) {
            0 => {}
            1 => self.shall_ask(key, Ask::Release(fence)),
            _ => {
                let value = self.value(plan, counts);
                self.shall_ask(key, Ask::Commit(fence, version, value));
            }
        }
    }
}

/// What was asked, with values cut down to what they say of themselves.
fn short(ask: Ask) -> Ask {
    let head = |value: String| head_of(&value).unwrap_or_default().to_owned();
    match ask {
        Ask::Create(value) => Ask::Create(head(value)),
        Ask::Write(version, value) => Ask::Write(version, head(value)),
        Ask::Commit(fence, version, value) => Ask::Commit(fence, version, head(value)),
        Ask::Put(value, ttl_ms) => Ask::Put(head(value), ttl_ms),
        Ask::Bear(value, user) => Ask::Bear(head(value), user),
        Ask::Pair(value) => Ask::Pair(head(value)),
        Ask::Increment
        | Ask::Count
        | Ask::Read
        | Ask::Open(..)
        | Ask::Release(_)
        | Ask::Renew(..)
        | Ask::Get
        | Ask::Rotate(_)
        | Ask::ReadOld
        | Ask::Destroy
        | Ask::Revoke(_)
        | Ask::List(_)
        | Ask::Keys
        | Ask::Raise(..)
        | Ask::Lock(..)
        | Ask::Under(_)
        | Ask::Unlock(_)
        | Ask::Arise(..)
        | Ask::Touch(_)
        | Ask::ReadTouch
        | Ask::Use
        | Ask::Expire(_)
        | Ask::Left
        | Ask::Both
        | Ask::Flush
        | Ask::Walk(_) => ask,
    }
}
