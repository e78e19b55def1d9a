//! What clients did and saw, in memory and as a file: one JSON object a line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// `INCR`: the count is the version.
    Increment,
    /// `GET` of a counter.
    Count,
    /// `SESSION.CREATE` with this value.
    Create {
        /// The value.
        value: String,
    },
    /// `SESSION.READ`
    Read,
    /// `SESSION.WRITE`, if the version is this one.
    Write {
        /// The version that it must have.
        expected: u64,
        /// The new value.
        value: String,
    },
    /// `SESSION.OPEN` with a hold.
    Open {
        /// How long the hold lasts.
        hold_ms: u64,
    },
    /// `SESSION.COMMIT`
    Commit {
        /// The fence of the hold.
        fence: u64,
        /// The version that the hold showed.
        expected: u64,
        /// The new value.
        value: String,
    },
    /// `SESSION.RELEASE`
    Release {
        /// The fence of the hold.
        fence: u64,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A write made this version, or a counter has it.
    Version(u64),
    /// What is there; version 0 is nothing.
    State {
        /// Its version.
        version: u64,
        /// Its value.
        value: Option<String>,
        /// The fence, if a hold was granted; else 0.
        fence: u64,
    },
    /// It is done.
    Done,
    /// It was not done, for certain.
    Refused(String),
    /// Nobody can tell.
    Unknown(String),
}

/// One request and its answer. Times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked.
    pub client: String,
    /// About what.
    pub key: String,
    /// When it was sent first.
    pub sent: u64,
    /// When its client knew what came of it.
    pub ended: u64,
    /// What was asked.
    pub ask: Ask,
    /// What came of it.
    pub answer: Answer,
    /// The node that answered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl Operation {
    /// Whether a node answered with what was asked for.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        match self.answer {
            Answer::Version(_) | Answer::State { .. } | Answer::Done => true,
            Answer::Refused(_) | Answer::Unknown(_) => false,
        }
    }
}

/// Something that was done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: u64,
    /// What, in words.
    pub what: String,
}

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Event(Event),
    Operation(Operation),
}

/// Everything that happened in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What was done to the cluster.
    pub events: Vec<Event>,
    /// What clients did, in any order.
    pub operations: Vec<Operation>,
}

impl History {
    /// Writes it to a file.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let events = self.events.iter().cloned().map(Line::Event);
        let operations = self.operations.iter().cloned().map(Line::Operation);
        for line in events.chain(operations) {
            serde_json::to_writer(&mut file, &line)?;
            file.write_all(b"\n")?;
        }
        Ok(file.flush()?)
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// Those of the system, or a line that is none.
    pub fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}", path.display()))?;
        let mut history = Self::default();
        for (number, text) in BufReader::new(file).lines().enumerate() {
            let line = serde_json::from_str(&text?)
                .with_context(|| format!("{}:{}", path.display(), number + 1))?;
            match line {
                Line::Event(event) => history.events.push(event),
                Line::Operation(operation) => history.operations.push(operation),
            }
        }
        Ok(history)
    }
}
