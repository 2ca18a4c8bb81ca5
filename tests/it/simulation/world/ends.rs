//! How a seed ends: the faults stop, all must drain, and after one more start nothing may go again.

use super::{DRAINS_IN, Death, Fault, Phase, Process, SECOND, SimNode, World};

impl World {
    /// Looks about once in a while; true when all is done.
    pub(in super::super) fn is_over(&mut self) -> bool {
        self.look = self.now + SECOND;
        match self.phase {
            Phase::Faults if self.now < self.setup.horizon => return false,
            Phase::Faults => self.calm(),
            Phase::Draining if self.is_drained() => {
                self.phase = Phase::Silence;
                self.since = self.now;
                self.die(Death::Cut);
                self.back = self.now;
                self.say(|| "all has drained".to_owned());
            }
            Phase::Draining => {
                let late = self.now > self.since + DRAINS_IN;
                let words = self.process.as_ref().map(Process::words);
                assert!(!late, "I8, I6: it does not drain: {words:?}");
            }
            Phase::Silence => return self.process.is_some() && self.now > self.since + 10 * SECOND,
        }
        false
    }

    /// No more faults, no more readings.
    fn calm(&mut self) {
        self.say(|| "calm".to_owned());
        self.phase = Phase::Draining;
        self.since = self.now;
        self.faults.clear();
        self.kafka.calm();
        for node in &mut self.nodes {
            node.quiet = true;
            (node.up.noise, node.down.noise) = Default::default();
        }
        (self.synchronized, self.at_sync, self.stall) = (true, None, 0);
        self.fault(Fault::Link(true));
        // Spans that wait for more readings end by other rules, which a lane learns when it is made.
        self.oracle.exact = None;
        self.die(Death::Kill);
    }

    fn is_drained(&self) -> bool {
        let Some(process) = &self.process else {
            return false;
        };
        let queued = process.observer.figures().ledger.queued;
        queued == 0 && process.is_drained() && self.nodes.iter().all(SimNode::is_drained)
    }
}
