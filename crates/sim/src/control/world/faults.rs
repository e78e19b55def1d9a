//! Faults, one after the other, of the kinds that the plan has.

use cluster::coordinator::Command;
use model::NodeId;

use super::{ControlWorld, Fate, Happening};

/// A kind of fault, with its weight among those that a plan has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Kill,
    KillLeader,
    Pause,
    PauseLeader,
    Cut,
    Isolate,
    Loss,
    StoreDown,
    StorePause,
    StoreRestart,
    Unknown,
    Compact,
    StoreCut,
    Drain,
}

impl ControlWorld {
    pub(super) fn fault(&mut self, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::Fault => self.next_fault(),
            Happening::Heal => {
                self.network.heal();
                Ok(())
            }
            Happening::StoreUp => {
                self.store.start();
                self.wake_watches();
                Ok(())
            }
            Happening::StoreResumed => {
                self.store_paused = false;
                Ok(())
            }
            Happening::Tick(_)
            | Happening::Step(_)
            | Happening::Input(..)
            | Happening::Asked(..)
            | Happening::Pump(_)
            | Happening::Restart(_)
            | Happening::Resume(_) => unreachable!("the caller took them"),
        }
    }

    fn next_fault(&mut self) -> Result<(), String> {
        let end_us = (4_000 + self.plan.faulty_ms) * 1_000;
        let wait_us = self.faults_random.between(1, 2 * self.plan.fault_every_ms) * 1_000;
        if self.now_us + wait_us < end_us {
            self.after(wait_us, Happening::Fault);
        }
        let kinds = self.kinds();
        if kinds.is_empty() {
            return Ok(());
        }
        let kind = *self.faults_random.pick(&kinds);
        self.trace(|| format!("fault: {kind:?}"));
        self.strike(kind)
    }

    fn kinds(&self) -> Vec<Kind> {
        let faults = self.plan.faults;
        let all: [(bool, &[Kind]); 9] = [
            (faults.kill, &[Kind::Kill, Kind::Kill, Kind::KillLeader]),
            (faults.pause, &[Kind::Pause, Kind::Pause, Kind::PauseLeader]),
            (faults.cut, &[Kind::Cut, Kind::Isolate]),
            (faults.loss, &[Kind::Loss]),
            (
                faults.store,
                &[Kind::StoreDown, Kind::StorePause, Kind::StoreRestart],
            ),
            (faults.unknown, &[Kind::Unknown, Kind::Unknown]),
            (faults.watch, &[Kind::Compact]),
            (faults.store_cut, &[Kind::StoreCut]),
            (faults.drain, &[Kind::Drain]),
        ];
        let chosen = all.iter().filter(|(on, _)| *on);
        chosen
            .flat_map(|(_, kinds)| kinds.iter().copied())
            .collect()
    }

    fn any_node(&mut self) -> u32 {
        self.faults_random.below(u64::from(self.plan.nodes)) as u32
    }

    fn soon_us(&mut self) -> u64 {
        self.faults_random.extreme(1, 12_000) * 1_000
    }

    fn strike(&mut self, kind: Kind) -> Result<(), String> {
        let (node, soon_us) = (self.any_node(), self.soon_us());
        match kind {
            Kind::Kill => self.kill_process(node, soon_us),
            Kind::KillLeader => {
                let node = self.leader().unwrap_or(node);
                self.kill_process(node, soon_us);
            }
            Kind::Pause => self.pause_process(node, soon_us),
            Kind::PauseLeader => {
                let node = self.leader().unwrap_or(node);
                self.pause_process(node, soon_us);
            }
            Kind::Cut => self.cut_some(soon_us),
            Kind::Isolate => self.isolate(node, soon_us),
            Kind::Loss => {
                self.network.loss = self.faults_random.below(3_000) as u32;
                self.network.late = self.faults_random.below(2_000) as u32;
                self.after(soon_us, Happening::Heal);
            }
            Kind::StoreDown => {
                self.store.stop();
                self.after(soon_us, Happening::StoreUp);
            }
            Kind::StorePause => {
                self.store_paused = true;
                self.after(soon_us, Happening::StoreResumed);
            }
            Kind::StoreRestart => {
                self.store.stop();
                self.after(1_000, Happening::StoreUp);
            }
            Kind::Unknown => self.lose_some(),
            Kind::Compact => self.store.compact(0),
            Kind::StoreCut => {
                self.network.cut_from_store(node);
                self.after(soon_us, Happening::Heal);
            }
            Kind::Drain => {
                let drain = self.faults_random.chance(6_000);
                let command = if drain {
                    Command::Drain(NodeId(node))
                } else {
                    Command::Undrain(NodeId(node))
                };
                self.command(command)?;
            }
        }
        Ok(())
    }

    /// Nodes of one process share its fate.
    fn process_of(&self, node: u32) -> Vec<u32> {
        let per = self.plan.nodes_per_process;
        (0..self.plan.nodes)
            .filter(|n| n / per == node / per)
            .collect()
    }

    fn kill_process(&mut self, node: u32, for_us: u64) {
        for node in self.process_of(node) {
            self.kill(node);
            self.after(for_us, Happening::Restart(node));
        }
    }

    fn pause_process(&mut self, node: u32, for_us: u64) {
        for node in self.process_of(node) {
            self.pause(node);
            self.after(for_us, Happening::Resume(node));
        }
    }

    fn cut_some(&mut self, for_us: u64) {
        for _ in 0..self.faults_random.between(1, 4) {
            let (a, b, both) = (
                self.any_node(),
                self.any_node(),
                self.faults_random.chance(5_000),
            );
            if a != b {
                self.network.cut(a, b, both);
            }
        }
        self.after(for_us, Happening::Heal);
    }

    /// One node cannot hear, or cannot be heard, or both.
    fn isolate(&mut self, node: u32, for_us: u64) {
        let way = self.faults_random.below(3);
        for other in (0..self.plan.nodes).filter(|other| *other != node) {
            match way {
                0 => self.network.cut(node, other, false),
                1 => self.network.cut(other, node, false),
                _ => self.network.cut(node, other, true),
            }
        }
        self.after(for_us, Happening::Heal);
    }

    fn lose_some(&mut self) {
        for _ in 0..self.faults_random.between(1, 6) {
            let fate =
                *self
                    .faults_random
                    .pick(&[Fate::RequestLost, Fate::AnswerLost, Fate::Answered]);
            self.set_fate(fate);
        }
    }
}
