//! The output as the driver's deciding half.
//!
//! Owns the translation between the two: calls in, actions out. Pure, like the output itself. Must not decide anything.

use super::driver::{Action, Core, Definitions, Reader};
use super::needs::Side;
use super::output::{Output, View, Want};
use crate::clock::Mono;
use crate::queue::cursor::Step;
use crate::queue::spool::OutputStart;
use crate::queue::types::RowNo;
use crate::ticket::Report;

/// An output and what it was last told.
#[derive(Debug)]
pub struct OutputCore {
    output: Output,
    /// The row that the catch-up cursor reads next; `None` while there is none.
    catch_up: Option<RowNo>,
    reachable: bool,
    synchronized: bool,
}

impl OutputCore {
    /// For an output that has not begun.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self {
            output,
            catch_up: None,
            reachable: false,
            synchronized: false,
        }
    }

    fn flush(&mut self, actions: &mut Vec<Action>) {
        actions.extend(self.output.take_sends().into_iter().map(Action::Send));
        actions.extend(self.output.take_progress().map(Action::Post));
    }
}

impl Core for OutputCore {
    type Status = View;

    fn begin(&mut self, start: OutputStart, _: Mono, _: &mut Vec<Action>) {
        self.output.begin(&start);
    }

    fn wants(&mut self, main_at_tail: bool, actions: &mut Vec<Action>) -> Option<Reader> {
        self.output.note_tail(main_at_tail);
        let want = self.output.wants();
        self.flush(actions);
        match want {
            Want::Main => Some(Reader::Main),
            Want::CatchUp(row) => {
                if self.catch_up != Some(row) {
                    self.catch_up = Some(row);
                    actions.push(Action::CatchUp(row));
                }
                Some(Reader::CatchUp)
            }
            Want::Nothing => {
                if self.catch_up.is_some() && !self.output.is_catching_up() {
                    self.catch_up = None;
                    actions.push(Action::CaughtUp);
                }
                None
            }
        }
    }

    fn given_up(&mut self, now: &OutputStart) {
        self.output.given_up(now);
    }

    fn step(
        &mut self,
        reader: Reader,
        step: Option<Step>,
        definitions: &Definitions<'_>,
        now: Mono,
        actions: &mut Vec<Action>,
    ) {
        let side = match reader {
            Reader::Main => Side::Main,
            Reader::CatchUp => Side::CatchUp,
        };
        match step {
            Some(Step::Row(row)) => {
                let next = row.number + 1;
                self.output.row(side, row, |sensor| definitions.of(sensor), now);
                self.moved(side, next);
            }
            Some(Step::Damaged { through, .. } | Step::GivenUp { through, .. }) => {
                self.output.damaged(side, through);
                self.moved(side, through + 1);
            }
            Some(Step::Standing { epoch, next }) => self.output.standing(side, epoch, &next),
            None => self.output.at_tail(true, now),
        }
        self.flush(actions);
    }

    fn report(&mut self, report: Report, now: Mono, actions: &mut Vec<Action>) {
        self.output.report(report, now);
        self.flush(actions);
    }

    fn link(&mut self, up: bool, now: Mono, actions: &mut Vec<Action>) {
        self.reachable = up;
        self.output.observe(self.synchronized, up, now);
        self.flush(actions);
    }

    fn tick(&mut self, now: Mono, synchronized: bool, actions: &mut Vec<Action>) {
        self.synchronized = synchronized;
        self.output.observe(synchronized, self.reachable, now);
        self.output.tick(now);
        self.flush(actions);
    }

    fn deadline(&self) -> Option<Mono> {
        self.output.next_deadline()
    }

    fn status(&self, _: Mono) -> View {
        self.output.view()
    }
}

impl OutputCore {
    fn moved(&mut self, side: Side, next: RowNo) {
        if side == Side::CatchUp {
            self.catch_up = Some(next);
        }
    }
}
