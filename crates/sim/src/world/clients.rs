//! What clients do in a turn, and what they are told.

use model::ConnectionId;
use node::{Input, Outbox};

use super::{Step, World};
use crate::client::Link;
use crate::rare::Rare;

/// Commands that a client leaves unanswered before it stops asking.
const MOST_WAITING: usize = 64;

impl World {
    /// Some inputs of this turn, in any order.
    pub(super) fn inputs(&mut self) -> Step {
        let most = self.chance.extreme(1, 2 * self.plan.clients as u64 + 6);
        for _ in 0..most {
            if self.chance.chance(5_000) {
                self.disk_event()?;
            } else {
                let client = self.chance.index(self.links.len());
                self.act(client)?;
            }
            self.spark()?;
        }
        Ok(())
    }

    fn act(&mut self, client: usize) -> Step {
        match &self.links[client] {
            None if self.calm => Ok(()),
            None => self.connect(client),
            Some(_) if !self.calm && self.chance.chance(self.plan.hang_up) => self.hang_up(client),
            Some(_) => {
                self.ask(client);
                self.deliver(client)
            }
        }
    }

    fn connect(&mut self, client: usize) -> Step {
        let mut outbox = Outbox::default();
        let address = format!("10.0.0.{client}:{}", 1_000 + self.turn % 60_000);
        let local_address = "10.0.0.255:6379".into();
        self.give(
            Input::Accepted {
                address,
                local_address,
            },
            &mut outbox,
        )?;
        match outbox.accepted {
            Some(Ok(id)) => {
                self.trace
                    .line(|| format!("client {client} connects as {:x}", id.0));
                let mut link = Link::new(id);
                if self.chance.chance(3_000) {
                    link.ask(vec![b"HELLO".to_vec(), b"3".to_vec()]);
                }
                self.links[client] = Some(link);
                Ok(())
            }
            Some(Err(_)) | None => Err("a connection was not accepted".to_owned().into()),
        }
    }

    fn hang_up(&mut self, client: usize) -> Step {
        let Some(link) = self.links[client].take() else {
            return Ok(());
        };
        if link.is_cut() {
            self.counts.note(Rare::CutCommand);
        }
        self.trace.line(|| format!("{:x} hangs up", link.id.0));
        self.oracle.closed(link.id);
        self.give(
            Input::Closed {
                connection: link.id,
            },
            &mut Outbox::default(),
        )
    }

    fn ask(&mut self, client: usize) {
        let Some(link) = &mut self.links[client] else {
            return;
        };
        if self.calm || link.waiting() >= MOST_WAITING {
            return;
        }
        for _ in 0..self.chance.extreme(0, self.plan.pipeline as u64) {
            link.ask(self.workload.next(&self.plan));
        }
    }

    fn deliver(&mut self, client: usize) -> Step {
        let Some(link) = &mut self.links[client] else {
            return Ok(());
        };
        let connection = link.id;
        if link.outgoing() == 0 || link.unread {
            return Ok(());
        }
        if !self.node.accepts_input(connection) {
            // As the server does: it is not read again before the node has named it.
            link.unread = true;
            self.counts.note(Rare::LeftUnread);
            return Ok(());
        }
        let len = if self.plan.splits {
            self.chance.extreme(1, link.outgoing() as u64) as usize
        } else {
            link.outgoing()
        };
        let mut bytes = link.deliver(len);
        self.trace.numbers(&[connection.0, bytes.len() as u64]);
        self.give(
            Input::Received {
                connection,
                bytes: &mut bytes,
            },
            &mut Outbox::default(),
        )
    }

    /// Who was left unread and is wanted again may be read.
    pub(super) fn read_again(&mut self, outbox: &mut Outbox) {
        for connection in std::mem::take(&mut outbox.read) {
            let mut links = self.links.iter_mut().flatten();
            if let Some(link) = links.find(|link| link.id == connection) {
                link.unread = false;
                self.counts.note(Rare::ReadAgain);
            }
        }
    }

    /// Lets replies leave, as many bytes as each client takes.
    pub(super) fn send(&mut self, outbox: &mut Outbox) -> Step {
        self.node.take_sendable(outbox);
        for connection in std::mem::take(&mut outbox.send) {
            if !self.calm && self.chance.chance(self.plan.slow_reader) {
                self.counts.note(Rare::SlowReader);
                self.later.push(connection);
            } else {
                self.send_to(connection, outbox)?;
                self.spark()?;
            }
        }
        for connection in std::mem::take(&mut self.later) {
            if !self.calm && self.chance.chance(self.plan.slow_reader) {
                self.later.push(connection);
            } else {
                self.send_to(connection, outbox)?;
            }
        }
        Ok(())
    }

    fn send_to(&mut self, connection: ConnectionId, outbox: &mut Outbox) -> Step {
        let all = self.node.unsent(connection).len();
        let may = self.node.output(connection).len();
        if may < all {
            self.counts.note(Rare::GatedReply);
        }
        let bytes = if self.chance.chance(1_000) {
            self.chance.index(may + 1)
        } else {
            may
        };
        self.trace.fold(&self.node.output(connection)[..bytes]);
        let link = self
            .links
            .iter_mut()
            .flatten()
            .find(|link| link.id == connection);
        let Some(link) = link else {
            return Ok(());
        };
        for seen in link.take(bytes) {
            self.oracle.show(&seen, self.now.mono_us);
        }
        self.trace
            .line(|| format!("{:x} is sent {bytes} of {all} bytes", connection.0));
        if bytes < may {
            self.later.push(connection);
        }
        self.give(Input::Sent { connection, bytes }, outbox)
    }

    /// The node closes connections.
    pub(super) fn close(&mut self, outbox: &mut Outbox) {
        for connection in std::mem::take(&mut outbox.close) {
            let ended = |link: &Option<Link>| link.as_ref().is_some_and(|l| l.id == connection);
            if let Some(place) = self.links.iter().position(ended) {
                self.trace.line(|| format!("{:x} is closed", connection.0));
                self.links[place] = None;
                self.oracle.closed(connection);
            }
        }
    }
}
