//! The forwarder's real lanes over a queue, with a broker that takes everything at once.
//!
//! Owns the loop that the forwarder's thread has otherwise: so that what is compared is what would have been sent, and what
//! the ledger says is what the agent's would say. Must not know what a reading has to be.

use std::time::Duration;

use edgespool::clock::Mono;
use edgespool::forward::needs::Side;
use edgespool::forward::output::{MEMORY, Output, Settings, UNDER_WAY, Want};
use edgespool::queue::cursor::{Cursor, Step};
use edgespool::queue::spool::Spool;
use edgespool::span::Rules;
use edgespool::ticket::{Outcome, Report, Ticket};

use crate::Failure;

const HOUR: Duration = Duration::from_secs(3600);
/// Turns without a row or a ticket before it counts as done; each lets an hour pass.
const IDLE: u32 = 3;
/// More turns than any queue of the rig needs.
const MOST: u64 = 50_000_000;

/// Delivers everything that can be read; returns what could not be, in words.
pub fn drain(spool: &Spool, mut deliver: impl FnMut(&Ticket)) -> Result<Vec<String>, Failure> {
    let rules = Rules {
        time_span: Duration::from_secs(30),
        packet_size: 500,
        idle_timeout: Duration::from_secs(10),
        max_delay: HOUR,
    };
    let mut output = Output::new(Settings {
        output: spool.output(),
        memory: MEMORY,
        under_way: UNDER_WAY,
        hold: Duration::ZERO,
        rules: Box::new(move |_| rules),
        destination: Box::new(|_| "readings".into()),
        seed: 1,
    });
    let mut now = Mono(1_000_000_000);
    output.begin(&spool.start());
    output.observe(true, true, now);
    let (mut main, mut behind) = (spool.cursor(output.main_row()), None::<Cursor>);
    let (mut idle, mut damaged) = (0, Vec::new());
    for _ in 0..MOST {
        let mut moved = false;
        match output.wants() {
            Want::Nothing => {}
            Want::Main => moved |= step(&mut output, Side::Main, &mut main, now, &mut damaged),
            Want::CatchUp(row) => {
                let cursor = behind
                    .take()
                    .filter(|cursor| cursor.position() == row)
                    .unwrap_or_else(|| spool.cursor(row));
                moved |= step(
                    &mut output,
                    Side::CatchUp,
                    behind.insert(cursor),
                    now,
                    &mut damaged,
                );
            }
        }
        for ticket in output.take_sends() {
            deliver(&ticket);
            let report = Report {
                ticket: ticket.id,
                outcome: Outcome::Delivered,
            };
            output.report(report, now);
            moved = true;
        }
        if let Some(progress) = output.take_progress() {
            spool.post(progress);
        }
        idle = if moved { 0 } else { idle + 1 };
        if idle > IDLE {
            return Ok(damaged);
        }
        if !moved {
            now = now.after(HOUR);
            output.at_tail(true, now);
        }
    }
    Err("the lanes do not come to an end".into())
}

/// One step of a cursor; false at the durable tail.
fn step(output: &mut Output, side: Side, cursor: &mut Cursor, now: Mono, damaged: &mut Vec<String>) -> bool {
    match cursor.step() {
        Some(Step::Row(row)) => output.row(side, row, |sensor| cursor.def(sensor), now),
        Some(Step::Standing { epoch, next }) => output.standing(side, epoch, &next),
        Some(Step::GivenUp { from, through }) => {
            damaged.push(format!("rows {from} to {through} are said to be given up"));
            output.damaged(side, through);
        }
        Some(Step::Damaged { from, through, why }) => {
            damaged.push(format!("rows {from} to {through} cannot be read: {why}"));
            output.damaged(side, through);
        }
        None => {
            output.at_tail(true, now);
            return false;
        }
    }
    true
}
