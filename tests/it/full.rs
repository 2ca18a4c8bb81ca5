//! A small disk that others fill, and that the queue fills itself: the program on a file system of 32 MiB.
//!
//! `just prove-full` makes the disk (root, loop devices) and says where it is in `EDGESPOOL_DISK`.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use edgespool::forward::kafka::mock::MockKafka;
use edgespool::status::Snapshot;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::Signal;

use crate::support::agent::{Agent, Gateway};

/// The rounds; `FULL_ROUNDS` for another number.
const ROUNDS: u32 = 20;

/// Fast enough to fill the queue while a round lasts.
const REST: &str = "commit-interval = \"20ms\"\nmax-size = \"16MiB\"\nmin-free = \"4MiB\"\nwhen-full = \"refuse-new\"\n\
    [[source]]\nkind = \"simulated\"\nsensors = 500\nevery = \"20ms\"\n";

/// Somebody else on the same disk.
struct Filler(PathBuf);

impl Filler {
    /// Takes all but so many bytes.
    fn leave(&self, bytes: u64) {
        let file = File::options().create(true).append(true).open(&self.0).unwrap();
        for piece in [1 << 20, 64 << 10, 4 << 10] {
            loop {
                let about = rustix::fs::fstatvfs(&file).unwrap();
                let length = file.metadata().unwrap().len();
                if about.f_bavail * about.f_frsize < bytes + piece
                    || fallocate(&file, FallocateFlags::empty(), length, piece).is_err()
                {
                    break;
                }
            }
        }
    }

    fn go(&self) {
        drop(fs::remove_file(&self.0));
    }
}

fn has_no_room(status: &Snapshot) -> bool {
    status
        .warnings
        .iter()
        .any(|warning| warning.contains("the queue"))
}

fn adds_up(status: &Snapshot) {
    let ledger = status.ledger;
    let sum = ledger.delivered + ledger.queued + ledger.dead + ledger.dropped;
    assert_eq!(ledger.accepted, sum, "{ledger:?}");
    assert_eq!((ledger.dead, ledger.dropped), (0, 0), "{ledger:?}");
}

/// Accepts something more; how many readings there are then.
fn takes_more(agent: &mut Agent, what: &str) -> u64 {
    let before = agent.ledger().accepted;
    agent
        .wait_until(what, |status| status.ledger.accepted > before)
        .ledger
        .accepted
}

struct Scene {
    gateway: Gateway,
    filler: Filler,
    kafka: MockKafka,
}

impl Scene {
    fn new(disk: &Path) -> Self {
        let kafka = MockKafka::start("readings", 3).unwrap();
        let gateway = Gateway::new(&kafka.brokers(), REST);
        let place = disk.join("queue");
        fs::create_dir_all(&place).unwrap();
        symlink(&place, gateway.queue()).unwrap();
        let filler = Filler(disk.join("somebody-elses"));
        Self {
            gateway,
            filler,
            kafka,
        }
    }

    /// Somebody else fills the disk while Kafka is away; then Kafka is back, and there is still no room.
    fn filled_by_others(&self, agent: &mut Agent) {
        self.kafka.take_away().unwrap();
        takes_more(agent, "readings without Kafka");
        self.filler.leave(0);
        let full = agent.wait_until("it says that there is no room", has_no_room);
        adds_up(&full);
        sleep(Duration::from_secs(3));
        let waiting = agent.status().intake.waiting;
        assert!(waiting <= 2 * 16_384 + 500, "{waiting} readings wait in memory");
        self.kafka.bring_back().unwrap();
        let delivered = full.ledger.delivered;
        agent.wait_until("delivery goes on", |status| status.ledger.delivered > delivered);
    }

    /// The queue fills its quota by itself.
    fn filled_by_itself(&self, agent: &mut Agent) {
        self.kafka.take_away().unwrap();
        let full = agent.wait_until("its limit is reached", has_no_room);
        adds_up(&full);
        assert!(full.queue.bytes <= 16 << 20, "{} bytes", full.queue.bytes);
        self.kafka.bring_back().unwrap();
        agent.wait_until("delivery makes room", |status| {
            status.ledger.accepted > full.ledger.accepted
        });
    }

    /// The agent is killed and comes back while there is no room. With Kafka there, a fast one would make room by itself.
    fn killed_while_full(&self, mut agent: Agent) -> Agent {
        self.kafka.take_away().unwrap();
        self.filler.leave(0);
        agent.wait_until("it says that there is no room", has_no_room);
        let before = agent.ledger();
        agent.kill();
        let mut agent = self.gateway.start();
        sleep(Duration::from_secs(2));
        assert!(agent.is_running(), "a full disk is no reason to end");
        let after = agent.ledger();
        assert!(after.accepted >= before.accepted, "{before:?} {after:?}");
        self.filler.go();
        self.kafka.bring_back().unwrap();
        takes_more(&mut agent, "it takes readings again by itself");
        agent
    }
}

#[test]
#[ignore = "needs root and a loop device: just prove-full"]
fn a_full_disk_costs_no_accepted_reading_and_ends_nothing() {
    let Some(disk) = std::env::var_os("EDGESPOOL_DISK") else {
        panic!("EDGESPOOL_DISK names no disk: run just prove-full");
    };
    let rounds = std::env::var("FULL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let scene = Scene::new(Path::new(&disk));
    let mut agent = scene.gateway.start();
    for round in 0..rounds {
        takes_more(&mut agent, "readings at the start of a round");
        match round % 3 {
            0 => scene.filled_by_others(&mut agent),
            1 => scene.filled_by_itself(&mut agent),
            _ => agent = scene.killed_while_full(agent),
        }
        scene.filler.go();
        let status = agent.status();
        adds_up(&status);
        eprintln!("round {round}: {:?}, {} bytes", status.ledger, status.queue.bytes);
    }
    takes_more(&mut agent, "readings after all rounds");
    let (status, _) = agent.end_by(Signal::TERM);
    assert!(status.success(), "{status}");
    // What was accepted is delivered to the last reading, by an agent without sensors.
    let quiet = REST.split("[[source]]").next().unwrap().to_owned();
    let nothing = "[[source]]\nkind = \"serial-text\"\nport = \"/dev/no-such-port\"\npattern = '^(?P<sensor>a)(?P<t>1)$'\n";
    let file = scene
        .gateway
        .device_file(&scene.kafka.brokers(), &(quiet + nothing));
    scene.gateway.write(&file);
    let mut agent = scene.gateway.start();
    let drained = agent.wait_long("all is delivered", Duration::from_secs(300), |status| {
        status.ledger.queued == 0
    });
    adds_up(&drained);
    assert!(
        !scene.gateway.log().contains("cannot be read"),
        "{}",
        scene.gateway.log()
    );
    assert!(
        drained.queue.generations <= 2,
        "{} generations",
        drained.queue.generations
    );
}
