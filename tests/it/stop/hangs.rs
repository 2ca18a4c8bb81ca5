//! SIGTERM while something does not answer.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use edgespool::forward::kafka::mock::MockKafka;
use edgespool_node::NodeId;
use edgespool_wire::{Hello, MAX_ENCODED, Message, Versions, encode};
use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
use rustix::process::Signal;

use super::{ENDLESS, Scene, of_fleet, stop, stop_and_look};
use crate::support::agent::Agent;
use crate::support::nodes::Fleet;
use crate::support::pty::Socket;

/// The usual course, whatever the broker is.
fn check(brokers: &str, what: &str) {
    let scene = Scene::new(brokers, "");
    let fleet = scene.fleet(ENDLESS);
    let agent = scene.gateway.start();
    fleet.wait_for(200);
    stop_and_look(&scene, &fleet, agent, what);
}

/// 150,000 readings a second, if the machine has the time.
const MANY: &str =
    "[[source]]\nkind = \"simulated\"\nsensors = 300\nevery = \"2ms\"\n[span]\nidle-timeout = \"100ms\"\n";

/// A port of this machine where nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn while_kafka_refuses_connections() {
    check(&closed_port(), "closed port");
}

#[test]
fn while_the_brokers_name_is_unknown() {
    check("broker.invalid:9092", "unknown name");
}

#[test]
fn while_the_brokers_address_is_a_black_hole() {
    // A queue of connections that is full: the kernel drops what asks for one more.
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(
        &listener,
        &"127.0.0.1:0".parse::<std::net::SocketAddrV4>().unwrap(),
    )
    .unwrap();
    listen(&listener, 0).unwrap();
    let address: std::net::SocketAddr = getsockname(&listener).unwrap().try_into().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let flags = rustix::net::SocketFlags::NONBLOCK;
            let socket =
                rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
            // Under way, or already waiting for ever.
            connect(&socket, &address).unwrap_or_default();
            socket
        })
        .collect();
    let hole = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    assert_eq!(
        hole.unwrap_err().kind(),
        std::io::ErrorKind::TimedOut,
        "it is one"
    );
    check(&address.to_string(), "black hole");
    drop(waiting);
}

#[test]
fn while_a_broker_takes_connections_and_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the process.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    check(&address.to_string(), "mute broker");
}

/// In the place of the resolver: it says that it was asked, and never answers.
const DEAD_RESOLVER: &str = "
#include <netdb.h>
#include <unistd.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r) {
    (void)n, (void)s, (void)h, (void)r;
    if (write(2, \"the resolver was asked\\n\", 23) < 0) return EAI_FAIL;
    for (;;) pause();
}
";

/// Between the program and its disk: once there is a file `reads` or `syncs` in the directory, these never come back.
const DEAD_DISK: &str = "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void hang(const char *what) {
    char path[4096];
    snprintf(path, sizeof path, \"%s/%s\", getenv(\"DEAD_DISK\"), what);
    if (access(path, F_OK)) return;
    dprintf(2, \"hanging: %s\\n\", what);
    for (;;) pause();
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
ssize_t pread64(int f, void *b, size_t n, off_t o) { hang(\"reads\"); return REAL(pread64)(f, b, n, o); }
int fdatasync(int f) { hang(\"syncs\"); return REAL(fdatasync)(f); }
int fsync(int f) { hang(\"syncs\"); return REAL(fsync)(f); }
";

/// Starts the agent with these functions in the place of the C library's.
fn start_with(scene: &Scene, functions: &str, environment: &[(&str, &Path)]) -> Agent {
    let (source, library) = (
        scene.gateway.path().join("dead.c"),
        scene.gateway.path().join("dead.so"),
    );
    std::fs::write(&source, functions).unwrap();
    let made = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .expect("a C compiler, which building edgespool needs too");
    assert!(made.success());
    let mut command = scene.gateway.command();
    command
        .env("LD_PRELOAD", &library)
        .envs(environment.iter().copied());
    let mut agent = Agent::launch(&scene.gateway, command);
    agent.wait_until("it answers", |_| true);
    agent
}

#[test]
fn while_the_resolver_is_dead() {
    let scene = Scene::new("broker.example:9092", "");
    let fleet = scene.fleet(ENDLESS);
    let agent = start_with(&scene, DEAD_RESOLVER, &[]);
    fleet.wait_for(200);
    assert!(
        scene.gateway.log().contains("the resolver was asked"),
        "{}",
        scene.gateway.log()
    );
    stop_and_look(&scene, &fleet, agent, "dead resolver");
}

/// Waits until something hangs.
fn wait_for_hang(scene: &Scene, agent: &mut Agent, what: &str) {
    let words = format!("hanging: {what}");
    for _ in 0..3000 {
        if scene.gateway.log().contains(&words) {
            return;
        }
        assert!(agent.is_running());
        sleep(Duration::from_millis(10));
    }
    panic!("nothing hangs: {}", scene.gateway.log());
}

/// Such an agent tells nobody how it is, and yet it ends.
fn stop_without_disk(scene: &Scene, fleet: &Fleet, agent: Agent, what: &str) {
    let receipted = fleet.receipted();
    stop(agent, Signal::TERM, what, &scene.gateway);
    let (stored, made) = (of_fleet(&scene.stored(), &ENDLESS), fleet.made().iter().sum());
    assert!(
        (receipted..=made).contains(&stored),
        "{receipted} receipts, {stored} stored of {made}"
    );
}

#[test]
fn while_the_disk_takes_nothing_any_more() {
    let scene = Scene::new(&closed_port(), "");
    let fleet = scene.fleet(ENDLESS);
    let dead = scene.gateway.path().join("syncs");
    let mut agent = start_with(&scene, DEAD_DISK, &[("DEAD_DISK", scene.gateway.path())]);
    fleet.wait_for(200);
    std::fs::write(&dead, "").unwrap();
    wait_for_hang(&scene, &mut agent, "syncs");
    stop_without_disk(&scene, &fleet, agent, "disk that takes nothing");
}

#[test]
fn while_the_disk_gives_nothing_any_more() {
    let kafka = MockKafka::start("readings", 6).unwrap();
    kafka.take_away().unwrap();
    let scene = Scene::new(&kafka.brokers(), MANY);
    let fleet = scene.fleet(ENDLESS);
    let mut agent = scene.gateway.start();
    agent.wait_until("a backlog", |status| status.ledger.queued > 100_000);
    stop(agent, Signal::TERM, "under load", &scene.gateway);
    let mut agent = start_with(&scene, DEAD_DISK, &[("DEAD_DISK", scene.gateway.path())]);
    std::fs::write(scene.gateway.path().join("reads"), "").unwrap();
    kafka.bring_back().unwrap();
    wait_for_hang(&scene, &mut agent, "reads");
    stop_without_disk(&scene, &fleet, agent, "disk that gives nothing");
}

/// Hellos, until their answers fill the line that nobody reads.
fn fill(line: &crate::support::pty::Adapter) {
    let mut frame = [0; MAX_ENCODED];
    let (mut last, mut same) = (0, 0);
    let mut boot = 1;
    while same < 50 {
        let hello = Message::Hello(Hello {
            node: NodeId::new(b"mute").unwrap(),
            boot,
            versions: Versions::OURS,
            window: 64,
            first: 1,
            uptime_ms: u64::from(boot),
        });
        let len = encode(&hello, &mut frame).unwrap();
        for _ in 0..20 {
            line.write_now(&frame[..len]);
        }
        boot += 1;
        sleep(Duration::from_millis(5));
        let unread = line.unread();
        same = if unread == last && unread > 1000 {
            same + 1
        } else {
            0
        };
        last = unread;
    }
    eprintln!("hung port: {last} bytes of answers that nobody reads");
}

#[test]
fn while_a_port_takes_no_acknowledgements() {
    let mute = Socket::new();
    let line = mute.plug();
    let rest = format!("[[source]]\nkind = \"serial-frames\"\nport = {:?}\n", mute.path());
    let scene = Scene::new(&closed_port(), &rest);
    let fleet = scene.fleet(ENDLESS);
    let agent = scene.gateway.start();
    fill(&line);
    fleet.wait_for(200);
    stop_and_look(&scene, &fleet, agent, "hung port");
}

#[test]
fn in_the_middle_of_a_backlog_that_is_being_sent() {
    let kafka = MockKafka::start("readings", 6).unwrap();
    kafka.take_away().unwrap();
    let scene = Scene::new(&kafka.brokers(), MANY);
    let fleet = scene.fleet(ENDLESS);
    let mut agent = scene.gateway.start();
    agent.wait_until("a backlog", |status| status.ledger.queued > 100_000);
    stop(agent, Signal::TERM, "under load", &scene.gateway);
    let before = scene.stored().ledger;
    assert!(
        before.accepted > 100_000 && before.accepted == before.queued,
        "{before:?}"
    );

    kafka.bring_back().unwrap();
    let mut agent = scene.gateway.start();
    let status = agent.wait_until("deliveries", |status| {
        status.ledger.delivered > before.accepted / 100
    });
    assert!(status.ledger.queued > 0, "{:?}", status.ledger);
    stop_and_look(&scene, &fleet, agent, "backlog");
    let after = scene.stored().ledger;
    eprintln!("backlog: {before:?}, then {after:?}");
    assert_eq!(
        after.accepted,
        after.delivered + after.queued + after.dead + after.dropped
    );
    assert!(
        after.delivered > 0 && after.dead == 0 && after.dropped == 0,
        "{after:?}"
    );
}
