//! What the loop does for a member of a cluster, besides serving clients.

use std::sync::Arc;
use std::time::Duration;

use cluster::agent;
use mio::event::Event;
use model::NodeId;
use node::Input;
use tracing::info;

use super::{LONGEST_WAIT, Shell};
use crate::links::{Deliver, Kind, Links};
use crate::plane::{self, Plane};

impl Shell {
    /// Something happened to a link.
    pub(super) fn link_event(&mut self, event: &Event) {
        self.with_links(|links, registry, now_us, deliver| {
            links.event(event, registry, now_us, deliver);
        });
    }

    /// Reads the links that were left with something to read.
    pub(super) fn read_links_again(&mut self) {
        let busy = self
            .plane
            .as_ref()
            .is_some_and(|plane| plane.links.is_busy());
        if busy {
            self.with_links(|links, _, now_us, deliver| links.read_again(now_us, deliver));
        }
    }

    /// Lets `work` read links: what comes for copies goes to the node at once, what comes for the agent afterwards.
    fn with_links(&mut self, work: impl FnOnce(&mut Links, &mio::Registry, u64, Deliver<'_>)) {
        let Some(plane) = &mut self.plane else {
            return;
        };
        let (node, outbox, clock) = (&mut self.node, &mut self.outbox, self.clock);
        let mut inputs = Vec::new();
        let mut deliver = |from: NodeId, kind: Kind, bytes: &[u8]| match kind {
            // The time is read when the message is there: a lease that it grants counts from then.
            Kind::Replica => node.handle(clock.now(), Input::Peer { bytes }, outbox),
            Kind::Agent => inputs.extend(plane::message(from, bytes)),
            Kind::Hello | Kind::Farewell => unreachable!("links keep them to themselves"),
        };
        let now_us = self.now.mono_us;
        work(&mut plane.links, self.poll.registry(), now_us, &mut deliver);
        let resets = plane.links.take_resets();
        inputs.extend(resets.into_iter().map(agent::Input::Reset));
        self.now = self.clock.now();
        for input in inputs {
            self.tell_agent(input);
        }
    }

    /// Hands the agent something, and the node the map if it is another then.
    pub(super) fn tell_agent(&mut self, input: agent::Input) {
        let now = self.now;
        self.with_plane(|plane| plane.handle(now, input));
    }

    pub(super) fn with_plane(&mut self, work: impl FnOnce(&mut Plane)) {
        let Some(plane) = &mut self.plane else {
            return;
        };
        work(plane);
        if plane.take_map_change() {
            let map = Arc::new(plane.agent.map().clone());
            self.handle(Input::Map(map));
            self.tell_clients();
        }
    }

    /// Calls the agent, when it is time.
    pub(super) fn tick_plane(&mut self) {
        let now_us = self.now.mono_us;
        let Some(plane) = &mut self.plane else {
            return;
        };
        if !plane.is_tick_due(now_us) {
            return;
        }
        plane.links.tend(self.poll.registry(), now_us);
        for (member, at_us) in plane.take_heard(now_us) {
            self.tell_agent(agent::Input::Heard(member, at_us));
        }
        let Some(plane) = &mut self.plane else {
            return;
        };
        if plane.are_copies_due(now_us) {
            let copies = self.node.copies(self.now);
            self.tell_agent(agent::Input::Copies(copies));
        }
        self.tell_agent(agent::Input::Tick);
        self.tell_clients();
        self.end_leaving();
    }

    /// Has commands and ports answer with the cluster as it is.
    fn tell_clients(&mut self) {
        let told = self.plane.as_mut().and_then(|plane| plane.take_told());
        if let Some(topology) = told {
            self.node.set_topology(topology);
        }
    }

    /// How long there is nothing to do unless an event comes, for the duties of a member.
    pub(super) fn timeout_of_member(&self) -> Duration {
        let Some(plane) = &self.plane else {
            return LONGEST_WAIT;
        };
        let tick_us = plane
            .next_tick_us()
            .min(self.node.next_tick_us().unwrap_or(u64::MAX));
        let now_us = self.clock.elapsed().as_micros() as u64;
        let wait = Duration::from_micros(tick_us.saturating_sub(now_us));
        if plane.links.is_busy() {
            Duration::ZERO
        } else {
            wait.min(LONGEST_WAIT)
        }
    }

    /// Sends what the node has for its peers, and tells the agent what was recovered.
    pub(super) fn flush_links(&mut self) {
        if self.plane.is_none() {
            return;
        }
        for (shard, epoch) in std::mem::take(&mut self.outbox.recovered) {
            self.tell_agent(agent::Input::Recovered(shard, epoch));
        }
        let now_us = self.now.mono_us;
        if let Some(plane) = &mut self.plane {
            for (shard, how) in self.outbox.whole.drain(..) {
                plane.note_whole(shard, how);
            }
            for (to, bytes) in self.outbox.peers.drain(..) {
                plane.links.send(to, Kind::Replica, &bytes, now_us);
            }
            plane.links.flush(now_us);
        }
    }

    /// Has others lead what this node leads, and then drains; a node that leads nothing drains at once.
    pub(super) fn leave(&mut self) {
        if self.plane.is_none() {
            return self.drain();
        }
        info!("leaving: others are to lead what this node leads");
        let (now, elapsed) = (self.now, self.clock.elapsed());
        self.with_plane(|plane| plane.leave(now, elapsed));
        self.tell_clients();
        self.end_leaving();
    }

    fn end_leaving(&mut self) {
        let elapsed = self.clock.elapsed();
        let left = self
            .plane
            .as_mut()
            .is_some_and(|plane| plane.has_left(elapsed));
        if left && self.state.drain_until.is_none() {
            self.drain();
        }
    }
}
