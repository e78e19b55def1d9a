//! Several connections that ran commands within one input: which of them came first?
//!
//! One input can wake several connections (a release hands over, a disk event lets everybody go on). Each of them runs
//! its commands in one go, so the oracle looks for an order of these goes in which all replies are right.

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

/// Orders that are tried before the search is given up: enough for five connections.
const MOST_TRIES: usize = 400;

impl Oracle {
    /// Judges what one input has run, in the given order if that explains the replies, else in any other.
    ///
    /// # Errors
    /// What is wrong in the order that came first.
    pub fn judge_all(&mut self, goes: &[Go], now_ms: u64) -> Result<Vec<Went>, String> {
        if let [go] = goes {
            return self.judge_go(go, now_ms).map(|went| vec![went]);
        }
        let mut tries = 0;
        let mut order = Vec::new();
        let mut first = None;
        match self.search(goes, now_ms, &mut order, &mut tries, &mut first) {
            Some((oracle, mut went)) => {
                *self = oracle;
                went.sort_by_key(|(index, _)| *index);
                Ok(went.into_iter().map(|(_, went)| went).collect())
            }
            None => Err(first.unwrap_or_else(|| "no order explains the replies".into())),
        }
    }

    fn judge_go(&mut self, go: &Go, now_ms: u64) -> Result<Went, String> {
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

    fn search(
        &self,
        goes: &[Go],
        now_ms: u64,
        order: &mut Vec<usize>,
        tries: &mut usize,
        first: &mut Option<String>,
    ) -> Option<(Self, Vec<(usize, Went)>)> {
        if order.len() == goes.len() {
            return Some((self.clone(), Vec::new()));
        }
        for index in 0..goes.len() {
            if order.contains(&index) || *tries >= MOST_TRIES {
                continue;
            }
            *tries += 1;
            let mut oracle = self.clone();
            match oracle.judge_go(&goes[index], now_ms) {
                Ok(went) => {
                    order.push(index);
                    if let Some((oracle, mut all)) =
                        oracle.search(goes, now_ms, order, tries, first)
                    {
                        all.push((index, went));
                        return Some((oracle, all));
                    }
                    order.pop();
                }
                Err(wrong) => {
                    first.get_or_insert(wrong);
                }
            }
        }
        None
    }
}
