//! What faults do to the world, and how one leads to the next.

use super::{CENTURY, Death, Fault, LOCALS, MS, NAMES, NEVER, Phase, SECOND, Store, Time, World, plan};

impl World {
    pub(in super::super) fn fault(&mut self, fault: Fault) {
        self.say(|| format!("{fault:?}"));
        let calm = self.phase != Phase::Faults;
        match fault {
            Fault::Death(death) if self.process.is_some() => self.die(death),
            Fault::Death(_) => {}
            Fault::AtSync(fate, death) => self.at_sync = Some((fate, death)),
            Fault::Stall(time) => self.stall = time,
            Fault::Link(up) => {
                self.kafka.up = up || calm;
                if let Some(process) = &self.process {
                    process.script.set_reachable(self.kafka.up);
                    self.reached = self.reached.or(self.kafka.up.then_some(self.now));
                }
            }
            Fault::Mood(sensor, mood) => {
                let name = self.name(sensor);
                self.kafka.moods.remove(&name);
                self.kafka.moods.extend(mood.map(|mood| (name, mood)));
            }
            Fault::Acks(lost, late, given_up) => {
                (self.kafka.lost, self.kafka.late, self.kafka.given_up) = (lost, late, given_up);
            }
            Fault::LoseClient => {
                if let Some(process) = &self.process {
                    self.kafka.client_gone(&mut self.oracle);
                    process.script.lose_client("fatal");
                }
            }
            // A clock counts nanoseconds from 1677 to 2262.
            Fault::Step(by) => self.offset = self.offset.saturating_add(by).clamp(-CENTURY, 2 * CENTURY),
            Fault::Synchronized(is) => {
                self.synchronized = is;
                self.clock_was_good |= is;
            }
            Fault::Reboot(node) => self.nodes[node].reboot(self.now, &mut self.oracle),
            Fault::LoseRow => self.lose_row(),
            Fault::Noise(node, noise) => {
                (self.nodes[node].up.noise, self.nodes[node].down.noise) = (noise, noise);
            }
        }
        self.set_hands();
        if self.phase == Phase::Faults && self.faults.len() < 40 {
            self.next_fault();
        }
    }

    fn lose_row(&mut self) {
        self.learn();
        let newest = self.store.list().unwrap_or_default().pop().unwrap_or(0);
        let rows = self.store.durable_rows(1);
        let older = rows.partition_point(|(row, _)| *row < newest);
        if older > 0 {
            let (row, bytes) = &rows[self.weather.below(older as u64) as usize];
            if self.oracle.lost_row(*row, bytes) {
                self.say(|| format!("row {row} is lost"));
                self.store.lose_row(*row);
            }
        }
    }

    /// Draws the next fault, at some time after this one.
    fn next_fault(&mut self) {
        let after = self.faults.values().count() as Time;
        if after > 12 {
            return;
        }
        let at = self.now + self.weather.between(MS, 2 * self.setup.pause);
        let (fault, end) = plan::draw(&self.setup, &mut self.weather);
        self.plan(at, fault);
        if let Some((lasts, end)) = end {
            self.plan(at + lasts, end);
        }
    }

    fn name(&self, sensor: usize) -> String {
        let nodes = NAMES.iter().take(self.setup.nodes).flatten();
        let names = nodes.chain(LOCALS.iter().take(self.setup.locals));
        names.copied().nth(sensor).unwrap_or_default().to_owned()
    }

    /// The agent's process ends; what it left in the store is seen to when the next one starts.
    pub(in super::super) fn die(&mut self, death: Death) {
        self.say(|| format!("dies: {death:?}"));
        if let Some(process) = self.process.take() {
            process.end(&mut self.oracle);
        }
        self.kafka.client_gone(&mut self.oracle);
        self.death = Some(death);
        self.at_sync = None;
        (self.commit_at, self.forward_at) = (NEVER, NEVER);
        let away = self.weather.pick(&[10, 500, 3_000, 20_000]) * MS;
        self.back = self.now + self.weather.between(MS, away);
        self.nodes.iter_mut().for_each(|node| node.up.clear());
    }

    /// A new boot: monotonic time begins anew, and perhaps nobody knows what time it is.
    pub(in super::super) fn boot(&mut self) {
        self.boot += 1;
        self.booted = self.now - self.weather.between(1, SECOND);
        match self.weather.below(3) {
            0 => self.offset = -(self.now as i64),
            1 => self.offset -= 1_000 * SECOND as i64,
            _ => {}
        }
        if self.phase == Phase::Faults {
            self.synchronized = self.weather.one_in(2);
            let later = self.now + self.weather.between(1, 40) * SECOND;
            self.plan(later, Fault::Synchronized(true));
        }
        self.set_hands();
    }
}
