//! The report as people read it: a table, what is wrong line by line, the verdict last.

use std::fmt;

use super::{Ranges, Report, Row, Strictness, Verdict};

/// The most ranges that a line shows, and the most lines of one kind.
const MAX_SHOWN: usize = 8;

const HEAD: [&str; 9] = [
    "DEVICE",
    "SENSOR",
    "EPOCH",
    "COUNT",
    "FIRST",
    "LAST",
    "MISSING",
    "DUPLICATES",
    "DISORDER",
];
/// From this column on they are numbers, and end at the right.
const NUMBERS: usize = 3;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = self.records;
        writeln!(
            f,
            "{} records: {} readings of {} sensors; {} records are not from edgespool, {} of other devices",
            records.heard,
            self.readings(),
            self.rows.len(),
            records.foreign,
            records.other_devices
        )?;
        if !self.rows.is_empty() {
            writeln!(f)?;
            table(f, &self.rows)?;
            writeln!(f)?;
        }
        lines(
            f,
            self.rows
                .iter()
                .filter_map(|row| gaps(row, "missing", &row.missing)),
        )?;
        lines(f, self.rows.iter().filter_map(late))?;
        lines(
            f,
            self.split_keys.iter().map(|split| {
                format!(
                    "key {:?} of topic {} is in partitions {}",
                    split.key,
                    split.topic,
                    join(split.partitions.iter())
                )
            }),
        )?;
        lines(
            f,
            self.rows
                .iter()
                .filter_map(|row| gaps(row, "removed by retention or missing", &row.inconclusive)),
        )?;
        write!(f, "verdict: {}", self.sentence())
    }
}

impl Report {
    /// The verdict in a sentence.
    fn sentence(&self) -> String {
        let (missing, disorder, twice) = (self.missing(), self.disorder(), self.duplicates());
        match self.verdict {
            Verdict::Well if twice > 0 => format!(
                "well: every reading is there, in order; {twice} came again, to be told by device, epoch, sensor and seq"
            ),
            Verdict::Well => "well: every reading is there, once, in order".to_owned(),
            Verdict::Faulty => {
                let mut faults = Vec::new();
                let mut fault = |count: u64, what: &str| {
                    if count > 0 {
                        faults.push(format!("{what}: {count}"));
                    }
                };
                fault(missing, "readings missing");
                fault(disorder, "readings after a later one");
                fault(self.split_keys.len() as u64, "keys in more than one partition");
                if self.strictness == Strictness::OnceEach {
                    fault(twice, "readings again");
                }
                format!("faulty: {}", faults.join("; "))
            }
            Verdict::Inconclusive if self.rows.is_empty() => {
                "inconclusive: there is no reading to judge".to_owned()
            }
            Verdict::Inconclusive if !self.complete => {
                "inconclusive: not everything could be read; nothing wrong was found in what was".to_owned()
            }
            Verdict::Inconclusive => format!(
                "inconclusive: {} readings may have been removed by the topic's retention; nothing else is wrong",
                self.inconclusive()
            ),
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let cells: Vec<[String; 9]> = rows.iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(f, &HEAD.map(String::from), &widths)?;
    cells.iter().try_for_each(|row| line(f, row, &widths))
}

fn cells(row: &Row) -> [String; 9] {
    let numbers = [row.epoch, row.count, row.first, row.last];
    let [epoch, count, first, last] = numbers.map(|number| number.to_string());
    // What may have been removed is neither missing nor fine.
    let missing = match row.inconclusive.len() {
        0 => row.missing.len().to_string(),
        unknown => format!("{}+{unknown}?", row.missing.len()),
    };
    [
        row.device.to_string(),
        row.sensor.to_string(),
        epoch,
        count,
        first,
        last,
        missing,
        row.duplicates.to_string(),
        row.disorder.to_string(),
    ]
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String; 9], widths: &[usize; 9]) -> fmt::Result {
    let mut text = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = if index == 0 { "" } else { "  " };
        text += &if index < NUMBERS {
            format!("{gap}{cell:<width$}")
        } else {
            format!("{gap}{cell:>width$}")
        };
    }
    writeln!(f, "{}", text.trim_end())
}

fn lines(f: &mut fmt::Formatter<'_>, all: impl Iterator<Item = String>) -> fmt::Result {
    let all: Vec<String> = all.collect();
    for line in all.iter().take(MAX_SHOWN) {
        writeln!(f, "{line}")?;
    }
    match all.len().saturating_sub(MAX_SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "… and {more} more like this"),
    }
}

fn gaps(row: &Row, what: &str, ranges: &Ranges) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    let shown = ranges.iter().take(MAX_SHOWN).map(|(from, through)| {
        if from == through {
            from.to_string()
        } else {
            format!("{from}-{through}")
        }
    });
    let more = match ranges.pieces().saturating_sub(MAX_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} ranges more"),
    };
    Some(format!("{what}: {}: {}{more}", title(row), join(shown)))
}

fn late(row: &Row) -> Option<String> {
    let (late, topic, partition) = row.first_late.as_ref()?;
    Some(format!(
        "out of order: {}: {} came after {} at offset {} of {topic} partition {partition}{}",
        title(row),
        late.sequence,
        late.after,
        late.offset,
        match row.disorder {
            1 => String::new(),
            all => format!("; {all} in all"),
        }
    ))
}

fn title(row: &Row) -> String {
    format!("{} {} epoch {}", row.device, row.sensor, row.epoch)
}

fn join(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let all: Vec<String> = items.map(|item| item.to_string()).collect();
    all.join(", ")
}
