//! What goes wrong, drawn from the seed, and when it is mended.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::chance::Chance;
use super::clients::Trace;
use super::machines::{Ended, HUBS, Machine};
use super::net::{Link, Net};

/// What is mended at an instant.
enum Mend {
    Link(usize, usize),
    Latency,
    Disk(usize),
    Clock(usize),
    Start(usize),
}

/// The faults of one run.
pub(crate) struct Faults {
    chance: Chance,
    mends: BTreeMap<u64, Vec<Mend>>,
    /// Per thousand and step.
    rate: u64,
    /// How many were injected, by kind.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// Hubs that go down with their page cache.
    power: Vec<bool>,
    /// Starts of each hub.
    starts: Vec<u32>,
    /// Hubs whose desk is cancelled as soon as its queue is full, which lasts for a commit and no draw would meet.
    when_full: Vec<bool>,
}

/// More starts than this mean that a hub can't get up.
const STARTS_MAX: u32 = 60;
/// What a sync that was made to fail says.
const DISK_FAILED: &str = "os error 5";
/// Mildest and longest pauses before a disk's step, milliseconds.
const DISK: (u64, u64) = (2, 120);

impl Faults {
    pub(crate) fn new(mut chance: Chance, hubs: usize) -> Self {
        let rate = chance.between(2, 25);
        Self {
            chance,
            mends: BTreeMap::new(),
            rate,
            counts: BTreeMap::new(),
            power: vec![false; hubs],
            starts: vec![0; hubs],
            when_full: vec![false; hubs],
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    fn later(&mut self, at: u64, mend: Mend) {
        self.mends.entry(at).or_default().push(mend);
    }

    /// Perhaps something goes wrong now.
    pub(crate) fn inject(&mut self, now: u64, machines: &[Machine], net: &Net, trace: &Trace) {
        self.cancel_full_desks(machines, trace);
        if !self.chance.happens(self.rate) {
            return;
        }
        let hubs = machines.len();
        let hub = self.chance.index(hubs);
        let name = HUBS[hub];
        let machine = &machines[hub];
        let for_a_while = now + self.chance.between(50, 3000);
        match self.chance.below(12) {
            0 | 1 => {
                let other = (hub + 1 + self.chance.index(hubs - 1)) % hubs;
                let link = if self.chance.happens(500) { Link::Stalled } else { Link::Broken };
                trace.say(format!("the link {name}-{} is {link:?}", HUBS[other]));
                self.count("link between hubs");
                net.set_link(hub, other, link);
                self.later(for_a_while, Mend::Link(hub, other));
            }
            2 => {
                let link = if self.chance.happens(500) { Link::Stalled } else { Link::Broken };
                trace.say(format!("the clients of {name} are cut off ({link:?})"));
                self.count("link to clients");
                net.set_link(hub, hubs + hub, link);
                self.later(for_a_while, Mend::Link(hub, hubs + hub));
            }
            3 => {
                let slowest = self.chance.between(10, 400);
                trace.say(format!("bytes need up to {slowest} ms"));
                self.count("slow bytes");
                net.set_latency(1, slowest);
                self.later(for_a_while, Mend::Latency);
            }
            4..=6 => {
                let Some(fuse) = machine.fuse() else { return };
                let (things, silent) = (self.chance.between(1, 400), self.chance.happens(400));
                let power = silent || self.chance.happens(500);
                let how = if power { "loses power" } else { "is killed" };
                trace.say(format!("{name} {how} after {things} more things"));
                self.count(if power { "power cut" } else { "kill" });
                self.power[hub] = power;
                fuse.arm(things, silent);
            }
            7 => {
                self.count("failed sync");
                let mut platter =
                    machine.belongings.platter.lock().unwrap_or_else(PoisonError::into_inner);
                platter.fails_in = self.chance.between(1, 5);
                platter.chance = Some(self.chance.fork());
                trace.say(format!("{name}'s sync number {} from now fails", platter.fails_in));
            }
            8 => {
                let pause = self.chance.between(DISK.0, DISK.1);
                trace.say(format!("{name}'s disk pauses up to {pause} ms"));
                self.count("slow disk");
                machine.pause.store(pause, Ordering::Relaxed);
                self.later(for_a_while, Mend::Disk(hub));
            }
            9 => {
                let far = [1, 60, 3600, 7200][self.chance.index(4)] * 1000;
                let offset = self.chance.between(1, far) as i64
                    * if self.chance.happens(500) { -1 } else { 1 };
                trace.say(format!("{name}'s clock jumps by {offset} ms"));
                self.count("clock jump");
                machine.offset.store(offset, Ordering::Relaxed);
                self.later(for_a_while, Mend::Clock(hub));
            }
            _ => {
                if self.chance.happens(500) {
                    self.when_full[hub] = true;
                } else if let Some(shared) = machine.shared() {
                    let waiting = shared.own.depth();
                    trace.say(format!("{name}'s desk is cancelled, {waiting} drafts wait"));
                    self.count("desk cancelled");
                    shared.desk_interrupted.notify_waiters();
                }
            }
        }
    }

    fn cancel_full_desks(&mut self, machines: &[Machine], trace: &Trace) {
        for (at, machine) in machines.iter().enumerate() {
            let full = machine.shared().filter(|s| s.own.depth() == machine.size.queue);
            if let Some(shared) = full.filter(|_| self.when_full[at]) {
                trace.say(format!("{}'s desk is cancelled while its queue is full", HUBS[at]));
                shared.desk_interrupted.notify_waiters();
                self.count("desk cancelled with a full queue");
                self.when_full[at] = false;
            }
        }
    }

    /// A hub ended: what its crash leaves, and when it starts again. Gives what is wrong with that, if anything is.
    pub(crate) fn ended(
        &mut self,
        now: u64,
        machine: &Machine,
        how: Ended,
        trace: &Trace,
    ) -> Option<String> {
        let (at, name) = (machine.at, HUBS[machine.at]);
        let mut wrong = None;
        match how {
            Ended::Not => return None,
            Ended::Crashed { silent } => {
                let power = self.power[at];
                trace.say(format!("{name} is down{}", if silent { ", silently" } else { "" }));
                if power {
                    let mut chance = self.chance.fork();
                    let platter = &machine.belongings.platter;
                    platter.lock().unwrap_or_else(PoisonError::into_inner).cut_power(&mut chance);
                }
            }
            Ended::Stopped(why) => {
                trace.say(format!("{name} has stopped: {why}"));
                // A disk that failed is the one reason to stop that there is.
                if !why.contains(DISK_FAILED) {
                    wrong = Some(format!("{name} stopped by itself: {why}"));
                }
            }
        }
        self.starts[at] += 1;
        if self.starts[at] > STARTS_MAX {
            return Some(format!("{name} did not get up in {STARTS_MAX} starts"));
        }
        self.state_after(machine, trace);
        let pause = self.chance.between(5, 1500);
        self.later(now + pause, Mend::Start(at));
        wrong
    }

    fn state_after(&mut self, machine: &Machine, trace: &Trace) {
        let name = HUBS[machine.at];
        let mut held = machine.belongings.held.lock().unwrap_or_else(PoisonError::into_inner);
        match self.chance.below(6) {
            0 => {
                self.count("state lost");
                trace.say(format!("{name}'s state is lost"));
                held.lose();
            }
            1 if !held.older.is_empty() => {
                self.count("state stale");
                trace.say(format!("{name}'s state is an old copy"));
                held.go_stale(&mut self.chance);
            }
            _ => {}
        }
    }

    /// Mends what is due; everything, if nothing may be wrong any longer. Gives the hubs to start.
    pub(crate) fn mend(
        &mut self,
        now: u64,
        all: bool,
        machines: &[Machine],
        net: &Net,
        trace: &Trace,
    ) -> Vec<usize> {
        let mut starts = Vec::new();
        while let Some(entry) = self.mends.first_entry().filter(|e| all || *e.key() <= now) {
            for mend in entry.remove() {
                match mend {
                    Mend::Link(a, b) => net.set_link(a, b, Link::Open),
                    Mend::Latency => net.set_latency(1, 5),
                    Mend::Disk(at) => machines[at].pause.store(DISK.0, Ordering::Relaxed),
                    Mend::Clock(at) => machines[at].offset.store(0, Ordering::Relaxed),
                    Mend::Start(at) => {
                        trace.say(format!("{} starts", HUBS[at]));
                        net.reset(at);
                        starts.push(at);
                    }
                }
            }
        }
        if all {
            for machine in machines {
                let platter = &machine.belongings.platter;
                platter.lock().unwrap_or_else(PoisonError::into_inner).fails_in = 0;
            }
        }
        starts
    }
}
