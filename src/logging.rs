//! Log lines on stderr: a constant message and fields, with journald's levels under systemd.
//!
//! Owns the form of a line. Must not decide what is logged, and never sees a secret: nobody hands one in.

use std::fmt;

pub use tracing::Level;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// `LEVEL message field=value`; under journald `<N>message field=value`, N the syslog priority.
#[derive(Debug, Clone, Copy)]
struct Lines {
    journald: bool,
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journald {
            write!(to, "<{}>", priority(level))?;
        } else {
            write!(to, "{level:>5} ")?;
        }
        ctx.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Starts logging. The level is the given one, or what `EDGESPOOL_LOG` says (error, warn, info, debug, trace). Only the first call
/// has an effect.
pub fn start(level: Level) {
    let level = std::env::var("EDGESPOOL_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(level);
    let journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Lines { journald })
        .finish();
    // A second start changes nothing.
    drop(tracing::subscriber::set_global_default(subscriber));
}
