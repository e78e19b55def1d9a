//! What has become of a part, and whether it may be sent again.
//!
//! ```text
//!            ┌──────── certain that it was not executed, or it only reads ───────┐
//!            ▼                                                                    │
//!   pending ──► sent ──► told (a reply, or an error that says what is known) ◄────┘ too late, or overtaken
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use model::topology::Address;

use crate::plan::{Part, To};
use crate::reply;

/// What is known of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is to be sent (again).
    Pending,
    /// This is the reply.
    Kept(Vec<u8>),
    /// The client has the reply.
    Relayed,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Fate {
    /// What is known.
    pub outcome: Outcome,
    /// Where it goes next.
    pub to: To,
    /// The next node is to be told that it was sent there by another.
    pub asking: bool,
    /// Why it was not executed when it was last sent.
    pub refusal: Option<String>,
    /// Who has answered last.
    pub by: Option<Arc<Address>>,
}

/// What an error reply means for whoever may send again.
enum Meaning {
    /// Not executed: another node has the slot.
    Elsewhere(Arc<Address>, bool),
    /// Not executed: later perhaps.
    NotNow,
    /// It is the answer.
    Answer,
}

/// Errors of nodes that have not executed the command, and may later, or their successors may.
const NOT_NOW: &[&str] = &[
    "TRYAGAIN",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "ERR max number of clients",
    "ERR the server is shutting down",
];

fn meaning(text: &str, from: &Address) -> Meaning {
    if NOT_NOW.iter().any(|prefix| text.starts_with(prefix)) {
        return Meaning::NotNow;
    }
    let mut words = text.split(' ');
    let asking = match words.next() {
        Some("MOVED") => false,
        Some("ASK") => true,
        _ => return Meaning::Answer,
    };
    let address = words.nth(1).and_then(|address| elsewhere(address, from));
    address.map_or(Meaning::NotNow, |address| {
        Meaning::Elsewhere(Arc::new(address), asking)
    })
}

/// `host:port`; without a host it is that of the node that says so.
fn elsewhere(address: &str, from: &Address) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { &from.host } else { host };
    Some(Address {
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

impl Fate {
    /// Of a part that is to be sent.
    pub fn new(part: &Part) -> Self {
        Self {
            outcome: Outcome::Pending,
            to: part.to.clone(),
            asking: false,
            refusal: None,
            by: None,
        }
    }

    /// Whether it is to be sent.
    pub fn is_pending(&self) -> bool {
        self.outcome == Outcome::Pending
    }

    /// The reply, which is told now.
    pub fn take_kept(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.outcome, Outcome::Relayed) {
            Outcome::Kept(raw) => Some(raw),
            Outcome::Pending | Outcome::Relayed => None,
        }
    }

    /// A node has answered.
    pub fn answered(&mut self, raw: Vec<u8>, part: &Part, from: &Arc<Address>) {
        self.by = Some(Arc::clone(from));
        match reply::error(&raw).map_or(Meaning::Answer, |text| meaning(text, from)) {
            Meaning::Answer => self.outcome = Outcome::Kept(raw),
            Meaning::Elsewhere(address, asking) => {
                self.refused(reply::error(&raw).unwrap_or_default());
                self.to = To::Node(address);
                self.asking = asking;
            }
            Meaning::NotNow => {
                self.refused(reply::error(&raw).unwrap_or_default());
                self.begin_anew(part);
            }
        }
    }

    /// No node was reached, or none has executed it for certain.
    pub fn not_executed(&mut self, why: &str, part: &Part) {
        self.refused(why);
        self.begin_anew(part);
    }

    fn refused(&mut self, why: &str) {
        self.refusal = Some(why.to_owned());
    }

    /// The map knows best where to go.
    fn begin_anew(&mut self, part: &Part) {
        self.to = part.to.clone();
        self.asking = false;
    }

    /// Nobody knows.
    pub fn unknown(&mut self, at: &Address) {
        let text = format!(
            "UNKNOWN the connection to {}:{} broke after this command was sent: it may have been executed, or not",
            at.host, at.port
        );
        self.outcome = Outcome::Kept(reply::error_reply(&text));
    }

    /// It is not sent again: the client is told why it was not executed.
    pub fn give_up(&mut self) {
        let text = match self.refusal.as_deref() {
            // Where to is of no use to who knows no cluster.
            Some(text) if !text.starts_with("MOVED") && !text.starts_with("ASK") => text,
            Some(_) | None => "CLUSTERDOWN no node took this command in time: it was not executed",
        };
        self.outcome = Outcome::Kept(reply::error_reply(text));
    }
}

/// Parts that were overtaken are not sent again: a later one of the same slot has been executed, or may have been, and the
/// order in which a client sends commands about one key is the order in which they are executed.
pub fn give_up_overtaken(parts: &[Part], fates: &mut [Fate]) {
    let mut done: BTreeMap<u16, usize> = BTreeMap::new();
    for (index, (part, fate)) in parts.iter().zip(fates.iter()).enumerate() {
        if let (To::Slot(slot), false) = (&part.to, fate.is_pending()) {
            done.insert(*slot, index);
        }
    }
    for (index, (part, fate)) in parts.iter().zip(fates.iter_mut()).enumerate() {
        let To::Slot(slot) = &part.to else {
            continue;
        };
        if fate.is_pending() && done.get(slot).is_some_and(|last| *last > index) {
            fate.give_up();
        }
    }
}
