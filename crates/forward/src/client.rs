//! One client: its bytes become commands, the commands batches, and the batches are run one after the other.
//!
//! While a batch is under way more is read, up to a limit, so that it is noticed when the client goes: a command that waits for a
//! session must not be granted to nobody.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use command::Arguments;
use model::limits::{
    LINE_AHEAD_BYTES, MAX_ARGUMENTS, MAX_QUERY_BUFFER_BYTES,
    MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED, READ_AHEAD_BYTES,
};
use resp::{CommandSpan, Limits, Parser, Span};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;

use crate::choices::authenticates;
use crate::exchange::{Beside, Exchange};
use crate::metrics::{Kept, Metrics, count};
use crate::notices::{Herald, Listener};
use crate::outlet::{Gone, Outlet};
use crate::plan::{Asked, Batch, Choice, Part, To};
use crate::reply;
use crate::routes::Cluster;
use crate::{Port, Settings, drained, merge};

/// Commands that are under way together.
const BATCH: usize = 256;
/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_BYTES: usize = 64 << 10;

/// See the module.
pub struct Client {
    socket: OwnedReadHalf,
    outlet: Outlet,
    requests: Requests,
    exchange: Exchange,
    cluster: Arc<Cluster>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    herald: Arc<Herald>,
    host: Option<IpAddr>,
    /// There if it asked to be told what is about to happen.
    notices: Option<Listener>,
    closing: watch::Receiver<bool>,
    /// Nothing more will come.
    ended: bool,
}

/// What has come and is not done with.
struct Requests {
    bytes: Vec<u8>,
    parser: Parser,
    authenticated: bool,
    kept: Kept,
}

/// Commands that have wholly arrived.
struct Commands {
    spans: Vec<Span>,
    /// Each with the place of its first byte.
    commands: Vec<(usize, CommandSpan)>,
    /// Where the last one ends.
    end: usize,
    /// What is wrong with the bytes behind them.
    error: Option<String>,
}

/// What comes while a batch is under way.
struct Ahead {
    bytes: Vec<u8>,
    kept: Kept,
    metrics: Arc<Metrics>,
    /// What all clients together may keep.
    most_of_all: usize,
}

/// The connection ends, after what was said has been sent.
struct End;

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self
    }
}

impl Client {
    /// A client that has just connected to this port.
    pub fn new(socket: TcpStream, port: &Port) -> Self {
        let host = socket.peer_addr().ok().map(|address| address.ip());
        let (reader, writer) = socket.into_split();
        let Port {
            cluster,
            settings,
            metrics,
            herald,
            closing,
        } = port;
        Self {
            socket: reader,
            outlet: Outlet::start(writer, metrics, settings.buffer_bytes),
            requests: Requests {
                bytes: Vec::new(),
                parser: Parser::default(),
                authenticated: settings.password.is_empty(),
                kept: Kept::nothing(metrics),
            },
            exchange: Exchange::new(
                Arc::clone(cluster),
                Arc::clone(metrics),
                Arc::clone(settings),
                Beside::new(herald.topology()),
            ),
            cluster: Arc::clone(cluster),
            settings: Arc::clone(settings),
            metrics: Arc::clone(metrics),
            herald: Arc::clone(herald),
            host,
            notices: None,
            closing: closing.clone(),
            ended: false,
        }
    }

    /// Serves it until it goes, or is told to.
    pub async fn serve(mut self) {
        while let Ok(()) = self.turn().await {}
        self.requests.bytes = Vec::new();
        self.requests.count();
        self.outlet.finish().await;
    }

    /// Runs what is there, then reads more.
    async fn turn(&mut self) -> Result<(), End> {
        let commands = self.requests.parse(self.settings.bulk_bytes);
        let mut from = 0;
        while from < commands.commands.len() {
            from = self.run(&commands, from).await?;
        }
        self.requests.done_with(commands.end);
        if let Some(text) = commands.error {
            self.outlet.push(&reply::error_reply(&text)).await?;
            return Err(End);
        }
        if commands.commands.is_empty() {
            self.read().await?;
        }
        Ok(())
    }

    /// Runs some commands from `from` on; which one is next.
    async fn run(&mut self, commands: &Commands, from: usize) -> Result<usize, End> {
        self.tell_notices().await?;
        let routes = self.cluster.routes();
        let mut batch = Batch::default();
        for index in from..commands.commands.len() {
            let asked = commands.asked(&self.requests.bytes, index);
            if index == from {
                if let Some(choice) = asked.choice() {
                    count(&self.metrics.commands);
                    self.choose(choice, commands, index).await?;
                    return Ok(index + 1);
                }
                batch.add(&asked, &routes);
                if batch.is_for_certain_nodes() {
                    count(&self.metrics.commands);
                    self.run_alone(commands, index).await?;
                    return Ok(index + 1);
                }
                continue;
            }
            let mut one = Batch::default();
            one.add(&asked, &routes);
            if asked.choice().is_some() || one.is_for_certain_nodes() {
                break;
            }
            batch.append(one);
        }
        let ran = batch.answers.len();
        let counter = &self.metrics.commands;
        counter.fetch_add(ran as u64, Ordering::Relaxed);
        let Self {
            exchange,
            requests,
            outlet,
            socket,
            metrics,
            settings,
            ..
        } = self;
        let mut ahead = Ahead::new(metrics, settings);
        let run = exchange.run(&batch, &requests.bytes, outlet);
        let ended = while_reading(run, socket, &mut ahead, batch.may_wait(), self.ended).await?;
        self.ended = ended;
        self.requests.came(&ahead);
        Ok(from + ran)
    }

    async fn run_alone(&mut self, commands: &Commands, index: usize) -> Result<(), End> {
        let bytes = &self.requests.bytes;
        let asked = commands.asked(bytes, index);
        let plan = |routes: &crate::routes::Routes| {
            let mut batch = Batch::default();
            batch.add(&asked, routes);
            batch
        };
        let mut ahead = Ahead::new(&self.metrics, &self.settings);
        let run = self.exchange.run_alone(plan, bytes, &self.outlet);
        self.ended = while_reading(run, &mut self.socket, &mut ahead, false, self.ended).await?;
        self.requests.came(&ahead);
        Ok(())
    }

    /// Runs a command about the connection.
    async fn choose(
        &mut self,
        choice: Choice,
        commands: &Commands,
        index: usize,
    ) -> Result<(), End> {
        match choice {
            Choice::Quit => {
                self.outlet.push(b"+OK\r\n").await?;
                return Err(End);
            }
            Choice::Reset => {
                self.notices = None;
                self.exchange.reset();
                self.requests.authenticated = self.settings.password.is_empty();
                self.outlet.push(b"+RESET\r\n").await?;
                return Ok(());
            }
            Choice::Hello
            | Choice::Auth
            | Choice::Select
            | Choice::SetName
            | Choice::SetInfo
            | Choice::Notices => {}
        }
        let bytes = &self.requests.bytes;
        let asked = commands.asked(bytes, index);
        let part = Part {
            request: asked.request(),
            to: To::Home,
            only_reads: true,
            waits: None,
        };
        let (mut raw, by) = self.exchange.ask(part, bytes).await?;
        let succeeded = !raw.starts_with(b"-");
        if succeeded && choice == Choice::Notices {
            // The node has checked it. What it pushes itself is about the cluster, which this client knows nothing of.
            let wants_address = !asked.arguments.is(4, "none");
            let on = asked.arguments.is(2, "ON");
            self.notices = on.then(|| self.herald.listen(self.host, wants_address));
        } else if succeeded {
            let said = reply::encode(asked.arguments.from(0));
            let arguments = asked.arguments;
            self.exchange
                .choose(|c| c.take(choice, arguments, &said), &said, by.as_ref());
            let proves = choice == Choice::Auth || authenticates(arguments);
            if choice == Choice::Hello {
                if asked.arguments.is(1, "2") {
                    self.notices = None;
                }
                raw = merge::hello(&raw).unwrap_or(raw);
            }
            self.requests.authenticated |= proves;
        }
        self.outlet.push(&raw).await?;
        Ok(())
    }

    /// Tells what there is to tell: between two replies.
    async fn tell_notices(&mut self) -> Result<(), End> {
        while let Some(bytes) = self.notices.as_mut().and_then(Listener::try_next) {
            self.outlet.push(&bytes).await?;
        }
        Ok(())
    }

    /// Reads more, or ends.
    async fn read(&mut self) -> Result<(), End> {
        let most = if self.requests.authenticated {
            MAX_QUERY_BUFFER_BYTES
        } else {
            MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED
        };
        self.requests.count();
        let all = self.requests.kept.by_all();
        let long = self.requests.bytes.len() > KEPT_BYTES;
        if self.requests.bytes.len() > most || (long && all > self.settings.buffer_bytes) {
            let text = "ERR the request takes more memory than there is for requests";
            self.outlet.push(&reply::error_reply(text)).await?;
            return Err(End);
        }
        if self.ended {
            return Err(End);
        }
        let idle = self.requests.bytes.is_empty();
        tokio::select! {
            read = self.socket.read_buf(&mut self.requests.bytes) => match read {
                Ok(read) if read > 0 => Ok(()),
                Ok(_) | Err(_) => Err(End),
            },
            notice = next_notice(&mut self.notices) => Ok(self.outlet.push(&notice).await?),
            () = drained(&mut self.closing), if idle => Err(End),
        }
    }
}

async fn next_notice(notices: &mut Option<Listener>) -> Vec<u8> {
    match notices {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

/// Runs to its end what is under way, and meanwhile reads ahead. Returns whether the client has ended. If what is under way waits for others, gives it
/// up for a client that has ended, and for one that sends so much behind it that its end might not be seen.
async fn while_reading(
    run: impl Future<Output = Result<(), Gone>>,
    socket: &mut OwnedReadHalf,
    ahead: &mut Ahead,
    may_wait: bool,
    mut ended: bool,
) -> Result<bool, End> {
    let mut run = std::pin::pin!(run);
    let most = if may_wait {
        LINE_AHEAD_BYTES
    } else {
        READ_AHEAD_BYTES
    };
    loop {
        let reads = !ended && ahead.bytes.len() < most;
        let more = async {
            if reads {
                socket.read_buf(&mut ahead.bytes).await
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            biased;
            done = &mut run => {
                done?;
                return Ok(ended);
            }
            more = more => ended = more.map_err(|_| End)? == 0,
        }
        ahead.kept.set(ahead.bytes.capacity());
        if may_wait && ended {
            return Err(End);
        }
        if may_wait && (ahead.bytes.len() >= most || ahead.is_too_much()) {
            count(&ahead.metrics.cut_off);
            return Err(End);
        }
    }
}

impl Ahead {
    fn new(metrics: &Arc<Metrics>, settings: &Settings) -> Self {
        Self {
            bytes: Vec::new(),
            kept: Kept::nothing(metrics),
            metrics: Arc::clone(metrics),
            most_of_all: settings.buffer_bytes,
        }
    }

    /// Whether it is much, and all clients together keep more than they may.
    fn is_too_much(&self) -> bool {
        self.bytes.len() > KEPT_BYTES && self.kept.by_all() > self.most_of_all
    }
}

impl Requests {
    /// Takes commands apart as far as they have come.
    fn parse(&mut self, bulk_bytes: usize) -> Commands {
        // What comes after AUTH may be larger.
        let (most, limits) = if self.authenticated {
            let limits = Limits {
                arguments: MAX_ARGUMENTS,
                bulk_bytes,
                authenticated: true,
            };
            (BATCH, limits)
        } else {
            (1, Limits::UNAUTHENTICATED)
        };
        let mut found = Commands {
            spans: Vec::new(),
            commands: Vec::new(),
            end: 0,
            error: None,
        };
        let mut from = 0;
        while found.commands.len() < most {
            let parser = &mut self.parser;
            match parser.next(&mut self.bytes, &mut from, &limits, &mut found.spans) {
                Ok(Some(span)) => {
                    found.commands.push((from, span));
                    from = span.end;
                }
                Ok(None) => break,
                Err(error) => {
                    found.error = Some(format!("ERR Protocol error: {error}"));
                    break;
                }
            }
        }
        found.end = from;
        found
    }

    fn done_with(&mut self, end: usize) {
        if end == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
        } else {
            self.bytes.drain(..end);
        }
    }

    /// More has come while a batch was under way.
    fn came(&mut self, ahead: &Ahead) {
        self.bytes.extend_from_slice(&ahead.bytes);
    }

    fn count(&mut self) {
        self.kept.set(self.bytes.capacity());
    }
}

impl Commands {
    fn asked<'a>(&'a self, bytes: &'a [u8], index: usize) -> Asked<'a> {
        let (start, span) = self.commands[index];
        let spans = &self.spans[span.first as usize..][..span.count as usize];
        let arguments = Arguments::new(bytes, spans);
        Asked {
            arguments,
            spec: command::spec_of(command::prepare(arguments)),
            bytes: (!span.unquoted).then_some((start, span.end)),
        }
    }
}

#[cfg(test)]
mod tests;
