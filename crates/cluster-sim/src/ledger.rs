//! What really happened to a shard, as nobody inside can see it: which batches stand where, which are committed, who serves.
//!
//! Checked as it happens: a position means one batch, behind one other, on every copy (I2, I3); what is committed is one line that only grows
//! at its end (I7, I8, I12); only the latest epoch that has served answers reads (I9, I11).

use std::collections::{BTreeMap, BTreeSet};

use model::{Member, Position};

use crate::state::Entry;

/// A batch, and what it stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What it follows.
    pub prev: Position,
    /// What it says.
    pub entry: Entry,
}

/// See the module: one shard's.
#[derive(Debug, Default)]
pub struct Ledger {
    placed: BTreeMap<Position, Placed>,
    /// The committed ones, in order.
    committed: BTreeMap<Position, Entry>,
    /// The latest epoch that has served.
    pub served: u32,
    /// Who has acknowledged anything in which epoch.
    spoke: BTreeSet<(u32, Member)>,
}

impl Ledger {
    /// A copy has this batch at this place.
    ///
    /// # Errors
    /// If another has another there.
    pub fn place(&mut self, at: Position, placed: Placed) -> Result<(), String> {
        match self.placed.insert(at, placed) {
            Some(before) if before != placed => Err(format!(
                "I3 ReplicaPrefix: {at} is {before:?} and {placed:?}"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The end of what is committed.
    #[must_use]
    pub fn end(&self) -> Position {
        self.committed
            .last_key_value()
            .map_or(Position::ZERO, |(at, _)| *at)
    }

    /// A copy says that everything up to here is committed.
    ///
    /// # Errors
    /// If that is not what others have said.
    pub fn commit(&mut self, to: Position) -> Result<(), String> {
        let end = self.end();
        if to <= end {
            let known = to == Position::ZERO || self.committed.contains_key(&to);
            return known
                .then_some(())
                .ok_or_else(|| format!("I7 AckedDurable: {to} is committed beside {end}"));
        }
        let (mut line, mut at) = (Vec::new(), to);
        while at > end {
            let Some(placed) = self.placed.get(&at) else {
                return Err(format!("{at} is committed and stands nowhere"));
            };
            line.push((at, placed.entry));
            at = placed.prev;
        }
        if at != end {
            return Err(format!(
                "I8 PublishSuperset: {to} is committed and does not follow {end}, but {at}"
            ));
        }
        self.committed.extend(line);
        Ok(())
    }

    /// A copy begins to serve. It may be told so late that another epoch has served since: then it will find no quorum and no lease, which
    /// is checked where it would matter.
    pub fn serve(&mut self, epoch: u32) {
        self.served = self.served.max(epoch);
    }

    /// A member acknowledges something in this epoch.
    pub fn speaks(&mut self, epoch: u32, member: Member) {
        self.spoke.insert((epoch, member));
    }

    /// Whether it ever did.
    #[must_use]
    pub fn has_spoken(&self, epoch: u32, member: Member) -> bool {
        self.spoke.contains(&(epoch, member))
    }

    /// Whether this is committed.
    #[must_use]
    pub fn is_committed(&self, at: Position) -> bool {
        self.committed.contains_key(&at)
    }

    /// Everything that is committed, in order.
    #[must_use]
    pub fn committed(&self) -> &BTreeMap<Position, Entry> {
        &self.committed
    }

    /// The line of batches that ends here, in order.
    #[must_use]
    pub fn placed_up_to(&self, end: Position) -> Vec<(Position, Entry)> {
        let (mut line, mut at) = (Vec::new(), end);
        while let Some(placed) = self.placed.get(&at) {
            line.push((at, placed.entry));
            at = placed.prev;
        }
        line.reverse();
        line
    }
}
