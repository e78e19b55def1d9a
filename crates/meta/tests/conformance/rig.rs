//! Stores that can be killed, stopped and started again.

use std::{
    fs::File,
    future::Future,
    io::BufRead as _,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cluster::metadata::{Change, Listing, Outcome, Revision, Transaction};
use meta::{MetaStore, TIMEOUT, Watch, embedded, etcd};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sim::control::store::SimStore;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// A store and what can be done to it.
pub trait Rig: Send {
    /// How it is asked.
    type Store: MetaStore;
    /// A client of it as it is now.
    fn store(&self) -> Arc<Self::Store>;
    /// Its process ends without warning.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;
    /// And is started again.
    fn start_again(&mut self) -> impl Future<Output = ()> + Send;
    /// It stands still.
    fn pause(&mut self);
    /// It goes on.
    fn resume(&mut self);
    /// It forgets the changes up to this revision.
    fn compact(&mut self, to: Revision) -> impl Future<Output = ()> + Send;
}

/// A process that does not outlive its test.
pub struct Process(Child);

impl Process {
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).expect("our own child");
    }

    pub fn stop(&self) {
        stop(&self.0);
    }

    pub fn kill(&mut self) {
        // A stopped process takes it as well.
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

/// SIGSTOP takes a moment, one thread after the other: until then it may still answer.
pub fn stop(child: &Child) {
    kill_process(Pid::from_child(child), Signal::STOP).expect("our own child");
    let threads = format!("/proc/{}/task", child.id());
    let is_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = thread.and_then(|thread| std::fs::read_to_string(thread.path().join("stat")));
        // The state stands behind the name, which is in parentheses.
        stat.is_ok_and(|stat| {
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('T'))
        })
    };
    while !std::fs::read_dir(&threads)
        .expect("our own child")
        .all(is_stopped)
    {
        std::thread::yield_now();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The embedded store, in a process of its own.
pub struct EmbeddedRig {
    folder: TempDir,
    secret: String,
    address: String,
    process: Process,
}

impl EmbeddedRig {
    pub async fn start() -> Self {
        Self::start_with_secret("").await
    }

    pub async fn start_with_secret(secret: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (process, address) = Self::launch(&folder, secret, "127.0.0.1:0");
        Self {
            folder,
            secret: secret.into(),
            address,
            process,
        }
    }

    /// Its first line says where it listens.
    fn launch(folder: &TempDir, secret: &str, listen: &str) -> (Process, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tenure-meta"))
            .arg(folder.path().join("meta.redb"))
            .arg(listen)
            .env("TENURE_META_SECRET", secret)
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).expect("a file"))
            .spawn()
            .expect("the program was built");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines.next().expect("a line").expect("text");
        (Process(child), address)
    }

    /// It may have so many files open, connections included.
    pub fn limit_files(&self, most: u64) {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let pid = Pid::from_child(&self.process.0);
        prlimit(Some(pid), Resource::Nofile, limit).expect("our own child");
    }

    /// What it has said since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    pub fn connect(&self) -> std::net::TcpStream {
        std::net::TcpStream::connect(&self.address).expect("it listens")
    }

    pub fn client(&self, secret: &str) -> embedded::Client {
        embedded::Client::new(&format!("tenure://{}", self.address), secret.as_bytes())
    }
}

impl Rig for EmbeddedRig {
    type Store = embedded::Client;

    fn store(&self) -> Arc<embedded::Client> {
        Arc::new(self.client(&self.secret))
    }

    async fn kill(&mut self) {
        self.process.kill();
    }

    async fn start_again(&mut self) {
        (self.process, self.address) = Self::launch(&self.folder, &self.secret, &self.address);
    }

    fn pause(&mut self) {
        self.process.stop();
    }

    fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// What it can tell a watch is in memory only.
    async fn compact(&mut self, _to: Revision) {
        self.kill().await;
        self.start_again().await;
    }
}

/// etcd, as Debian has it.
pub struct EtcdRig {
    folder: TempDir,
    ports: [u16; 2],
    process: Process,
    etcd: Arc<etcd::Etcd>,
}

impl EtcdRig {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = [ports::reserve(), ports::reserve()];
        let rig = Self {
            process: Self::launch(&folder, ports),
            etcd: Arc::new(Self::client(ports[0])),
            folder,
            ports,
        };
        assert!(rig.answers().await, "etcd does not start: is it installed?");
        rig
    }

    fn launch(folder: &TempDir, ports: [u16; 2]) -> Process {
        let cluster = format!("test={}", url(ports[1]));
        launch_etcd("test", folder, ports, &cluster)
    }

    fn client(port: u16) -> etcd::Etcd {
        let settings = etcd::Settings {
            endpoints: vec![url(port)],
            prefix: "/tenure/test/".into(),
            ..etcd::Settings::default()
        };
        etcd::Etcd::new(settings).expect("an address")
    }

    async fn answers(&self) -> bool {
        let asking = async { while self.etcd.list().await.is_none() {} };
        timeout(Duration::from_secs(20), asking).await.is_ok()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    pub fn etcd(&self) -> &etcd::Etcd {
        &self.etcd
    }
}

/// A member of etcd, at these ports for clients and for peers. `cluster`: all members, as `--initial-cluster` has them.
pub fn launch_etcd(
    name: &str,
    folder: &TempDir,
    [client, peer]: [u16; 2],
    cluster: &str,
) -> Process {
    let [client, peer] = [client, peer].map(url);
    let child = Command::new("etcd")
        .args(["--name", name, "--logger", "zap", "--log-level", "error"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", cluster])
        .arg("--data-dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is installed");
    Process(child)
}

pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Rig for EtcdRig {
    type Store = etcd::Etcd;

    fn store(&self) -> Arc<etcd::Etcd> {
        self.etcd.clone()
    }

    async fn kill(&mut self) {
        self.process.kill();
    }

    async fn start_again(&mut self) {
        self.process = Self::launch(&self.folder, self.ports);
        assert!(self.answers().await, "etcd does not come back");
    }

    fn pause(&mut self) {
        self.process.stop();
    }

    fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    async fn compact(&mut self, to: Revision) {
        self.etcd.compact(to).await.expect("etcd compacts");
    }
}

/// The simulated store, asked as the others are.
pub struct SimRig(Arc<SimClient>);

/// A client of the simulated store.
pub struct SimClient(Arc<Shared>);

struct Shared {
    store: Mutex<SimStore>,
    paused: watch::Sender<bool>,
    /// Counts what may be news for a watch.
    news: watch::Sender<u64>,
}

impl SimRig {
    pub fn start() -> Self {
        let shared = Shared {
            store: Mutex::new(SimStore::default()),
            paused: watch::Sender::new(false),
            news: watch::Sender::new(0),
        };
        Self(Arc::new(SimClient(Arc::new(shared))))
    }

    fn change(&self, what: impl FnOnce(&mut SimStore)) {
        what(&mut self.0.0.lock());
        self.0.0.tell();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SimStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    async fn ready(&self) -> bool {
        let mut paused = self.paused.subscribe();
        timeout(TIMEOUT, paused.wait_for(|paused| !paused))
            .await
            .is_ok()
    }

    /// What a watch that began after so many starts has not been told; `None` when it is over.
    fn news_after(&self, revision: Revision, restarts: u64) -> Option<Vec<Change>> {
        let store = self.lock();
        let alive = store.is_up() && store.restarts() == restarts;
        if alive {
            store.changes_after(revision, b"").ok()
        } else {
            None
        }
    }

    async fn tell_changes(
        self: Arc<Self>,
        after: Revision,
        restarts: u64,
        to: mpsc::Sender<Change>,
    ) {
        let (mut told, mut news) = (after, self.news.subscribe());
        while let Some(changes) = self.news_after(told, restarts) {
            for change in changes {
                told = change.revision;
                if to.try_send(change).is_err() {
                    return;
                }
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }
}

impl MetaStore for SimClient {
    async fn transact(&self, transaction: &Transaction) -> Outcome {
        if !self.0.ready().await {
            return Outcome::Unknown;
        }
        let outcome = self.0.lock().transact(transaction);
        self.0.tell();
        outcome
    }

    async fn list(&self) -> Option<Listing> {
        if self.0.ready().await {
            self.0.lock().list(b"")
        } else {
            None
        }
    }

    async fn watch(&self, after: Revision) -> Watch {
        let (sender, watch) = Watch::new();
        let restarts = self.0.lock().restarts();
        tokio::spawn(self.0.clone().tell_changes(after, restarts, sender));
        watch
    }
}

impl Rig for SimRig {
    type Store = SimClient;

    fn store(&self) -> Arc<SimClient> {
        self.0.clone()
    }

    async fn kill(&mut self) {
        self.change(SimStore::stop);
    }

    async fn start_again(&mut self) {
        self.change(SimStore::start);
    }

    fn pause(&mut self) {
        self.0.0.paused.send_replace(true);
    }

    fn resume(&mut self) {
        self.0.0.paused.send_replace(false);
    }

    async fn compact(&mut self, _to: Revision) {
        self.change(|store| store.compact(0));
    }
}
