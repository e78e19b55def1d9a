//! Faults, one after the other, of the kinds that the plan has.

use cluster::coordinator::Command;
use model::{Member, NodeId, ShardId};
use sim::control::store::Fate;
use sim::disk::Crash;

use super::plots::Step;
use super::{Arrival, Event, World};
use crate::rare::Rare;

/// How much longer a disk waits to be full with the next copy, in microseconds: copies move every few seconds.
const LONG_FULL_US: u64 = 2_000_000;

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Kill,
    KillLeader,
    KillAll,
    KillOthers,
    Flap,
    Alone,
    Behead,
    Astray,
    Tear,
    Power,
    Blackout,
    Pause,
    PauseLeader,
    Limp,
    Cut,
    Isolate,
    Loss,
    StoreDown,
    StorePause,
    StoreRestart,
    StoreForgets,
    Unknown,
    Compact,
    StoreCut,
    Drain,
    Undrain,
    Leave,
    Clock,
    Full,
    Disk,
}

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heal {
    /// The process starts.
    Start(u32),
    /// All links are well.
    Links,
    /// The metadata store is there again.
    StoreUp,
    /// It goes on.
    StoreResumed,
    /// The disk has room again.
    Room(u32),
    /// It does not fail any more.
    Disk(u32),
    /// The node is slow once more, so many times yet.
    Limp(u32, u32),
}

impl World {
    pub(super) fn next_fault(&mut self) -> Result<(), String> {
        if self.is_calm {
            return Ok(());
        }
        let wait_us = self.faults.between(1, 2 * self.plan.fault_every_ms) * 1_000;
        self.after(wait_us, Event::Fault);
        let kinds = self.kinds();
        let kind = *self.faults.pick(&kinds);
        self.trace.line(|| format!("fault: {kind:?}"));
        self.strike(kind)
    }

    fn kinds(&self) -> Vec<Kind> {
        let faults = self.plan.faults;
        let all: [(bool, &[Kind]); 17] = [
            (
                faults.kill,
                &[
                    Kind::Kill,
                    Kind::Kill,
                    Kind::KillLeader,
                    Kind::KillAll,
                    Kind::KillOthers,
                    Kind::Flap,
                ],
            ),
            (faults.power, &[Kind::Power]),
            (faults.blackout, &[Kind::Blackout]),
            (
                faults.pause,
                &[Kind::Pause, Kind::Pause, Kind::PauseLeader, Kind::Alone],
            ),
            (faults.limp, &[Kind::Limp]),
            (
                faults.cut,
                &[
                    Kind::Cut,
                    Kind::Isolate,
                    Kind::Behead,
                    Kind::Astray,
                    Kind::Tear,
                ],
            ),
            (faults.loss, &[Kind::Loss]),
            (
                faults.store,
                &[Kind::StoreDown, Kind::StorePause, Kind::StoreRestart],
            ),
            (faults.forgets, &[Kind::StoreForgets; 4]),
            (faults.unknown, &[Kind::Unknown, Kind::Unknown]),
            (faults.watch, &[Kind::Compact]),
            (faults.store_cut, &[Kind::StoreCut]),
            (faults.drain, &[Kind::Drain, Kind::Drain, Kind::Undrain]),
            (faults.leave, &[Kind::Leave]),
            (faults.clock, &[Kind::Clock]),
            (faults.full, &[Kind::Full]),
            (faults.disk, &[Kind::Disk]),
        ];
        let chosen = all.iter().filter(|(on, _)| *on);
        chosen
            .flat_map(|(_, kinds)| kinds.iter().copied())
            .collect()
    }

    fn soon_us(&mut self) -> u64 {
        self.faults.extreme(1, self.plan.fault_ms) * 1_000
    }

    fn strike(&mut self, kind: Kind) -> Result<(), String> {
        let (node, soon_us) = (
            self.faults.below(u64::from(self.plan.nodes)) as u32,
            self.soon_us(),
        );
        let leader = self.leader().unwrap_or(node);
        match kind {
            Kind::Kill => self.kill(node, Crash::Process, soon_us),
            Kind::KillLeader => self.kill(leader, Crash::Process, soon_us),
            Kind::KillAll => {
                for node in 0..self.plan.nodes {
                    self.kill(node, Crash::Process, soon_us);
                }
            }
            Kind::KillOthers => {
                for other in (0..self.plan.nodes).filter(|other| *other != node) {
                    self.kill(other, Crash::Process, soon_us);
                }
            }
            Kind::Flap => self.flap(node),
            Kind::Alone => self.leave_alone(),
            Kind::Behead => self.behead(soon_us),
            Kind::Astray => self.lead_astray(),
            Kind::Tear => self.tear(),
            Kind::Power => {
                let node = self.powerless(node);
                self.kill(node, Crash::Power, soon_us);
            }
            Kind::Blackout => self.black_out(),
            Kind::Pause => self.pause(node, soon_us),
            Kind::PauseLeader => self.pause(leader, soon_us),
            Kind::Limp => {
                self.counts.note(Rare::Limped);
                self.after(0, Event::Heal(Heal::Limp(node, 40)));
            }
            Kind::Cut => self.cut_some(soon_us),
            Kind::Isolate => self.isolate(node, soon_us),
            Kind::Loss => {
                self.links.network.loss = self.faults.below(3_000) as u32;
                self.links.network.late = self.faults.below(2_000) as u32;
                self.after(soon_us, Event::Heal(Heal::Links));
            }
            Kind::StoreCut => {
                self.counts.note(Rare::CutFromStore);
                self.links.network.cut_from_store(node);
                self.after(soon_us, Event::Heal(Heal::Links));
            }
            Kind::StoreDown | Kind::StorePause | Kind::StoreRestart => {
                self.strike_store(kind, soon_us);
            }
            Kind::StoreForgets => self.lose_map(),
            Kind::Unknown => self.lose_some(),
            Kind::Compact => self.service.store.compact(0),
            Kind::Drain => self.command(Command::Drain(NodeId(node))),
            Kind::Undrain => self.command(Command::Undrain(NodeId(node))),
            Kind::Leave => {
                let run = self.run_of(node);
                self.after(0, Event::To(node, run, Arrival::Leave));
            }
            Kind::Clock => self.set_clock(node),
            Kind::Full => {
                let at_next_copy = self.faults.chance(5_000);
                let storage = &mut self.hosts[node as usize].storage;
                let for_us = if at_next_copy {
                    storage.fill_at_next_copy();
                    soon_us + LONG_FULL_US
                } else {
                    storage.set_full(true);
                    soon_us
                };
                self.after(for_us, Event::Heal(Heal::Room(node)));
            }
            Kind::Disk => {
                let often = self.faults.extreme(10, 5_000) as u32;
                self.hosts[node as usize].storage.set_failing(often);
                self.after(soon_us, Event::Heal(Heal::Disk(node)));
                let dies_us = self.faults.extreme(1, self.plan.fault_ms) * 1_000;
                let step = Step::Kill {
                    node,
                    for_us: soon_us,
                };
                self.after(dies_us, Event::Plot(step));
            }
        }
        Ok(())
    }

    /// A process is killed, or a machine loses its power, if what that takes is with enough others.
    pub(super) fn kill(&mut self, node: u32, how: Crash, for_us: u64) {
        // What a process was told is in its notes.
        let may_forget = how == Crash::Process || self.may_forget();
        let keeps = may_forget && self.hosts[node as usize].survives(how);
        if keeps || self.may_lose(node) {
            self.crash(node, how);
            self.after(for_us, Event::Heal(Heal::Start(node)));
        }
    }

    /// A process is killed, and its disk is lost, if what that takes is with enough others.
    pub(super) fn lose_disk(&mut self, node: u32, for_us: u64) {
        if self.plan.files.is_some() && self.hosts[node as usize].is_up() && self.may_lose(node) {
            self.crash(node, Crash::Process);
            self.counts.note(Rare::DiskLost);
            self.hosts[node as usize].lose_disk();
            self.after(for_us, Event::Heal(Heal::Start(node)));
        }
    }

    pub(super) fn pause(&mut self, node: u32, for_us: u64) {
        self.counts.note(Rare::Paused);
        self.pause_quietly(node, for_us);
    }

    fn pause_quietly(&mut self, node: u32, for_us: u64) {
        let until_us = self.now_us + for_us;
        let host = &mut self.hosts[node as usize];
        if host.is_up() && host.paused_until_us < until_us {
            host.paused_until_us = until_us;
            host.turn_us = u64::MAX;
            self.turn_at(node, until_us);
        }
    }

    fn cut_some(&mut self, for_us: u64) {
        for _ in 0..self.faults.between(1, 4) {
            let nodes = u64::from(self.plan.nodes);
            let (a, b) = (
                self.faults.below(nodes) as u32,
                self.faults.below(nodes) as u32,
            );
            let both = self.faults.chance(5_000);
            self.counts.note(if both {
                Rare::CutBothWays
            } else {
                Rare::CutOneWay
            });
            if a != b {
                self.links.network.cut(a, b, both);
            }
        }
        self.after(for_us, Event::Heal(Heal::Links));
    }

    /// One node cannot hear, or cannot be heard, or both.
    pub(super) fn isolate(&mut self, node: u32, for_us: u64) {
        self.counts.note(Rare::Isolated);
        let way = self.faults.below(3);
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            match way {
                0 => self.links.network.cut(node, other, false),
                1 => self.links.network.cut(other, node, false),
                _ => self.links.network.cut(node, other, true),
            }
        }
        self.after(for_us, Event::Heal(Heal::Links));
    }

    fn strike_store(&mut self, kind: Kind, for_us: u64) {
        if matches!(kind, Kind::StorePause) {
            self.counts.note(Rare::StorePaused);
            self.service.paused = true;
            return self.after(for_us, Event::Heal(Heal::StoreResumed));
        }
        self.counts.note(Rare::StoreDown);
        self.service.store.stop();
        let for_us = if matches!(kind, Kind::StoreRestart) {
            1_000
        } else {
            for_us
        };
        self.after(for_us, Event::Heal(Heal::StoreUp));
    }

    /// The metadata store loses what it had, when every shard is served by whom it says.
    fn lose_map(&mut self) {
        self.service.back_up();
        if self.is_served().is_ok() && self.may_forget() && self.faults.chance(5_000) {
            self.counts.note(Rare::StoreForgot);
            self.trace
                .line(|| "the metadata store has lost what it had".into());
            self.service.go_back(&mut self.faults);
            self.map_changed();
        }
    }

    fn lose_some(&mut self) {
        for _ in 0..self.faults.between(1, 6) {
            let fates = [Fate::RequestLost, Fate::AnswerLost, Fate::Answered];
            let fate = *self.faults.pick(&fates);
            self.service.store.push_fate(fate);
        }
    }

    fn set_clock(&mut self, node: u32) {
        let most_ms = self.faults.extreme(1, 5_000);
        let ahead_ms = self.faults.between(0, 2 * most_ms) as i64 - most_ms as i64;
        let clock = &mut self.hosts[node as usize].clock;
        let back = ahead_ms < clock.ahead_ms();
        clock.set_ahead(ahead_ms);
        let (least_ms, most_ms) = self.ahead_ms;
        self.ahead_ms = (least_ms.min(ahead_ms), most_ms.max(ahead_ms));
        self.counts.note(if back {
            Rare::ClockSetBack
        } else {
            Rare::ClockSetForward
        });
        self.turn_soon(node);
    }

    /// An operator asks the coordinator for something.
    pub(super) fn command(&mut self, command: Command) {
        let Some(leader) = self.leader() else {
            return;
        };
        self.commands += 1;
        self.trace
            .line(|| format!("operator to node {leader}: {command:?}"));
        let operate = cluster::agent::Input::Operate(self.commands, command);
        self.tell_agent(leader, operate);
    }

    /// The node that coordinates, as the metadata store has it, if it runs.
    pub(super) fn leader(&self) -> Option<u32> {
        let holder = self.service.map().role()?.holder;
        self.is_alive(holder).then_some(holder.node.0)
    }

    pub(super) fn is_alive(&self, member: Member) -> bool {
        let host = &self.hosts[member.node.0 as usize];
        host.member == member && host.is_up()
    }

    pub(super) fn is_whole_without(&mut self, shard: ShardId, without: u32) -> bool {
        let config = self.service.map().shards()[&shard].config;
        let primary = config.primary();
        if !self.is_alive(primary) {
            return false;
        }
        let host = &mut self.hosts[primary.node.0 as usize];
        let now = host.clock.now(self.now_us);
        let copies = host
            .process
            .as_mut()
            .map_or_else(Vec::new, |p| p.node.copies(now).statuses);
        let status = copies.iter().find(|status| status.shard == shard);
        let complete = status
            .filter(|s| s.epoch == config.epoch())
            .map_or(0, |s| s.complete);
        let members = config.copies().members().iter().enumerate();
        let mut others = members.filter(|(_, member)| member.node.0 != without);
        others.all(|(at, member)| complete & (1 << at) != 0 && self.is_alive(*member))
    }

    pub(super) fn heal(&mut self, heal: Heal) -> Result<(), String> {
        match heal {
            Heal::Start(node) => return self.start(node),
            Heal::Links => self.links.network.heal(),
            Heal::StoreUp => {
                self.service.store.start();
                self.wake_watches();
            }
            Heal::StoreResumed => self.service.paused = false,
            Heal::Room(node) => self.hosts[node as usize].storage.set_full(false),
            Heal::Disk(node) => self.hosts[node as usize].storage.set_failing(0),
            Heal::Limp(node, times) if times > 0 && !self.is_calm => {
                let for_us = self.faults.between(1, 40) * 1_000;
                self.pause_quietly(node, for_us);
                let again_us = for_us + self.faults.below(15_000);
                self.after(again_us, Event::Heal(Heal::Limp(node, times - 1)));
            }
            Heal::Limp(..) => {}
        }
        Ok(())
    }

    pub(super) fn wake_watches(&mut self) {
        for node in 0..self.plan.nodes {
            self.after(0, Event::Tell(node));
        }
    }
}
