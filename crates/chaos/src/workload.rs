//! What clients do in a run: count, read and write sessions under a version, and hold them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bench::clock::Clock;
use bench::random::Random;

use crate::client::{Client, Outcome};
use crate::record::{Answer, Ask, Operation};
use crate::stop::Stop;
use crate::wire::Reply;

/// How long a hold lasts, and how long its next holder waits in line.
const HOLD_MS: u64 = 1_500;
/// See [`HOLD_MS`].
const WAIT_MS: u64 = 300;
/// Errors that say, for certain, that nothing was done.
const REFUSALS: [&str; 13] = [
    "HELD",
    "FENCED",
    "VERSION",
    "GONE",
    "EXISTS",
    "USERCAP",
    "OOM",
    "OVERLOADED",
    "NOQUORUM",
    "NOREPLICAS",
    "MISCONF",
    "CROSSSLOT",
    "WRONGTYPE",
];

/// The keys of a run.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Counters.
    pub counters: Vec<String>,
    /// Sessions that are written under a version.
    pub sessions: Vec<String>,
    /// Sessions that are held.
    pub held: Vec<String>,
}

/// What all clients share.
pub type Records = Arc<Mutex<Vec<Operation>>>;

/// One client and what it does.
#[derive(Debug)]
pub struct Worker {
    name: String,
    client: Client,
    keys: Keys,
    random: Random,
    records: Records,
    values: u64,
    clock: Clock,
    stop: Stop,
}

impl Worker {
    /// A client that has not asked anything yet. Its name is part of what it writes, so it must be its own.
    #[must_use]
    pub fn new(
        name: String,
        client: Client,
        keys: Keys,
        random: Random,
        records: Records,
        clock: Clock,
        stop: Stop,
    ) -> Self {
        Self {
            name,
            client,
            keys,
            random,
            records,
            values: 0,
            clock,
            stop,
        }
    }

    /// Makes the sessions.
    ///
    /// # Errors
    /// One could not be made.
    pub fn prepare(&mut self) -> anyhow::Result<()> {
        let sessions: Vec<String> = [&self.keys.sessions[..], &self.keys.held[..]].concat();
        for key in sessions {
            let value = self.value();
            let answer = self.ask(&key, Ask::Create { value });
            anyhow::ensure!(
                matches!(answer, Answer::State { .. }),
                "{key} cannot be made: {answer:?}"
            );
        }
        Ok(())
    }

    /// Asks this and that until it is time to end, with a pause of `gap` after each.
    pub fn run(&mut self, gap: Duration) {
        while !self.stop.pause(gap) {
            let kinds = if self.keys.sessions.is_empty() { 1 } else { 3 };
            match self.random.below(kinds) {
                0 => self.count(),
                1 => self.write(),
                _ => self.hold(),
            }
        }
    }

    /// Increments the first counter, again and again with a pause of `gap`, until it is time to end.
    pub fn increment_for_ever(&mut self, gap: Duration) {
        let key = self.keys.counters[0].clone();
        while !self.stop.pause(gap) {
            self.ask(&key, Ask::Increment);
        }
    }

    /// Reads every key once; the keys whose reading was refused or lost.
    pub fn read_all(&mut self) -> Vec<String> {
        let counters = self
            .keys
            .counters
            .clone()
            .into_iter()
            .map(|key| (key, Ask::Count));
        let sessions = [&self.keys.sessions[..], &self.keys.held[..]].concat();
        let sessions = sessions.into_iter().map(|key| (key, Ask::Read));
        let mut unread = Vec::new();
        for (key, ask) in counters.chain(sessions) {
            match self.ask(&key, ask) {
                Answer::Version(_) | Answer::State { .. } | Answer::Done => {}
                Answer::Refused(why) | Answer::Unknown(why) => unread.push(format!("{key}: {why}")),
            }
        }
        unread
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("{}-{}", self.name, self.values)
    }

    fn count(&mut self) {
        let key = drawn(&self.keys.counters, &mut self.random);
        let ask = match self.random.below(3) {
            0 => Ask::Count,
            _ => Ask::Increment,
        };
        self.ask(&key, ask);
    }

    /// Reads a session and writes it, if nobody else has meanwhile.
    fn write(&mut self) {
        let key = drawn(&self.keys.sessions, &mut self.random);
        let Answer::State { version, .. } = self.ask(&key, Ask::Read) else {
            return;
        };
        if version > 0 {
            let value = self.value();
            let expected = version;
            self.ask(&key, Ask::Write { expected, value });
        }
    }

    /// Takes a hold; then commits, gives it back, or lets it run out.
    fn hold(&mut self) {
        let key = drawn(&self.keys.held, &mut self.random);
        let hold_ms = HOLD_MS;
        let Answer::State { version, fence, .. } = self.ask(&key, Ask::Open { hold_ms }) else {
            return;
        };
        if fence == 0 {
            return;
        }
        // Once in a while nearly as long as the hold lasts, or longer: then the commit must be refused.
        let ms = match self.random.below(20) {
            0 => HOLD_MS - 100 + self.random.below(200),
            _ => self.random.below(20),
        };
        self.stop.pause(Duration::from_millis(ms));
        match self.random.below(8) {
            0 => self.ask(&key, Ask::Release { fence }),
            _ => {
                let value = self.value();
                let expected = version;
                self.ask(
                    &key,
                    Ask::Commit {
                        fence,
                        expected,
                        value,
                    },
                )
            }
        };
    }

    /// Asks, and keeps what came of it.
    fn ask(&mut self, key: &str, ask: Ask) -> Answer {
        let sent = self.clock.now_ns();
        let outcome = self.client.call(key, &words(key, &ask));
        let ended = self.clock.now_ns();
        let (answer, by) = match outcome {
            Outcome::Told { reply, by } => (answer(&ask, &reply), by.to_string()),
            Outcome::Refused(why) => (Answer::Refused(why), String::new()),
            Outcome::Unknown(why) => (Answer::Unknown(why), String::new()),
        };
        let operation = Operation {
            client: self.name.clone(),
            key: key.into(),
            sent,
            ended,
            ask,
            answer: answer.clone(),
            by,
        };
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(operation);
        answer
    }
}

fn drawn(keys: &[String], random: &mut Random) -> String {
    keys[random.below(keys.len() as u64) as usize].clone()
}

/// The command.
fn words(key: &str, ask: &Ask) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let number = |number: &u64| number.to_string();
    match ask {
        Ask::Increment => texts(&["INCR", key]),
        Ask::Count => texts(&["GET", key]),
        Ask::Create { value } => texts(&["SESSION.CREATE", "ID", key, "FIELDS", "1", "v", value]),
        Ask::Read => texts(&["SESSION.READ", key]),
        Ask::Write { expected, value } => {
            let expected = number(expected);
            texts(&[
                "SESSION.WRITE",
                key,
                "VERSION",
                &expected,
                "SET",
                "1",
                "v",
                value,
            ])
        }
        Ask::Open { hold_ms } => {
            let (hold, wait) = (number(hold_ms), number(&WAIT_MS));
            texts(&["SESSION.OPEN", key, "HOLD", &hold, "WAIT", &wait])
        }
        Ask::Commit { fence, value, .. } => texts(&[
            "SESSION.COMMIT",
            key,
            &number(fence),
            "SET",
            "1",
            "v",
            value,
        ]),
        Ask::Release { fence } => texts(&["SESSION.RELEASE", key, &number(fence)]),
    }
}

/// What a reply means.
fn answer(ask: &Ask, reply: &Reply) -> Answer {
    if let Reply::Error(text) = reply {
        let word = text.split_whitespace().next().unwrap_or_default();
        return match REFUSALS.contains(&word) {
            true => Answer::Refused(text.clone()),
            false => Answer::Unknown(text.clone()),
        };
    }
    let number = reply.number().and_then(|number| u64::try_from(number).ok());
    match (ask, number) {
        (Ask::Count, None) if *reply == Reply::Bulk(None) => Answer::Version(0),
        (Ask::Increment | Ask::Count | Ask::Write { .. } | Ask::Commit { .. }, Some(version)) => {
            Answer::Version(version)
        }
        (Ask::Create { .. } | Ask::Read | Ask::Open { .. }, _) => state(reply),
        (Ask::Release { .. }, _) => Answer::Done,
        (Ask::Increment | Ask::Count | Ask::Write { .. } | Ask::Commit { .. }, None) => {
            Answer::Unknown(format!("{reply:?}"))
        }
    }
}

/// A session, or that there is none.
fn state(reply: &Reply) -> Answer {
    let number = |key: &str| {
        let number = reply.field(key).and_then(Reply::number);
        number.and_then(|number| u64::try_from(number).ok())
    };
    let value = reply.field("fields").and_then(|fields| fields.field("v"));
    Answer::State {
        version: number("version").unwrap_or(0),
        value: value.and_then(Reply::text),
        fence: number("fence").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(Some(text.into()))
    }

    #[test]
    fn a_session_is_understood() {
        let fields = Reply::Array(vec![bulk("v"), bulk("a-1")]);
        let reply = Reply::Array(vec![
            bulk("id"),
            bulk("s"),
            bulk("version"),
            Reply::Integer(4),
            bulk("fence"),
            Reply::Integer(77),
            bulk("fields"),
            fields,
        ]);
        let expected = Answer::State {
            version: 4,
            value: Some("a-1".into()),
            fence: 77,
        };
        assert_eq!(answer(&Ask::Read, &reply), expected);
        let nothing = Answer::State {
            version: 0,
            value: None,
            fence: 0,
        };
        assert_eq!(answer(&Ask::Read, &Reply::Bulk(None)), nothing);
    }

    #[test]
    fn only_errors_that_say_so_are_certain() {
        let refused = answer(&Ask::Increment, &Reply::Error("FENCED it is over".into()));
        assert!(matches!(refused, Answer::Refused(_)));
        let unknown = answer(&Ask::Increment, &Reply::Error("ERR outcome unknown".into()));
        assert!(matches!(unknown, Answer::Unknown(_)));
        assert_eq!(answer(&Ask::Count, &Reply::Bulk(None)), Answer::Version(0));
    }
}
