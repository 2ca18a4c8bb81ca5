//! The report as people read it.

use std::fmt::{self, Write as _};

use super::{Range, Report, Sensor};

/// The most lines of damage that are shown.
const SHOWN: usize = 20;

impl Report {
    /// `queue stat`: what is there.
    #[must_use]
    pub fn stat(&self) -> String {
        written(|out| self.write_stat(out))
    }

    /// `queue verify`: what is wrong, and what can be salvaged.
    #[must_use]
    pub fn verdict(&self) -> String {
        written(|out| self.write_verdict(out))
    }

    fn write_stat(&self, out: &mut String) -> fmt::Result {
        self.write_head(out)?;
        for generation in &self.generations {
            let damage = match (generation.damaged_rows, generation.checkpoint) {
                (0, true) => String::new(),
                (rows, true) => format!("  {rows} rows damaged"),
                (rows, false) => format!("  {rows} rows damaged, its checkpoint among them"),
            };
            writeln!(
                out,
                "  {}  {} rows  {}  last commit {}{damage}",
                generation.name,
                generation.rows,
                bytesize::ByteSize(generation.bytes),
                generation.committed.as_deref().unwrap_or("-")
            )?;
        }
        for name in &self.set_aside {
            writeln!(out, "  {name}  set aside")?;
        }
        let ledger = self
            .ledger
            .map_or("not known: the newest state is damaged".to_owned(), |l| {
                format!(
                    "accepted {} = delivered {} + queued {} + dead {} + dropped {}",
                    l.accepted, l.delivered, l.queued, l.dead, l.dropped
                )
            });
        writeln!(out, "ledger   {ledger}")?;
        self.sensors.iter().try_for_each(|sensor| line(out, sensor))
    }

    fn write_head(&self, out: &mut String) -> fmt::Result {
        let epochs: Vec<String> = self.epochs.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "queue    {}: {} readings in {} rows, {} in {} generation(s)",
            self.directory,
            self.readings,
            self.rows,
            bytesize::ByteSize(self.bytes),
            self.generations.len()
        )?;
        writeln!(out, "epochs   {}", epochs.join(", "))
    }

    fn write_verdict(&self, out: &mut String) -> fmt::Result {
        self.write_head(out)?;
        for damage in self.damage.iter().take(SHOWN) {
            let rows = range(damage.from, damage.through);
            writeln!(out, "damaged  {} row {rows}: {}", damage.generation, damage.why)?;
        }
        more(out, self.damage.len())?;
        for lost in self.lost.iter().take(SHOWN) {
            let readings = range(lost.from, lost.through);
            writeln!(out, "lost     {} epoch {}: {readings}", lost.sensor, lost.epoch)?;
        }
        more(out, self.lost.len())?;
        for generation in self
            .generations
            .iter()
            .filter(|generation| !generation.checkpoint)
        {
            writeln!(out, "damaged  {}: its checkpoint", generation.name)?;
        }
        for name in &self.set_aside {
            writeln!(
                out,
                "aside    {name}: an agent has salvaged what could be read of it"
            )?;
        }
        if self.torn_rows > 0 {
            let rows = self.torn_rows;
            writeln!(
                out,
                "torn     {rows} row(s) of a commit that was cut off; nobody was told that it is stored"
            )?;
        }
        let (readings, sensors) = (self.readings, self.sensors.len());
        if self.whole {
            return writeln!(
                out,
                "verdict  whole: every row, checkpoint and sequence; {readings} readings of {sensors} sensors"
            );
        }
        writeln!(
            out,
            "verdict  damaged: {} row(s) cannot be read and {} readings are lost; {readings} readings of {sensors} sensors can be \
             salvaged\n         (the agent does so by itself when it starts; edgespool queue export writes them out)",
            self.damaged_rows, self.lost_readings
        )
    }
}

fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    match write(&mut out) {
        Ok(()) => out,
        Err(fmt::Error) => String::new(),
    }
}

fn more(out: &mut String, all: usize) -> fmt::Result {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "         and {more} more places (--json has them)"),
    }
}

fn range(from: u64, through: u64) -> String {
    if from == through {
        from.to_string()
    } else {
        format!("{from}-{through}")
    }
}

fn line(out: &mut String, sensor: &Sensor) -> fmt::Result {
    let ranges = sensor.ranges.iter();
    let shown = |r: &Range| format!("{} of epoch {}", range(r.first, r.last), r.epoch);
    let ranges: Vec<String> = ranges.map(shown).collect();
    let queued = sensor
        .ledger
        .map_or(String::new(), |ledger| format!("  queued {}", ledger.queued));
    writeln!(
        out,
        "sensor   {}  {} readings, {}{queued}  {} to {}",
        sensor.id,
        sensor.readings,
        ranges.join(", "),
        sensor.from,
        sensor.to
    )
}
