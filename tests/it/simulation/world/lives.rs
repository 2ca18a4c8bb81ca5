//! The world's half of the agent's lives: what became durable, what a commit came to, and what happens while it syncs.

use super::{Fate, MS, NEVER, Next, Process, SECOND, World, Write, oracle, plan};

impl World {
    /// Shows the oracle what became durable.
    pub(in super::super) fn learn(&mut self) {
        let rows = self.store.durable_rows(self.shown);
        if let Some((last, _)) = rows.last() {
            self.shown = last + 1;
            for (row, bytes) in &rows {
                self.say(|| oracle::told(*row, bytes));
            }
            self.oracle
                .stored(rows.iter().map(|(row, bytes)| (*row, &bytes[..])));
        }
    }

    /// The committer was run.
    pub(in super::super) fn committed(&mut self, next: Next) {
        self.learn();
        self.commit_at = match next {
            Next::AtOnce => self.now,
            Next::At(mono) => self.of_mono(mono).max(self.now + MS / 10),
            Next::WhenNudged => NEVER,
        };
        if let Some(process) = &mut self.process {
            process.note_receipts(&mut self.oracle);
        }
    }

    /// A process has begun.
    pub(in super::super) fn started(&mut self, process: Process) {
        self.life += 1;
        process.script.set_reachable(self.kafka.up);
        self.process = Some(process);
        self.clock_was_good = self.synchronized;
        self.reached = self.kafka.up.then_some(self.now);
        (self.commit_at, self.forward_at) = (self.now, self.now);
        self.say(|| "starts".to_owned());
    }

    /// Whether to look at the whole ledger now: it costs more than a commit.
    pub(in super::super) fn is_time_to_count(&mut self) -> bool {
        self.unsettled &= self.oracle.counts.epochs == self.epochs;
        self.weather.one_in(4)
    }

    pub(in super::super) fn stays_away(&mut self) {
        self.back = self.now + SECOND;
    }

    /// The store syncs: time passes, and things happen meanwhile.
    pub(in super::super) fn on_sync(&mut self, write: Write<'_>) -> Fate {
        self.learn();
        self.say(|| match write {
            Write::Rows(rows, new) => format!(
                "writes {} rows{}",
                rows.len(),
                if new { " of a new generation" } else { "" }
            ),
            other => format!("{other:?}"),
        });
        let took = plan::sync_time(&mut self.weather) + std::mem::take(&mut self.stall);
        let (until, armed, life) = (self.now + took, self.at_sync.take(), self.death);
        let end = if armed.is_some() {
            self.now + self.weather.below(took)
        } else {
            until
        };
        loop {
            let next = self.next();
            if next > end || self.death != life {
                break;
            }
            self.advance(next);
            self.run_due();
            if let Some(process) = &mut self.process {
                process.note_receipts(&mut self.oracle);
            }
        }
        if self.death != life {
            return self
                .weather
                .pick(&[Fate::Refused, Fate::Failed, Fate::DoneUnheard]);
        }
        self.advance(end);
        let Some((fate, death)) = armed else {
            return Fate::Done;
        };
        self.die(death);
        fate
    }
}
