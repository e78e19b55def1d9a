//! What one input has run: commands of one connection after those of another.

use model::ConnectionId;

use super::{Oracle, Outcome, Run, Seen};
use crate::reply::Reply;

/// A command that was run, with the words and the reply kept.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command's words.
    pub words: Vec<Vec<u8>>,
    /// Its reply.
    pub reply: Reply,
}

/// What one connection ran in one go.
#[derive(Clone, Debug)]
pub struct Go {
    /// Whose.
    pub connection: ConnectionId,
    /// What, in order.
    pub commands: Vec<Ran>,
}

/// How each command of a go went.
pub type Went = Vec<(Outcome, Seen)>;

impl Oracle {
    /// Judges what a connection has run in one go.
    ///
    /// # Errors
    /// What is wrong with the first reply that is.
    pub fn judge_go(&mut self, go: &Go, now_ms: u64) -> Result<Went, String> {
        let run = |ran: &Ran| {
            self.judge(Run {
                connection: go.connection,
                words: &ran.words,
                reply: &ran.reply,
                now_ms,
            })
        };
        go.commands.iter().map(run).collect()
    }
}
