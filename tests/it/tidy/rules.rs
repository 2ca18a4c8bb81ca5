//! The rules: a row says what may not be where, why, and what it has to catch.

/// How a rule judges the files that it is about.
pub(super) enum Law {
    /// Lines with code, that is neither blank nor comment only.
    CodeLinesAtMost(usize),
    /// The first line is module documentation.
    OpensWithModuleDoc,
    /// This keyword or identifier does not stand in the code.
    NeverSays(&'static str),
    /// None of these paths is named, nor anything below them, however it was imported.
    NeverNames(&'static [&'static str]),
    /// This crate is named in one file, or in several that all lie in one of these modules.
    OneHome {
        name: &'static str,
        folders: &'static [&'static str],
    },
    /// The modules in this folder do not name each other, but for the shared ones.
    ChildrenApart {
        folder: &'static str,
        shared: &'static [&'static str],
    },
    /// No line of any text file has a word that starts so.
    NoLineHas(&'static [&'static str]),
}

pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// Patterns of the files that it is about: `a/` all below, `a.rs` a file, `a` a module.
    pub(super) files: &'static [&'static str],
    pub(super) except: &'static [&'static str],
    pub(super) law: Law,
    /// A tree that breaks it: `//~` marks where.
    pub(super) bites: &'static [(&'static str, &'static str)],
}

/// What sees the whole and may know everybody.
const TOP: &[&str] = &["src/main.rs", "src/agent", "src/cli", "src/demo"];

/// Decisions: `fn(event, now) -> actions`.
const PURE: &[&str] = &[
    "src/audit/identity",
    "src/audit/ranges",
    "src/audit/report",
    "src/audit/tally",
    "src/demo/oracle",
    "src/event",
    "src/demo/verdict",
    "src/demo/walk",
    "src/forward/backoff",
    "src/forward/lane",
    "src/forward/window",
    "src/queue/bytes",
    "src/queue/columns",
    "src/queue/cursor",
    "src/queue/entries",
    "src/queue/fold",
    "src/queue/gaps",
    "src/queue/retention",
    "src/queue/row",
    "src/reading",
    "src/span",
    "src/ticket",
    "src/treat",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "short files",
        reason: "a file is read in one sitting; tests count too: move them to a file beside it",
        files: &[""],
        except: &[],
        law: Law::CodeLinesAtMost(400),
        bites: &[],
    },
    Rule {
        name: "module docs",
        reason: "every module says first what it owns, what it promises and what it must not know",
        files: &["src/", "firmware/", "tests/it/", "benches/"],
        except: &[],
        law: Law::OpensWithModuleDoc,
        bites: &[
            ("src/span.rs", "use std::fmt; //~\n//! Late.\n"),
            ("src/sys.rs", "//! Early.\nuse std::fmt;\n"),
            ("firmware/wire/src/lib.rs", "/// An item's. //~\nstruct A;\n"),
        ],
    },
    Rule {
        name: "unsafe in one file",
        reason: "what the compiler cannot check is in src/sys.rs, each block with its proof",
        files: &["src/", "tests/", "benches/", "firmware/wire/", "firmware/node/"],
        except: &["src/sys.rs"],
        law: Law::NeverSays("unsafe"),
        bites: &[(
            "src/span.rs",
            "// unsafe\nfn a() { unsafe { b() } } //~\nlet c = \"unsafe\";\n",
        )],
    },
    Rule {
        name: "sled in one file",
        reason: "another store can take its place behind the queue's trait",
        files: &["src/"],
        except: &[],
        law: Law::OneHome {
            name: "sled",
            folders: &["src/queue/sled_store"],
        },
        bites: &[
            ("src/queue/sled_store.rs", "use sled::Db; //~\n"),
            (
                "src/queue/generations.rs",
                "// sled::Db\nlet a = sled::open(b); //~\n",
            ),
        ],
    },
    Rule {
        name: "rdkafka in one place",
        reason: "the client is behind the broker trait; its folder also holds the demo's mock cluster",
        files: &["src/"],
        except: &[],
        law: Law::OneHome {
            name: "rdkafka",
            folders: &["src/forward/kafka", "src/kafka"],
        },
        bites: &[
            ("src/forward/kafka.rs", "use rdkafka::ClientConfig; //~\n"),
            (
                "src/forward/kafka/producer.rs",
                "//! Doc.\nuse rdkafka::error::KafkaError; //~\n",
            ),
            ("src/demo/cluster.rs", "use rdkafka::mocking::MockCluster; //~\n"),
        ],
    },
    Rule {
        name: "rumqttc in one file",
        reason: "the protocol's own folder is the only one that knows its codec",
        files: &["src/"],
        except: &[],
        law: Law::OneHome {
            name: "rumqttc",
            folders: &["src/mqtt"],
        },
        bites: &[
            ("src/mqtt/packet.rs", "use rumqttc::Event; //~\n"),
            ("src/intake.rs", "use rumqttc as mqtt; //~\n"),
        ],
    },
    Rule {
        name: "tokio_serial in one file",
        reason: "one file opens ports, exclusively, and knows how they are lost",
        files: &["src/"],
        except: &[],
        law: Law::OneHome {
            name: "tokio_serial",
            folders: &["src/source/port", "src/source/serial"],
        },
        bites: &[
            ("src/source/port.rs", "use tokio_serial::SerialStream; //~\n"),
            ("src/source/text.rs", "let a = tokio_serial::new(b, 9600); //~\n"),
        ],
    },
    Rule {
        name: "linux_embedded_hal in one file",
        reason: "drivers are written against embedded-hal, and only one file opens a bus",
        files: &["src/"],
        except: &[],
        law: Law::OneHome {
            name: "linux_embedded_hal",
            folders: &["src/source/i2c"],
        },
        bites: &[
            ("src/source/i2c/bus.rs", "use linux_embedded_hal::I2cdev; //~\n"),
            ("src/source/sysfs.rs", "use linux_embedded_hal::I2cdev; //~\n"),
        ],
    },
    Rule {
        name: "serde_cbor in one file",
        reason: "it is unmaintained: only the wire's codec file would change with another",
        files: &["src/", "firmware/wire/src/", "firmware/node/src/"],
        except: &["src/format/cbor"],
        law: Law::OneHome {
            name: "serde_cbor",
            folders: &[],
        },
        bites: &[
            ("firmware/wire/src/codec.rs", "use serde_cbor::Error; //~\n"),
            ("src/source/frames.rs", "fn a(b: serde_cbor::Value) {} //~\n"),
        ],
    },
    Rule {
        name: "sources end at the inbox",
        reason: "a source knows readings, the clock, the inbox and the wire; custody passes there",
        files: &["src/source"],
        except: &[],
        law: Law::NeverNames(&["crate::queue", "crate::forward", "crate::format"]),
        bites: &[(
            "src/source/frames.rs",
            "use super::super::queue::Appender; //~\nuse crate::{intake, forward::Lane}; //~\nuse crate::reading::Reading;\n",
        )],
    },
    Rule {
        name: "sources apart",
        reason: "a kind of source can be added or taken out without touching another",
        files: &["src/source/"],
        except: &[],
        law: Law::ChildrenApart {
            folder: "src/source",
            shared: &["port", "serial"],
        },
        bites: &[
            (
                "src/source/mod.rs",
                "pub mod frames; pub mod text; pub mod port; use text::Text;\n",
            ),
            (
                "src/source/text.rs",
                "use super::{Source, port::Port, frames::Frames}; //~\nuse super::text::own;\n",
            ),
            (
                "src/source/frames.rs",
                "mod tests { use super::*; use crate::source::text; } //~\n",
            ),
            ("src/source/port.rs", "use super::Source;\n"),
        ],
    },
    Rule {
        name: "pure decisions",
        reason: "decisions are functions of an event and the time: the simulation runs them as they are",
        files: PURE,
        except: &[],
        law: Law::NeverNames(&[
            "libc",
            "rdkafka",
            "rustix",
            "sled",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "tokio",
        ]),
        bites: &[(
            "src/span.rs",
            "use std::time::{Duration, Instant}; //~\nuse std::time::*; //~\nfn a(b: std::fs::File) {} //~\n\
             use tokio::sync::mpsc; //~\nuse std::{fmt, thread}; //~\nlet c: std::time::Duration = d;\n",
        )],
    },
    Rule {
        name: "configuration stops at the top",
        reason: "the composition root turns configuration into parts; the parts take typed values of their own",
        files: &["src/"],
        except: &["src/main.rs", "src/agent", "src/cli", "src/demo", "src/config"],
        law: Law::NeverNames(&["crate::config", "edgespool::config"]),
        bites: &[(
            "src/intake.rs",
            "use crate::config::Queue; //~\nfn a(b: crate::config::Span) {} //~\n",
        )],
    },
    Rule {
        name: "nobody looks up",
        reason: "the composition root knows everything; nothing knows the composition root",
        files: &["src/"],
        except: TOP,
        law: Law::NeverNames(&["crate::agent", "crate::cli", "crate::demo"]),
        bites: &[(
            "src/queue.rs",
            "use super::agent::Agent; //~\nuse crate::queue::row;\n",
        )],
    },
    Rule {
        name: "the queue stands alone",
        reason: "the two halves meet at the queue: it knows no source, no format and no broker",
        files: &["src/queue"],
        except: &[],
        law: Law::NeverNames(&["crate::forward", "crate::format", "crate::source"]),
        bites: &[(
            "src/queue/cursor.rs",
            "use crate::forward::lane; //~\nuse crate::reading::SensorId;\n",
        )],
    },
    Rule {
        name: "the right half does not know the left",
        reason: "only what is durable is sent (invariant I2): there is no road around the queue",
        files: &["src/forward", "src/format"],
        except: &[],
        law: Law::NeverNames(&["crate::intake", "crate::source"]),
        bites: &[(
            "src/forward/lane.rs",
            "use crate::intake::Inbox; //~\nuse crate::queue::Spool;\n",
        )],
    },
    Rule {
        name: "the left half does not know the right",
        reason: "custody is taken whether Kafka is there or not",
        files: &["src/intake", "src/treat"],
        except: &[],
        law: Law::NeverNames(&["crate::forward", "crate::format", "crate::source"]),
        bites: &[(
            "src/intake.rs",
            "use crate::forward::Broker; //~\nuse crate::queue::Appender;\n",
        )],
    },
    Rule {
        name: "one appender",
        reason: "the intake is the only holder of the queue's Appender: its commits are the only ones",
        files: &["src/"],
        except: &["src/queue", "src/intake", "src/agent"],
        law: Law::NeverNames(&["crate::queue::Appender"]),
        bites: &[(
            "src/forward.rs",
            "use crate::queue;\nfn a(b: queue::Appender) {} //~\n",
        )],
    },
    Rule {
        name: "clocks in one file",
        reason: "everything else is told the time, so that the simulation can tell another",
        files: &["src/", "firmware/wire/", "firmware/node/"],
        except: &["src/clock.rs", "src/sys.rs"],
        law: Law::NeverNames(&[
            "libc::adjtimex",
            "libc::clock_gettime",
            "libc::gettimeofday",
            "libc::time",
            "rustix::time::clock_gettime",
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "tokio::time::Instant::now",
        ]),
        bites: &[(
            "src/intake.rs",
            "use std::time::{Duration, Instant as Moment};\nlet a = Moment::now(); //~\nlet b: Moment = c;\n\
             std::time::SystemTime::now(); //~\nuse rustix::time::{ClockId, clock_gettime}; //~\n",
        )],
    },
    Rule {
        name: "no machine of ours",
        reason: "the tree works wherever it is checked out",
        files: &[""],
        except: &["tests/it/tidy"],
        law: Law::NoLineHas(&[
            "/home/",
            "/root/",
            "/work/",
            "/workspace/",
            "/Users/",
            "C:\\Users",
        ]),
        bites: &[
            (
                "README.md",
                "cd /home/me/edgespool //~\nsee target/work/ and ../root/x and $HOME/work/y\n",
            ),
            ("deploy/a.toml", "path = \"/work/queue\" //~\n"),
        ],
    },
];
