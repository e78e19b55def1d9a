//! One connection to the Sentinel port.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use command::Arguments;
use model::Topology;
use resp::{Limits, Parser, Protocol, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{SentinelSettings, events};

/// What a visitor may send before it is answered.
const LONGEST_REQUEST: usize = 64 << 10;
/// Channels and patterns that one visitor may listen to.
pub(super) const MOST_SUBSCRIPTIONS: usize = 128;

/// See the module.
pub struct Visitor {
    pub(super) settings: Arc<SentinelSettings>,
    topology: watch::Receiver<Arc<Topology>>,
    /// The cluster as it was last told.
    pub(super) known: Arc<Topology>,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    pub(super) name: Vec<u8>,
    pub(super) channels: BTreeSet<Vec<u8>>,
    pub(super) patterns: BTreeSet<Vec<u8>>,
    /// To be closed after what was written.
    pub(super) leaves: bool,
}

impl Visitor {
    /// A new connection.
    pub fn new(settings: Arc<SentinelSettings>, topology: watch::Receiver<Arc<Topology>>) -> Self {
        let known = Arc::clone(&topology.borrow());
        let authenticated = settings.password.is_empty();
        Self {
            settings,
            topology,
            known,
            protocol: Protocol::V2,
            authenticated,
            name: Vec::new(),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            leaves: false,
        }
    }

    /// Answers until the visitor leaves.
    pub async fn serve(mut self, mut socket: TcpStream) -> io::Result<()> {
        let (mut bytes, mut parser, mut out) = (Vec::new(), Parser::default(), Vec::new());
        while !self.leaves {
            let told = tokio::select! {
                read = socket.read_buf(&mut bytes) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    false
                }
                changed = self.topology.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    true
                }
            };
            if told {
                self.tell(&mut out);
            }
            self.answer_all(&mut bytes, &mut parser, &mut out);
            socket.write_all(&out).await?;
            out.clear();
        }
        Ok(())
    }

    /// Answers what has wholly come.
    fn answer_all(&mut self, bytes: &mut Vec<u8>, parser: &mut Parser, out: &mut Vec<u8>) {
        let limits = Limits {
            authenticated: self.authenticated,
            ..Limits::UNAUTHENTICATED
        };
        let mut from = 0;
        while !self.leaves {
            let mut spans = Vec::new();
            match parser.next(bytes, &mut from, &limits, &mut spans) {
                Ok(Some(command)) => {
                    let arguments = Arguments::new(bytes, &spans);
                    self.take_note();
                    self.answer(arguments, out);
                    from = command.end;
                }
                Ok(None) => break,
                Err(error) => {
                    resp::write_error(out, format_args!("ERR Protocol error: {error}"));
                    self.leaves = true;
                }
            }
        }
        bytes.drain(..from.min(bytes.len()));
        self.leaves |= bytes.len() > LONGEST_REQUEST;
    }

    /// Answers speak of the cluster as it is, events of what was told before: who has subscribed is not told less for asking.
    fn take_note(&mut self) {
        if self.channels.is_empty() && self.patterns.is_empty() {
            self.known = Arc::clone(&self.topology.borrow_and_update());
        }
    }

    /// Tells what has changed.
    fn tell(&mut self, out: &mut Vec<u8>) {
        let now = Arc::clone(&self.topology.borrow_and_update());
        let before = std::mem::replace(&mut self.known, now);
        for event in events::between(&before, &self.known, &self.settings.master) {
            self.publish(event.channel.as_bytes(), event.text.as_bytes(), out);
        }
    }

    fn publish(&self, channel: &[u8], text: &[u8], out: &mut Vec<u8>) {
        let mut reply = Reply::new(out, self.protocol);
        if self.channels.contains(channel) {
            reply.push(3);
            reply.bulk_str("message");
            reply.bulk(channel);
            reply.bulk(text);
        }
        let patterns = self.patterns.iter();
        for pattern in patterns.filter(|pattern| command::matches(pattern, channel)) {
            reply.push(4);
            reply.bulk_str("pmessage");
            reply.bulk(pattern);
            reply.bulk(channel);
            reply.bulk(text);
        }
    }
}
