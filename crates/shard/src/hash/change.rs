//! Changing a hash: what its entries become.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use model::time::Deadline;
use model::{Db, Now, Version};
use store::{Refused, Space};

use super::directory::{ChunkKey, ChunkRef, Directory};
use super::pairs::{self, Pairs};
use super::{MAX_PACKED_BYTES, WrongType, field_hash};
use crate::batch::{Batch, Header};
use crate::record::{CHUNK, Type};
use crate::writes::{Change, Place, plan_record};
use crate::{Record, Shard};

/// One field's change. Changes are made in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldChange<'a> {
    /// The field gets this value.
    Set(&'a [u8], &'a [u8]),
    /// There is no such field any more.
    Remove(&'a [u8]),
}

impl<'a> FieldChange<'a> {
    fn field(&self) -> &'a [u8] {
        match self {
            Self::Set(field, _) | Self::Remove(field) => field,
        }
    }
}

/// What changes have done to a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Fields that were not there before.
    pub added: usize,
    /// Fields that are no longer there.
    pub removed: usize,
    /// Fields that are there now.
    pub len: usize,
}

/// What a hash's root becomes. Its chunks are in the batch already.
pub(crate) struct Planned {
    /// Packed or split.
    pub(crate) r#type: Type,
    /// The root's body, without meta.
    pub(crate) body: Vec<u8>,
    /// What the changes did.
    pub(crate) changed: Changed,
}

/// Why a hash was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// The key holds something else.
    WrongType,
    /// The store refused the batch.
    Refused(Refused),
}

impl From<Refused> for Unchanged {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WrongType> for Unchanged {
    fn from(WrongType: WrongType) -> Self {
        Self::WrongType
    }
}

impl Shard {
    /// Changes fields of a hash, which is made if there is none. A hash without fields ceases to be, unless it is
    /// a session: that is there until it is destroyed.
    ///
    /// # Errors
    /// [`Unchanged`], and nothing has happened.
    pub fn change_hash(
        &mut self,
        now: Now,
        db: Db,
        key: &[u8],
        changes: &[FieldChange<'_>],
    ) -> Result<Changed, Unchanged> {
        // What a change depends on was read, even if it changes nothing.
        let _ = self.record(now, db, key);
        let old = self.peek(now, db, key);
        let deadline = old.map_or(Deadline::NEVER, |old| old.deadline);
        let (place, mut batch) = (Place { db, key }, Batch::default());
        let planned = self.plan_hash(now, place, deadline, changes, &mut batch)?;
        let changed = planned.changed;
        let sets = changes.iter().any(|c| matches!(c, FieldChange::Set(..)));
        if !sets && changed.removed == 0 {
            return Ok(changed);
        }
        let meta = old.and_then(|old| old.meta);
        if changed.len == 0 && meta.is_none() {
            // The plan has removed the chunks.
            batch.delete(db, Space::Data, key);
        } else {
            let version = old.map_or(Version::FIRST, |old| old.version.next());
            let change = Change {
                r#type: planned.r#type,
                deadline,
                body: &[&planned.body],
            };
            plan_record(place, change, version, meta, &mut batch);
        }
        self.apply_batch(now, &batch)?;
        Ok(changed)
    }

    /// Works out what changes make of the hash at a place, or of a new one. Adds what becomes of its chunks to the
    /// batch (they get `deadline`); the root is left to the caller, who may add meta to it.
    pub(crate) fn plan_hash(
        &self,
        now: Now,
        place: Place<'_>,
        deadline: Deadline,
        changes: &[FieldChange<'_>],
        batch: &mut Batch,
    ) -> Result<Planned, WrongType> {
        let old = self.peek(now, place.db, place.key);
        let row = match old {
            None => &[][..],
            Some(Record { r#type, body, .. }) => match r#type {
                Type::String => return Err(WrongType),
                Type::Hash => pairs::varint(body).1,
                Type::BigHash => {
                    let deadline_moves = old.is_some_and(|old| old.deadline != deadline);
                    let mut plan = BigPlan::new(self, now, place, Directory::decode(body));
                    return Ok(plan.run(deadline, deadline_moves, changes, batch));
                }
            },
        };
        let mut fields = Fields::of(Pairs::of(row), changes.len());
        fields.apply(changes);
        let changed = fields.changed();
        if fields.bytes() <= MAX_PACKED_BYTES {
            return Ok(packed(&fields.into_pairs(), changed));
        }
        let mut plan = BigPlan::new(self, now, place, Directory::default());
        plan.pieces.push(Piece::rewritten(0, None, &fields));
        Ok(plan.finish(deadline, false, changed, batch))
    }
}

fn packed(all: &[(&[u8], &[u8])], changed: Changed) -> Planned {
    let mut body = Vec::new();
    pairs::push_varint(&mut body, all.len());
    for (field, value) in all {
        pairs::push(&mut body, field, value);
    }
    Planned {
        r#type: Type::Hash,
        body,
        changed,
    }
}

/// The fields of a packed hash or of one chunk while they are changed, in their order.
struct Fields<'a> {
    pairs: Vec<Option<(&'a [u8], &'a [u8])>>,
    /// Where each field stands; only when there are many changes, or each of them would search them all.
    places: Option<BTreeMap<&'a [u8], usize>>,
    added: usize,
    removed: usize,
}

/// Changes up to this number search one after the other.
const FEW: usize = 8;

impl<'a> Fields<'a> {
    fn of(row: Pairs<'a>, changes: usize) -> Self {
        let pairs: Vec<_> = row.map(Some).collect();
        let places = (changes > FEW).then(|| {
            let names = pairs.iter().flatten().map(|pair| pair.0);
            names.zip(0..).collect()
        });
        Self {
            pairs,
            places,
            added: 0,
            removed: 0,
        }
    }

    fn place(&self, field: &[u8]) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(field).copied(),
            None => self
                .pairs
                .iter()
                .position(|pair| pair.is_some_and(|(name, _)| name == field)),
        }
    }

    fn apply(&mut self, changes: &[FieldChange<'a>]) {
        for change in changes {
            self.apply_one(*change);
        }
    }

    fn apply_one(&mut self, change: FieldChange<'a>) {
        match (self.place(change.field()), change) {
            (Some(place), FieldChange::Set(field, value)) => {
                self.pairs[place] = Some((field, value));
            }
            (None, FieldChange::Set(field, value)) => {
                if let Some(places) = &mut self.places {
                    places.insert(field, self.pairs.len());
                }
                self.pairs.push(Some((field, value)));
                self.added += 1;
            }
            (Some(place), FieldChange::Remove(field)) => {
                if let Some(places) = &mut self.places {
                    places.remove(field);
                }
                self.pairs[place] = None;
                self.removed += 1;
            }
            (None, FieldChange::Remove(_)) => {}
        }
    }

    fn bytes(&self) -> usize {
        let sizes = self.pairs.iter().flatten();
        sizes.map(|(field, value)| pairs::size(field, value)).sum()
    }

    fn changed(&self) -> Changed {
        Changed {
            added: self.added,
            removed: self.removed,
            len: self.pairs.iter().flatten().count(),
        }
    }

    fn into_pairs(self) -> Vec<(&'a [u8], &'a [u8])> {
        self.pairs.into_iter().flatten().collect()
    }
}

/// A part of a big hash while it is changed.
enum Piece<'a> {
    /// A chunk that stays as it is.
    Kept(ChunkRef),
    /// Fields, ascending by hash, that become one or more chunks. The first takes over `number`.
    Rewritten {
        start: u32,
        number: Option<u32>,
        fields: Vec<(u32, &'a [u8], &'a [u8])>,
    },
}

impl<'a> Piece<'a> {
    fn rewritten(start: u32, number: Option<u32>, fields: &Fields<'a>) -> Self {
        let hashed = fields.pairs.iter().flatten();
        let mut fields: Vec<_> = hashed
            .map(|&(field, value)| (field_hash(field), field, value))
            .collect();
        fields.sort_by_key(|(hash, ..)| *hash);
        Self::Rewritten {
            start,
            number,
            fields,
        }
    }

    fn set_start(&mut self, to: u32) {
        match self {
            Self::Kept(chunk) => chunk.start = to,
            Self::Rewritten { start, .. } => *start = to,
        }
    }
}

fn row_bytes(fields: &[(u32, &[u8], &[u8])]) -> usize {
    let sizes = fields.iter();
    sizes
        .map(|(_, field, value)| pairs::size(field, value))
        .sum()
}

/// Changes a big hash, or makes one: first the chunks that are touched become [`Piece::Rewritten`], then small
/// ones join their neighbours, then large ones are split and everything is added to the batch.
struct BigPlan<'a> {
    shard: &'a Shard,
    now: Now,
    place: Place<'a>,
    chunk_key: ChunkKey,
    old: Directory,
    next: u32,
    pieces: Vec<Piece<'a>>,
    /// Chunks that are no more.
    dropped: Vec<u32>,
    chunk_limit: usize,
}

impl<'a> BigPlan<'a> {
    fn new(shard: &'a Shard, now: Now, place: Place<'a>, old: Directory) -> Self {
        Self {
            shard,
            now,
            place,
            chunk_key: ChunkKey::of(place.key),
            next: old.next,
            pieces: Vec::new(),
            dropped: Vec::new(),
            // A directory entry has twelve bytes: chunks as large as the directory make a change cheapest.
            chunk_limit: MAX_PACKED_BYTES.max(12 * old.chunks().len()),
            old,
        }
    }

    fn row(&mut self, number: u32) -> Pairs<'a> {
        let key = self.chunk_key.number(number);
        Pairs::of(self.shard.chunk(self.now, self.place.db, key))
    }

    fn run(
        &mut self,
        deadline: Deadline,
        deadline_moves: bool,
        changes: &[FieldChange<'a>],
        batch: &mut Batch,
    ) -> Planned {
        let mut changed = self.rewrite(changes);
        changed.len = self.old.count() + changed.added - changed.removed;
        self.join();
        self.finish(deadline, deadline_moves, changed, batch)
    }

    /// Applies the changes to the chunks that they fall into.
    fn rewrite(&mut self, changes: &[FieldChange<'a>]) -> Changed {
        let mut placed: Vec<(usize, FieldChange<'a>)> = changes
            .iter()
            .map(|change| (self.old.index_of(field_hash(change.field())), *change))
            .collect();
        // Stable: changes of one field stay in their order.
        placed.sort_by_key(|(index, _)| *index);
        let (mut changed, mut rest) = (Changed::default(), &placed[..]);
        for (index, chunk) in self.old.chunks().to_vec().into_iter().enumerate() {
            let here = rest.partition_point(|(i, _)| *i == index);
            let (mine, others) = rest.split_at(here);
            rest = others;
            let mut fields = match mine.len() {
                0 => None,
                n => Some(Fields::of(self.row(chunk.number), n)),
            };
            for (_, change) in mine {
                if let Some(fields) = &mut fields {
                    fields.apply_one(*change);
                }
            }
            let sets = mine.iter().any(|(_, c)| matches!(c, FieldChange::Set(..)));
            self.pieces.push(match fields {
                Some(fields) if sets || fields.removed > 0 => {
                    changed.added += fields.added;
                    changed.removed += fields.removed;
                    Piece::rewritten(chunk.start, Some(chunk.number), &fields)
                }
                Some(_) | None => Piece::Kept(chunk),
            });
        }
        changed
    }

    /// Lets pieces that have become small join a neighbour. Only rewritten pieces have changed, so only they are
    /// looked at.
    fn join(&mut self) {
        let mut index = 0;
        while index < self.pieces.len() {
            let small = match &self.pieces[index] {
                Piece::Kept(_) => false,
                Piece::Rewritten { fields, .. } => row_bytes(fields) < self.chunk_limit / 4,
            };
            let joined = small && (self.join_pair(index) || index > 0 && self.join_pair(index - 1))
                || self.drop_empty(index);
            if joined {
                index = index.saturating_sub(1);
            } else {
                index += 1;
            }
        }
    }

    /// Makes one of a piece and the next one, if that is not too large.
    fn join_pair(&mut self, index: usize) -> bool {
        if index + 1 >= self.pieces.len() {
            return false;
        }
        let sizes = [index, index + 1].map(|i| self.piece_bytes(i));
        if sizes[0] + sizes[1] > self.chunk_limit / 2 {
            return false;
        }
        let second = self.pieces.remove(index + 1);
        let (_, number, more) = self.opened(second);
        self.dropped.extend(number);
        let first = core::mem::replace(&mut self.pieces[index], Piece::Kept(self.old.chunks()[0]));
        let (start, number, mut fields) = self.opened(first);
        fields.extend(more);
        self.pieces[index] = Piece::Rewritten {
            start,
            number,
            fields,
        };
        true
    }

    /// Removes a piece without fields. What is before it, or else what is after it, covers its hashes.
    fn drop_empty(&mut self, index: usize) -> bool {
        let Piece::Rewritten { number, fields, .. } = &self.pieces[index] else {
            return false;
        };
        if !fields.is_empty() || self.pieces.len() == 1 {
            return false;
        }
        self.dropped.extend(*number);
        self.pieces.remove(index);
        self.pieces[0].set_start(0);
        true
    }

    fn piece_bytes(&mut self, index: usize) -> usize {
        match &self.pieces[index] {
            Piece::Rewritten { fields, .. } => row_bytes(fields),
            Piece::Kept(chunk) => {
                let key = self.chunk_key.number(chunk.number);
                self.shard.chunk(self.now, self.place.db, key).len()
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn opened(&mut self, piece: Piece<'a>) -> (u32, Option<u32>, Vec<(u32, &'a [u8], &'a [u8])>) {
        match piece {
            Piece::Rewritten {
                start,
                number,
                fields,
            } => (start, number, fields),
            Piece::Kept(chunk) => {
                let row = self.row(chunk.number);
                let fields = row.map(|(field, value)| (field_hash(field), field, value));
                (chunk.start, Some(chunk.number), fields.collect())
            }
        }
    }

    /// Splits what is too large, adds all chunks to the batch, and makes the root.
    fn finish(
        &mut self,
        deadline: Deadline,
        deadline_moves: bool,
        changed: Changed,
        batch: &mut Batch,
    ) -> Planned {
        let pieces = core::mem::take(&mut self.pieces);
        if let [Piece::Rewritten { fields, number, .. }] = &pieces[..]
            && row_bytes(fields) <= MAX_PACKED_BYTES / 2
        {
            self.dropped.extend(*number);
            self.drop_chunks(batch);
            let all: Vec<_> = fields
                .iter()
                .map(|&(_, field, value)| (field, value))
                .collect();
            return packed(&all, changed);
        }
        self.drop_chunks(batch);
        let mut chunks = Vec::with_capacity(pieces.len() + 1);
        for piece in pieces {
            match piece {
                Piece::Kept(chunk) => {
                    if deadline_moves {
                        let key = self.chunk_key.number(chunk.number);
                        batch.touch(self.place.db, Space::Chunk, key, deadline);
                    }
                    chunks.push(chunk);
                }
                Piece::Rewritten {
                    start,
                    number,
                    fields,
                } => self.put_rows(start, number, &fields, deadline, batch, &mut chunks),
            }
        }
        Planned {
            r#type: Type::BigHash,
            body: Directory::new(self.next, chunks).encode(),
            changed,
        }
    }

    fn drop_chunks(&mut self, batch: &mut Batch) {
        for number in core::mem::take(&mut self.dropped) {
            let key = self.chunk_key.number(number);
            batch.delete(self.place.db, Space::Chunk, key);
        }
    }

    /// Adds fields as one chunk or, if they are too many, as several.
    fn put_rows(
        &mut self,
        start: u32,
        number: Option<u32>,
        fields: &[(u32, &[u8], &[u8])],
        deadline: Deadline,
        batch: &mut Batch,
        chunks: &mut Vec<ChunkRef>,
    ) {
        if row_bytes(fields) > self.chunk_limit
            && let Some(middle) = middle(fields)
        {
            let (low, high) = fields.split_at(middle);
            self.put_rows(start, number, low, deadline, batch, chunks);
            self.put_rows(high[0].0, None, high, deadline, batch, chunks);
            return;
        }
        let number = number.unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let mut row = Vec::with_capacity(row_bytes(fields));
        for (_, field, value) in fields {
            pairs::push(&mut row, field, value);
        }
        let header = Header {
            kind: CHUNK,
            version: Version::FIRST,
            deadline,
        };
        let key = self.chunk_key.number(number);
        batch.put(self.place.db, Space::Chunk, key, header, &[&row]);
        chunks.push(ChunkRef {
            start,
            number,
            count: fields.len() as u32,
        });
    }
}

/// Where to split fields so that the parts are about equally large: fields with one hash stay together. `None` if
/// all have the same.
fn middle(fields: &[(u32, &[u8], &[u8])]) -> Option<usize> {
    let half = row_bytes(fields) / 2;
    let (mut before, mut best) = (0, None);
    for index in 1..fields.len() {
        let (_, field, value) = fields[index - 1];
        before += pairs::size(field, value);
        if fields[index].0 == fields[index - 1].0 {
            continue;
        }
        let distance = before.abs_diff(half);
        if best.is_none_or(|(_, least)| distance < least) {
            best = Some((index, distance));
        }
    }
    best.map(|(index, _)| index)
}
