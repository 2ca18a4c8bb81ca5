//! What a device file means when it is right.

use std::path::Path;
use std::time::Duration;

use edgespool::config::{Acks, ChipDriver, Compression, Delivery, Format, Source, WhenFull};
use edgespool::reading::SensorId;

use super::{LEAST, check, data, env};

fn id(text: &str) -> SensorId {
    SensorId::new(text).unwrap()
}

#[test]
fn the_installed_file_is_right_and_warns_of_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/device.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let config = check(&text).unwrap();
    assert_eq!(config.warnings, []);
    // Its examples, switched on, are right as well.
    let example = |line: &str| {
        line.strip_prefix("# ")
            .filter(|text| text.starts_with([' ', '[']) || text.contains(" = "))
            .map(str::to_owned)
    };
    let all: Vec<String> = text
        .lines()
        .map(|line| example(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    let config = check(&all.join("\n")).unwrap();
    assert_eq!(config.sources.len(), 4);
    assert_eq!(config.warnings, []);
}

#[test]
fn what_is_not_said_is_as_the_reference_says() {
    let least = check(LEAST).unwrap();
    // Of the reference, the tables of which every value shown is a default.
    let reference = std::fs::read_to_string(data("reference-device.toml")).unwrap();
    let skipped = [
        "tags",
        "headers",
        "id ",
        "brokers",
        "[kafka.librdkafka]",
        "\"socket.",
    ];
    let known: Vec<&str> = reference
        .lines()
        .take_while(|line| !line.starts_with("[[source]]"))
        .chain(reference.lines().skip_while(|line| !line.starts_with("[status]")))
        .filter(|line| !skipped.iter().any(|start| line.starts_with(start)))
        .collect();
    let said = known
        .join("\n")
        .replace("[kafka]", "[kafka]\nbrokers = [\"b:9092\"]");
    let said =
        check(&(said + "\n[[source]]\nkind = \"simulated\"\nsensors = 4\nevery = \"100ms\"\n")).unwrap();
    assert_eq!(format!("{least:?}"), format!("{said:?}"));
    assert_eq!(least.device.id, "gateway");
    assert_eq!(least.span.time_span, Duration::from_secs(10));
}

#[test]
fn everything_that_is_said_is_meant() {
    let text = r#"
[device]
id = "greenhouse-7"
tags = { site = "oslo", row = "3" }
[kafka]
brokers = ["Broker-1:9092", "[::1]:19092"]
topic = "{device}.{tag.site}"
key = "{device}_{sensor}"
compression = "lz4"
delivery = "at-least-once"
format = "json"
acks = "all"
headers = { origin = "edge" }
[kafka.librdkafka]
"socket.keepalive.enable" = "true"
socket.timeout.ms = 10000
socket.nagle.disable = true
[queue]
directory = "/data//queue/"
commit-interval = "250ms"
max-size = "1GiB"
max-age = "7d"
min-free = "64MiB"
when-full = "refuse-new"
require-mount = "/data/"
max-sensors = 100
keep-delivered = "0s"
[span]
time-span = "1m"
packet-size = 10
idle-timeout = "2s"
max-delay = "1m 30s"
[clock]
hold-until-synced = "0s"
[status]
socket = "/tmp/s.sock"
[[source]]
kind = "serial-frames"
port = "/dev/ttyACM0"
[[source]]
kind = "serial-text"
port = "/dev/ttyUSB0"
baud = 19200
pattern = '^(?P<humidity>\d+) (?P<temperature>-?[0-9.]+)$'
id = "attic"
[[source]]
kind = "i2c"
bus = "/dev/i2c-1"
[[source.sensor]]
id = "shed-air"
chip = "tmp102"
address = 0x49
every = "2s"
[[source.sensor]]
id = "tank"
chip = "pct2075"
address = 0x28
[[source]]
kind = "simulated"
sensors = 2
[[source]]
kind = "simulated"
sensors = 3
every = "1s"
[sensor.shed-air]
unit = "C"
tags = { room = "shed", row = "4" }
span = { time-span = "1s", max-delay = "1s" }
[sensor.tank]
measurement = "level"
[sensor.attic]
measurement = "temperature"
unit = "C"
measurements.humidity.unit = "%"
[sensor.later]
measurement = "co2"
unit = "ppm"
"#;
    let config = check(text).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.device.id, "greenhouse-7");
    let kafka = &config.kafka;
    assert_eq!(kafka.brokers, ["broker-1:9092", "[::1]:19092"]);
    assert_eq!(
        (kafka.format, kafka.delivery, kafka.acks),
        (Format::Json, Delivery::AtLeastOnce, Acks::All)
    );
    assert_eq!(kafka.compression, Compression::Lz4);
    assert_eq!(
        kafka.topic.topic(&config.device.id, "a", &config.device.tags),
        "greenhouse-7.oslo"
    );
    assert_eq!(
        kafka.key.text(&config.device.id, "a b", &config.device.tags),
        "greenhouse-7_a b"
    );
    let passed: Vec<(&str, &str)> = kafka
        .librdkafka
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        passed,
        [
            ("socket.keepalive.enable", "true"),
            ("socket.nagle.disable", "true"),
            ("socket.timeout.ms", "10000")
        ]
    );
    assert_eq!(config.queue.directory, Path::new("/data/queue"));
    assert_eq!(config.queue.commit_interval, Duration::from_millis(250));
    assert_eq!(config.queue.max_size, 1 << 30);
    assert_eq!(config.queue.max_age, Duration::from_secs(7 * 86_400));
    assert_eq!(config.queue.min_free, 64 << 20);
    assert_eq!(config.queue.when_full, WhenFull::RefuseNew);
    assert_eq!(config.queue.require_mount.as_deref(), Some(Path::new("/data")));
    assert_eq!(config.queue.max_sensors, 100);
    assert_eq!(config.clock.hold_until_synced, Duration::ZERO);
    assert_eq!(config.status.socket, Path::new("/tmp/s.sock"));
    assert_eq!(config.span.max_delay, Duration::from_secs(90));

    let [
        Source::SerialFrames(frames),
        Source::SerialText(attic),
        Source::I2c(i2c),
        Source::Simulated(_),
        Source::Simulated(more),
    ] = config.sources.as_slice()
    else {
        panic!("{:?}", config.sources)
    };
    assert_eq!(
        (frames.port.as_path(), frames.baud),
        (Path::new("/dev/ttyACM0"), 115_200)
    );
    assert_eq!((attic.baud, attic.id.as_ref()), (19_200, Some(&id("attic"))));
    assert_eq!(attic.measurements, ["humidity", "temperature"]);
    assert_eq!(
        &attic.pattern.captures("61 18.25").unwrap()["temperature"],
        "18.25"
    );
    let chips: Vec<_> = i2c
        .sensors
        .iter()
        .map(|s| (s.chip.driver, s.address, s.measurement.as_str()))
        .collect();
    assert_eq!(
        chips,
        [
            (ChipDriver::Tmp1x2, 0x49, "temperature"),
            (ChipDriver::Pct2075, 0x28, "level")
        ]
    );
    assert_eq!(i2c.sensors[0].every, Duration::from_secs(2));
    assert_eq!(more.ids(), [id("sim-3"), id("sim-4"), id("sim-5")]);

    let shed = &config.sensors[&id("shed-air")];
    assert_eq!(config.span_of(&id("shed-air")), &shed.span);
    assert_eq!(shed.span.time_span, Duration::from_secs(1));
    assert_eq!(shed.span.packet_size, 10);
    assert_eq!(
        shed.span.idle_timeout,
        Duration::from_secs(1),
        "max-delay closes it in any case"
    );
    let tags = config
        .tags_of(&id("shed-air"))
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    assert_eq!(tags.collect::<Vec<_>>(), ["room=shed", "row=4", "site=oslo"]);
    assert_eq!(config.tags_of(&id("nobody")).len(), 2);
    assert_eq!(config.unit_of(&id("attic"), "humidity"), Some("%"));
    assert_eq!(config.unit_of(&id("attic"), "temperature"), Some("C"));
    assert_eq!(config.unit_of(&id("later"), "co2"), Some("ppm"));
    assert_eq!(config.unit_of(&id("nobody"), "co2"), None);
}

#[test]
fn the_environment_s_broker_wins() {
    let with = |address: &str| edgespool::config::Env {
        kafka_broker_address: Some(address.into()),
        ..env()
    };
    for (text, address, expect) in [
        (LEAST, "kafka:9092", vec!["kafka:9092"]),
        (LEAST, "a:1, b:2,", vec!["a:1", "b:2"]),
        (LEAST, " ", vec!["b:9092"]),
        (
            "[[source]]\nkind = \"simulated\"\n",
            "kafka:9092",
            vec!["kafka:9092"],
        ),
    ] {
        let config = edgespool::config::parse(text, "device.toml", &with(address)).unwrap();
        assert_eq!(config.kafka.brokers, expect, "{address}");
    }
}

#[test]
fn a_volatile_queue_is_a_decision() {
    let volatile = edgespool::config::Env {
        file_system: |_| edgespool::config::FileSystem::Tmpfs,
        ..env()
    };
    let text = format!("{LEAST}[queue]\nallow-volatile = true\n");
    assert!(
        edgespool::config::parse(&text, "device.toml", &volatile)
            .unwrap()
            .queue
            .allow_volatile
    );
    assert!(edgespool::config::parse(LEAST, "device.toml", &volatile).is_err());
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_do_no_harm() {
    check(&format!("\u{feff}{}", LEAST.replace('\n', "\r\n"))).unwrap();
}
