//! `serial-frames`: real nodes over lines that break, agents that are killed, and what may be acknowledged when.

use std::sync::Arc;

use edgespool::source::serial_frames::{Roster, Settings, spawn};
use edgespool::source::{Knowledge, Running, port};

use crate::support::intake::Intake;
use crate::support::pty::Socket;

mod by_hand;
mod nodes;

pub(super) fn start_with(intake: &Intake, socket: &Socket, label: &str, roster: &Arc<Roster>) -> Running {
    let context = intake.context(label, Knowledge::default());
    let port = port::Settings {
        path: socket.path().into(),
        baud: 115_200,
    };
    spawn(
        context,
        Settings {
            port,
            roster: roster.clone(),
        },
    )
}

pub(super) fn start(intake: &Intake, socket: &Socket) -> Running {
    start_with(
        intake,
        socket,
        "source[0] serial-frames",
        &Arc::new(Roster::new(intake.nodes())),
    )
}

pub(super) async fn end(mut source: Running, intake: Intake) {
    source.stop();
    source.ended().await;
    intake.stop();
}
