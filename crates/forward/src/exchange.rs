//! A batch of commands goes to the nodes, again and again if it must, until each part has an answer.
//!
//! ```text
//!   assign parts to nodes ─► open connections ─► write to all at once ─┐
//!        ▲                                       read in order of parts ─► answers, in order
//!        └── ask for the map, wait a little ◄── some were not executed ◄──┘
//! ```
//!
//! Replies are read in the order of the parts, whichever node they come from, while everything is still being written: no node
//! waits for another, as each answers what it has, and its own output is bounded by itself.

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use model::topology::Address;
use model::{NodeId, Topology};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::Settings;
use crate::choices::Choices;
use crate::fate::{Fate, Outcome, give_up_overtaken};
use crate::merge::Merge;
use crate::metrics::{Kept, Metrics, count};
use crate::outlet::{Gone, Outlet};
use crate::patience::Patience;
use crate::plan::{Batch, Part, Request, To};
use crate::reply;
use crate::routes::{Cluster, Routes};
use crate::upstream::{Lost, Reader, Room, Told, Upstream, Writer};

/// How long to wait before a part is sent again, at first; then twice as long each time,
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// up to so long.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Goes before a command that another node has sent here.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// One client's connections to nodes.
pub struct Exchange {
    cluster: Arc<Cluster>,
    metrics: Arc<Metrics>,
    settings: Arc<Settings>,
    /// What the client has chosen.
    choices: Choices,
    open: Vec<Upstream>,
    beside: Beside,
}

/// Who leads what, as the node beside knows it: nobody refuses a command about all nodes for having lost some slots to another, so
/// whether the map is still the one to go by is looked up before, and whether it still was, afterwards.
pub struct Beside {
    topology: watch::Receiver<Arc<Topology>>,
    seen: Option<Arc<Topology>>,
}

impl Beside {
    /// What is told here; nothing was looked at yet.
    pub fn new(topology: watch::Receiver<Arc<Topology>>) -> Self {
        Self {
            topology,
            seen: None,
        }
    }

    /// Whether something is led by another than when a change was last taken.
    fn has_changed(&self) -> bool {
        let now = self.topology.borrow();
        let mut seen = self.seen.iter();
        seen.any(|seen| !leaders(seen).eq(leaders(&now)))
    }

    /// The same, or nothing was taken yet; what is known now is taken.
    fn take_change(&mut self) -> bool {
        let changed = self.seen.is_none() || self.has_changed();
        self.seen = Some(Arc::clone(&self.topology.borrow()));
        changed
    }
}

fn leaders(topology: &Topology) -> impl Iterator<Item = (u16, u16, u32, NodeId)> {
    let ranges = topology.ranges.iter();
    ranges.map(|range| (range.first, range.last, range.epoch, range.primary))
}

/// What one connection has to do in a round.
#[derive(Default)]
struct Work {
    /// Parts, and where each ends among the bytes of all.
    parts: Vec<(usize, usize)>,
    /// Bytes that the system has taken.
    written: usize,
    broken: bool,
    refusal: Option<String>,
}

/// A batch under way.
struct Round<'a> {
    batch: &'a Batch,
    /// What the client has sent.
    input: &'a [u8],
    fates: Vec<Fate>,
    /// Answers that the client has.
    answered: usize,
    outlet: Option<&'a Outlet>,
    /// Replies that are not the client's yet.
    kept: Kept,
    /// What all clients may keep together.
    most: usize,
    metrics: Arc<Metrics>,
}

impl Exchange {
    /// Without any connection yet.
    pub fn new(
        cluster: Arc<Cluster>,
        metrics: Arc<Metrics>,
        settings: Arc<Settings>,
        beside: Beside,
    ) -> Self {
        Self {
            cluster,
            metrics,
            settings,
            choices: Choices::default(),
            open: Vec::new(),
            beside,
        }
    }

    /// Changes what the client has chosen, and tells the connections that are open.
    pub fn choose(
        &mut self,
        change: impl FnOnce(&mut Choices),
        said: &[u8],
        told: Option<&Arc<Address>>,
    ) {
        change(&mut self.choices);
        for upstream in self.open.iter_mut().filter(|u| Some(&u.address) != told) {
            upstream.greet(said);
        }
    }

    /// Forgets everything that was chosen, and all connections.
    pub fn reset(&mut self) {
        self.choices = Choices::default();
        self.open.clear();
    }

    /// Runs a batch and tells the client.
    pub async fn run(&mut self, batch: &Batch, input: &[u8], outlet: &Outlet) -> Result<(), Gone> {
        let round = self.round(batch, input, Some(outlet));
        self.until_answered(round).await.map(drop)
    }

    /// Runs one part alone, for whoever wants to see the reply; and which node gave it, if one did.
    pub async fn ask(
        &mut self,
        part: Part,
        input: &[u8],
    ) -> Result<(Vec<u8>, Option<Arc<Address>>), Gone> {
        let mut batch = Batch::default();
        batch.parts.push(part);
        let fates = self.until_answered(self.round(&batch, input, None)).await?;
        let fate = fates.into_iter().next();
        Ok(fate.map_or((Vec::new(), None), |mut fate| {
            (fate.take_kept().unwrap_or_default(), fate.by)
        }))
    }

    /// Runs one command that goes to certain nodes, planned anew whenever the map shows that they are not, or were not, the ones any
    /// more. What is planned like that can be repeated.
    pub async fn run_alone(
        &mut self,
        plan: impl Fn(&Routes) -> Batch,
        input: &[u8],
        outlet: &Outlet,
    ) -> Result<(), Gone> {
        let deadline = Instant::now() + 2 * self.settings.patience;
        while Instant::now() < deadline {
            if self.beside.take_change() {
                self.cluster.refresh_at_home().await;
            }
            let batch = plan(&self.cluster.routes());
            let mut fates = self.until_answered(self.round(&batch, input, None)).await?;
            let complete = !fates.iter().any(Fate::is_pending) && !self.beside.has_changed();
            if complete && let Some(answer) = batch.answers.first() {
                let replies = fates.iter_mut().filter_map(Fate::take_kept).collect();
                return outlet.push(&answer.merge.merge(replies)).await;
            }
        }
        let text = "CLUSTERDOWN the nodes change faster than this command can ask them all";
        outlet.push(&reply::error_reply(text)).await
    }

    fn round<'a>(
        &self,
        batch: &'a Batch,
        input: &'a [u8],
        outlet: Option<&'a Outlet>,
    ) -> Round<'a> {
        Round {
            batch,
            input,
            fates: batch.parts.iter().map(Fate::new).collect(),
            answered: 0,
            outlet,
            kept: Kept::nothing(&self.metrics),
            most: self.settings.buffer_bytes,
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Until each part has its answer, or the map shows that one was sent where it does not belong any more.
    async fn until_answered(&mut self, mut round: Round<'_>) -> Result<Vec<Fate>, Gone> {
        let (mut deadline, mut pause) = (None, FIRST_PAUSE);
        loop {
            let mut works = self.assign(&mut round).await;
            self.exchange(&mut round, &mut works).await?;
            self.settle(&mut round, &works);
            give_up_overtaken(&round.batch.parts, &mut round.fates);
            // Time runs from the first refusal: before it a command may have waited for its turn.
            let until = *deadline.get_or_insert_with(|| Instant::now() + self.settings.patience);
            if Instant::now() >= until {
                round.give_up(&self.metrics);
            }
            round.tell().await?;
            if !round.fates.iter().any(Fate::is_pending) {
                return Ok(round.fates);
            }
            count(&self.metrics.retries);
            if pause > FIRST_PAUSE || !round.is_redirected() {
                sleep(pause).await;
            }
            self.cluster.refresh().await;
            if round.is_stale(&self.cluster.routes()) {
                return Ok(round.fates);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Which connection each pending part goes over; connections are opened where there is none.
    async fn assign(&mut self, round: &mut Round<'_>) -> Vec<Work> {
        if !self.cluster.routes().is_whole() {
            self.cluster.refresh().await;
        }
        self.open.retain_mut(Upstream::is_alive);
        let mut works: Vec<Work> = Vec::new();
        let mut refused: Vec<Arc<Address>> = Vec::new();
        for (index, part) in round.batch.parts.iter().enumerate() {
            if !round.fates[index].is_pending() {
                continue;
            }
            let Some(address) = self.address_of(&round.fates[index].to) else {
                round.fates[index].not_executed("CLUSTERDOWN Hash slot not served", part);
                continue;
            };
            let place = match refused.contains(&address) {
                true => None,
                false => self.place_of(&address).await,
            };
            let Some(place) = place else {
                let why = "CLUSTERDOWN the node of this hash slot cannot be reached";
                round.fates[index].not_executed(why, part);
                refused.push(address);
                continue;
            };
            works.resize_with(self.open.len(), Work::default);
            let work = &mut works[place];
            let before = work.parts.last().map_or(0, |(_, end)| *end);
            let asking = if round.fates[index].asking {
                ASKING.len()
            } else {
                0
            };
            work.parts
                .push((index, before + asking + round.bytes(part).len()));
        }
        works.resize_with(self.open.len(), Work::default);
        works
    }

    fn address_of(&self, to: &To) -> Option<Arc<Address>> {
        match to {
            To::Slot(slot) => self.cluster.routes().owner(*slot).cloned(),
            To::Home => self.cluster.home(),
            To::Node(address) => Some(Arc::clone(address)),
            To::Everybody => None,
        }
    }

    /// Where the connection to this node is.
    async fn place_of(&mut self, address: &Arc<Address>) -> Option<usize> {
        let open = self.open.iter().position(|u| u.address == *address);
        if open.is_some() {
            return open;
        }
        let (greeting, keepalive) = (self.choices.greeting(), self.settings.keepalive);
        let upstream = Upstream::open(address, greeting, keepalive).await?;
        count(&self.metrics.opened);
        self.open.push(upstream);
        Some(self.open.len() - 1)
    }

    /// Writes everything and reads all replies that come.
    async fn exchange(&mut self, round: &mut Round<'_>, works: &mut [Work]) -> Result<(), Gone> {
        let mut order: Vec<(usize, usize)> = Vec::new();
        let mut pieces: Vec<Vec<IoSlice<'_>>> = Vec::new();
        for (place, work) in works.iter().enumerate() {
            order.extend(work.parts.iter().map(|(part, _)| (*part, place)));
            pieces.push(round.pieces(work));
        }
        order.sort_unstable();
        let mut readers = Vec::new();
        let (mut writes, mut reads): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for ((upstream, work), pieces) in self.open.iter_mut().zip(works).zip(&mut pieces) {
            let Upstream {
                address,
                reader,
                writer,
            } = upstream;
            if !work.parts.is_empty() {
                writes.push(write(writer, pieces, &mut work.written));
            }
            readers.push(reader);
            reads.push((&*address, &mut work.broken, &mut work.refusal));
        }
        let reading = read(
            &self.cluster,
            self.settings.patience,
            round,
            &order,
            &mut readers,
            &mut reads,
        );
        tokio::select! {
            biased;
            read = reading => read,
            () = all_then_never(writes) => unreachable!("it never ends"),
        }
    }

    /// What is known now of the parts that were sent and not answered.
    fn settle(&mut self, round: &mut Round<'_>, works: &[Work]) {
        for (upstream, work) in self.open.iter().zip(works) {
            if !work.broken && work.refusal.is_none() {
                continue;
            }
            count(&self.metrics.broken);
            for (index, end) in &work.parts {
                let (part, fate) = (&round.batch.parts[*index], &mut round.fates[*index]);
                if !fate.is_pending() || fate.refusal.is_some() {
                    continue;
                }
                match &work.refusal {
                    Some(text) => fate.not_executed(text, part),
                    None if part.only_reads || *end > work.written => {
                        fate.not_executed("CLUSTERDOWN the connection to the node broke", part);
                    }
                    None => {
                        count(&self.metrics.unknown);
                        fate.unknown(&upstream.address);
                    }
                }
            }
        }
        let mut works = works.iter();
        self.open.retain(|_| {
            let work = works.next();
            work.is_none_or(|w| !w.broken && w.refusal.is_none())
        });
    }
}

impl<'a> Round<'a> {
    fn room(&mut self) -> Room<'_> {
        Room {
            kept: &mut self.kept,
            most: self.most,
            metrics: &self.metrics,
        }
    }

    fn bytes(&self, part: &'a Part) -> &'a [u8] {
        match &part.request {
            Request::Sent(range) => &self.input[range.clone()],
            Request::Made(bytes) => bytes,
        }
    }

    fn pieces(&self, work: &Work) -> Vec<IoSlice<'a>> {
        let mut pieces = Vec::new();
        for (index, _) in &work.parts {
            if self.fates[*index].asking {
                pieces.push(IoSlice::new(ASKING));
            }
            pieces.push(IoSlice::new(self.bytes(&self.batch.parts[*index])));
        }
        pieces
    }

    /// Where the reply to a part may go as it comes: to the client, if it is the next that he waits for.
    fn outlet_for(&self, part: usize) -> Option<&'a Outlet> {
        let next = self.batch.answers.get(self.answered)?;
        let is_next = next.merge == Merge::One && next.parts.contains(&part);
        self.outlet.filter(|_| is_next)
    }

    /// Tells the client all answers that are complete, in order.
    async fn tell(&mut self) -> Result<(), Gone> {
        let Some(outlet) = self.outlet else {
            return Ok(());
        };
        while let Some(answer) = self.batch.answers.get(self.answered) {
            let fates = &mut self.fates[answer.parts.clone()];
            if fates.iter().any(Fate::is_pending) {
                return Ok(());
            }
            let replies: Vec<Vec<u8>> = fates.iter_mut().filter_map(Fate::take_kept).collect();
            let relayed = replies.len() < fates.len();
            if !relayed {
                let told: usize = replies.iter().map(Vec::len).sum();
                outlet.push(&answer.merge.merge(replies)).await?;
                self.kept.set(self.kept.bytes().saturating_sub(told));
            }
            self.answered += 1;
        }
        Ok(())
    }

    fn pending(&self) -> impl Iterator<Item = (&Part, &Fate)> {
        let both = self.batch.parts.iter().zip(&self.fates);
        both.filter(|(_, fate)| fate.is_pending())
    }

    /// Whether a node has said where to go instead.
    fn is_redirected(&self) -> bool {
        self.pending().any(|(part, fate)| fate.to != part.to)
    }

    /// Whether a part goes to a certain node that has no slots any more.
    fn is_stale(&self, routes: &Routes) -> bool {
        self.pending().any(|(part, _)| match &part.to {
            To::Node(node) => !routes.primaries().contains(node),
            To::Everybody => routes.is_whole(),
            To::Slot(_) | To::Home => false,
        })
    }

    fn give_up(&mut self, metrics: &Metrics) {
        for fate in self.fates.iter_mut().filter(|fate| fate.is_pending()) {
            count(&metrics.gave_up);
            fate.give_up();
        }
    }
}

async fn write(writer: &mut Writer, pieces: &mut [IoSlice<'_>], written: &mut usize) {
    // That it failed shows at the other half.
    let _ = writer.write(pieces, written).await;
}

/// Waits for all of these, and does not end then.
async fn all_then_never<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        Poll::<()>::Pending
    })
    .await;
}

type Marks<'w> = (&'w Arc<Address>, &'w mut bool, &'w mut Option<String>);

/// Reads the replies in this order of (part, connection).
async fn read(
    cluster: &Cluster,
    most: Duration,
    round: &mut Round<'_>,
    order: &[(usize, usize)],
    readers: &mut [&mut Reader],
    marks: &mut [Marks<'_>],
) -> Result<(), Gone> {
    for &(index, place) in order {
        let (address, broken, refusal) = &mut marks[place];
        round.fates[index].refusal = None;
        if **broken || refusal.is_some() {
            continue;
        }
        let batch = round.batch;
        let part = &batch.parts[index];
        let mut patience = Patience::new(cluster, part, address, most);
        let reader = &mut readers[place];
        let (asked, outlet) = (round.fates[index].asking, round.outlet_for(index));
        let mut room = round.room();
        let told = match asked {
            true => reader.reply(&mut patience, &mut room, None).await.map(drop),
            false => Ok(()),
        };
        let told = match told {
            Ok(()) => reader.reply(&mut patience, &mut room, outlet).await,
            Err(lost) => Err(lost),
        };
        match told {
            Ok(Told::Kept(raw)) => round.fates[index].answered(raw, part, address),
            Ok(Told::Relayed) => round.fates[index].outcome = Outcome::Relayed,
            Err(Lost::Broken) => **broken = true,
            Err(Lost::Refused(text)) => **refusal = Some(text),
            Err(Lost::Gone) => return Err(Gone),
        }
        round.tell().await?;
    }
    Ok(())
}
