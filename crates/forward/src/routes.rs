//! Which node has which slots, as the nodes say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::slot::SLOTS;
use model::topology::Address;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::reply;

/// How long a node may take to tell.
const PATIENCE: Duration = Duration::from_millis(500);
/// Nodes that are asked at a time; the first answer is taken.
const ASKED: usize = 3;
/// The longest answer that is believed: some thousand ranges with five copies each.
const LONGEST_ANSWER: usize = 4 << 20;
/// Stands for no owner.
const NOBODY: u16 = u16::MAX;

/// See the module.
pub struct Routes {
    /// By slot, an index into `primaries`.
    owners: Vec<u16>,
    primaries: Vec<Arc<Address>>,
    /// The first slot of each shard, ascending.
    firsts: Vec<u16>,
    /// Whether every slot has an owner.
    whole: bool,
}

impl Routes {
    /// Nothing is known.
    fn unknown() -> Self {
        Self {
            owners: vec![NOBODY; usize::from(SLOTS)],
            primaries: Vec::new(),
            firsts: Vec::new(),
            whole: false,
        }
    }

    /// Understands the reply to `CLUSTER SLOTS`, which `from` gave. A node without a host is the one that was asked.
    pub(crate) fn parse(raw: &[u8], from: &Address) -> Option<Self> {
        let mut routes = Self::unknown();
        for row in reply::elements(raw)? {
            let row = reply::elements(row)?;
            let (first, last) = (reply::integer(row.first()?)?, reply::integer(row.get(1)?)?);
            let node = reply::elements(row.get(2)?)?;
            let host = reply::string(node.first()?).filter(|host| !host.is_empty());
            let host = match host {
                Some(host) => String::from_utf8(host.to_vec()).ok()?,
                None => from.host.clone(),
            };
            let port = u16::try_from(reply::integer(node.get(1)?)?).ok()?;
            let owner = routes.number_of(Address { host, port });
            let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
            routes.owners.get_mut(first..=last)?.fill(owner);
            routes.firsts.push(first as u16);
        }
        routes.firsts.sort_unstable();
        routes.whole = !routes.owners.contains(&NOBODY);
        Some(routes)
    }

    fn number_of(&mut self, address: Address) -> u16 {
        let known = self.primaries.iter().position(|p| **p == address);
        let number = known.unwrap_or_else(|| {
            self.primaries.push(Arc::new(address));
            self.primaries.len() - 1
        });
        // There are fewer primaries than slots.
        number as u16
    }

    /// Who has this slot.
    pub fn owner(&self, slot: u16) -> Option<&Arc<Address>> {
        self.primaries
            .get(usize::from(self.owners[usize::from(slot)]))
    }

    /// Everybody who has any, in the order of their slots.
    pub fn primaries(&self) -> &[Arc<Address>] {
        &self.primaries
    }

    /// The first slot of each shard, ascending. Where every slot has an owner these are all shards, whoever leads them: how the slots are divided
    /// is for good.
    pub fn first_slots(&self) -> &[u16] {
        &self.firsts
    }

    /// Whether every slot has an owner.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

/// The cluster, as it is known at the moment.
pub struct Cluster {
    /// The node that this port belongs to: asked first, and preferred for what any node can answer.
    local: Arc<Address>,
    seeds: Vec<Arc<Address>>,
    password: String,
    routes: Mutex<Arc<Routes>>,
    /// When the last question was asked.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Who is asked next.
    turn: AtomicUsize,
}

impl Cluster {
    /// A cluster of which only these nodes are known.
    #[must_use]
    pub fn new(local: Address, seeds: Vec<Address>, password: String) -> Self {
        Self {
            local: Arc::new(local),
            seeds: seeds.into_iter().map(Arc::new).collect(),
            password,
            routes: Mutex::new(Arc::new(Routes::unknown())),
            asked: tokio::sync::Mutex::new(None),
            turn: AtomicUsize::new(0),
        }
    }

    /// What is known.
    pub fn routes(&self) -> Arc<Routes> {
        let routes = self.routes.lock();
        Arc::clone(&routes.unwrap_or_else(PoisonError::into_inner))
    }

    /// A node for what any primary can answer: the one beside this port, if it is one.
    pub fn home(&self) -> Option<Arc<Address>> {
        let routes = self.routes();
        let local = routes.primaries().iter().find(|p| **p == self.local);
        local.or_else(|| routes.primaries().first()).cloned()
    }

    /// Asks the nodes again; whoever calls while another is asking shares the answer if it was asked for after his call.
    pub async fn refresh(&self) {
        let called = Instant::now();
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at > called) {
            return;
        }
        *asked = Some(Instant::now());
        if let Some(routes) = self.ask().await {
            self.learn(routes);
        }
    }

    /// Asks the node beside, which was the first to know that there is something new; the others if it does not answer.
    pub async fn refresh_at_home(&self) {
        let asked = timeout(PATIENCE, ask(&self.local, &self.password)).await;
        match asked {
            Ok(Some(routes)) => self.learn(routes),
            Ok(None) | Err(_) => self.refresh().await,
        }
    }

    fn learn(&self, routes: Routes) {
        let mut known = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(routes);
    }

    /// Asks some nodes, others each time, and takes the first answer.
    async fn ask(&self) -> Option<Routes> {
        let routes = self.routes();
        let mut candidates: Vec<_> = self.seeds.iter().chain([&self.local]).cloned().collect();
        let others = routes.primaries().iter();
        candidates.extend(
            others
                .filter(|p| !self.seeds.contains(p) && **p != self.local)
                .cloned(),
        );
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % candidates.len();
        candidates.rotate_left(turn);
        let mut questions = JoinSet::new();
        for address in candidates.into_iter().take(ASKED) {
            let password = self.password.clone();
            questions.spawn(async move { timeout(PATIENCE, ask(&address, &password)).await });
        }
        while let Some(answer) = questions.join_next().await {
            if let Ok(Ok(Some(routes))) = answer {
                return Some(routes);
            }
        }
        None
    }
}

/// Asks one node.
async fn ask(address: &Address, password: &str) -> Option<Routes> {
    let mut stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .ok()?;
    let words = [&b"CLUSTER"[..], b"SLOTS"];
    let mut question = Vec::new();
    if !password.is_empty() {
        question = reply::encode([&b"AUTH"[..], password.as_bytes()].into_iter());
    }
    let mut to_skip = usize::from(!password.is_empty());
    question.extend(reply::encode(words.into_iter()));
    stream.write_all(&question).await.ok()?;
    let (mut answer, mut scanner, mut scanned) = (Vec::new(), resp::ReplyScanner::default(), 0);
    loop {
        let (used, ended) = scanner.advance(&answer[scanned..]).ok()?;
        scanned += used;
        match (ended, to_skip) {
            (true, 0) => {
                return Routes::parse(&answer, address).filter(|r| !r.primaries.is_empty());
            }
            (true, _) => {
                to_skip -= 1;
                answer.drain(..scanned);
                scanned = 0;
            }
            (false, _) if answer.len() > LONGEST_ANSWER => return None,
            (false, _) => {
                if stream.read_buf(&mut answer).await.ok()? == 0 {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::topology::Address;

    use super::Routes;

    #[test]
    fn slots_are_understood_and_a_missing_host_is_the_one_asked() {
        let raw = b"*2\r\n*3\r\n:0\r\n:99\r\n*4\r\n$1\r\na\r\n:1\r\n$1\r\nx\r\n*0\r\n*4\r\n:100\r\n:16383\r\n*3\r\n$0\r\n\r\n:2\r\n$1\r\ny\r\n*3\r\n$1\r\na\r\n:1\r\n$1\r\nx\r\n";
        let from = Address {
            host: "asked".into(),
            port: 9,
        };
        let routes = Routes::parse(raw, &from).expect("a map");
        let owner = |slot| routes.owner(slot).map(|a| (a.host.as_str(), a.port));
        assert_eq!([owner(0), owner(99)], [Some(("a", 1)); 2]);
        assert_eq!([owner(100), owner(16_383)], [Some(("asked", 2)); 2]);
        assert!(routes.is_whole());
        assert_eq!(routes.first_slots(), [0, 100]);
        assert!(
            Routes::parse(
                b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
                &from
            )
            .is_none()
        );
        assert!(Routes::parse(b"-ERR no cluster\r\n", &from).is_none());
    }
}
