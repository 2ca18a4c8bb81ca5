//! edgespool: the telemetry agent that does not lose a reading.
//!
//! The modules stand in the order in which a reading flows; ARCHITECTURE.md is the map.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation,
        reason = "tests fail loudly, with numbers that they chose"
    )
)]

pub mod agent;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod event;
pub mod exit;
pub mod format;
pub mod forward;
pub mod inspect;
pub mod intake;
pub mod logging;
pub mod mqtt;
pub mod panics;
pub mod planted;
pub mod queue;
pub mod reading;
pub mod source;
pub mod span;
pub mod status;
pub mod sys;
pub mod systemd;
pub mod template;
pub mod ticket;
