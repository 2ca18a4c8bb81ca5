# The project's recipes. `just` comes with many distributions, and as a package: pip install rust-just.
# Nothing here is needed to build or test: `cargo build` and `cargo test` are.

# Lists the recipes.
default:
    @just --list --unsorted

# The tests of all crates that need nothing but this tree.
test *arguments:
    cargo test {{arguments}}

# One seed's life in the simulation, told from its first to its last event.
sim seed:
    EDGESPOOL_SIM_SEED={{seed}} cargo test --release --test it -- simulation::nothing --nocapture

# The simulation with so many seeds: 2,000 in the build, 100,000 for a release.
prove-simulation seeds='100000':
    EDGESPOOL_SIM_SEEDS={{seeds}} cargo test --release --test it -- simulation::nothing --nocapture

# Every bug that is planted on purpose is found by the simulation, and within how many seeds.
prove-planted:
    cargo test --features planted-bugs --test it -- simulation::planted --nocapture

# The tests against a real Apache Kafka: those that are #[ignore]d and whose path contains `kafka`.
test-kafka *arguments:
    @java -version >/dev/null 2>&1 || { echo "just test-kafka needs Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"; exit 69; }
    @[ -e "${KAFKA_UP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgespool/kafka-up}/kafka-${KAFKA_UP_VERSION:-4.3.1}/.complete" ] || command -v mvn >/dev/null || { echo "just test-kafka needs Maven to fetch Kafka, once (Debian: apt-get install maven)"; exit 69; }
    tests/kafka/kafka-up provision
    cargo test --release --test it -- --ignored kafka {{arguments}}

# Custody from end to end, alone and with its figures. Larger: CUSTODY_READINGS=1000000 CUSTODY_SECONDS=300 just custody
custody:
    tests/kafka/kafka-up provision
    cargo test --release --test it -- --ignored custody::kafka --nocapture

# The tests against a real mosquitto: those that are #[ignore]d and whose path contains `mqtt`.
test-mqtt *arguments:
    @command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || { echo "just test-mqtt needs mosquitto and its clients (Debian: apt-get install mosquitto mosquitto-clients)"; exit 69; }
    tests/kafka/kafka-up provision
    cargo test --release --test it -- --ignored mqtt {{arguments}}

# Custody from mosquitto to a real Kafka in full: 200,000 readings, five kills of the agent, two restarts of the broker; and
# 10,000 with mosquitto's own window of 20.
prove-mqtt:
    tests/kafka/kafka-up provision
    MQTT_READINGS=200000 MQTT_RATE=10000 MQTT_SLOW_READINGS=10000 cargo test --release --test it -- --ignored mqtt::custody --nocapture

# Form, lints, and what comes in from outside (cargo install --locked cargo-deny).
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    .ci/deny || [ $? -eq 3 ]

# The main job in one command: simulated nodes, an outage, and the verdict.
demo *arguments='--for 20s':
    cargo run --release -- demo {{arguments}}

# The benchmarks.
bench *arguments:
    cargo bench {{arguments}}

# Memory with ten million readings pending: opened, read by one cursor and by two, released. Ends with an error above 40 MiB.
prove-memory *arguments:
    cargo bench --bench memory -- {{arguments}}

# Device bytes and flushes for each commit, on an ext4 of its own (root, loop devices). Ends with an error above the bars.
prove-wear *arguments:
    cargo bench --bench wear --no-run
    tests/prove/on-loop 256M cargo bench --bench wear -- {{arguments}}

# The program on a disk of 32 MiB that others fill and that it fills itself (root, loop devices). FULL_ROUNDS=3 for less.
prove-full:
    cargo test --release --test it --no-run
    tests/prove/on-loop 32M cargo test --release --test it -- --ignored full:: --nocapture

# Hours of running in ten minutes: generations come and go by the hundred. Ends with an error when something grows.
prove-soak *arguments:
    cargo bench --bench soak -- {{arguments}}

# A thousand power cuts on a block file that remembers every write, and the controls (needs root, /dev/fuse, loop devices).
prove-cuts *arguments='--count 1000':
    cargo test --release --features planted-bugs --test powercut -- controls --count 40
    cargo test --release --features planted-bugs --test powercut -- cuts {{arguments}}

# Two thousand flipped bits, spread over the kinds of bytes in the queue's files.
prove-flips *arguments='--count 2000':
    cargo test --release --features planted-bugs --test powercut -- flips {{arguments}}

# A queue is damaged a thousand times: bits, blocks, lengths, files; and what each costs.
prove-damage count='1000':
    EDGESPOOL_DAMAGE={{count}} cargo test --release --locked --test it -- queue::damage --nocapture

# The whole agent with ten million readings pending, drained into a real Kafka, with one lane parked: resident memory.
prove-backlog *arguments:
    cargo build --release
    tests/prove/backlog {{arguments}}

# An idle agent with 16 sensors at 1 Hz: resident memory and wake-ups by thread. Ends with an error above 20 MiB.
prove-idle *arguments:
    cargo build --release
    tests/prove/idle {{arguments}}

# 100,000 readings a second, live into a real Kafka: CPU by thread, resident memory. Ends with an error above 40 MiB.
prove-live *arguments:
    cargo build --release
    tests/prove/live {{arguments}}

# The node's crates compile for microcontrollers, without std and without alloc.
check-thumb:
    .ci/check-thumb

# The decoder of the node protocol under libFuzzer, with the stable compiler. Longer: just prove-decoder 600
prove-decoder *arguments:
    firmware/wire/fuzz/run {{arguments}}

# What the build machine runs.
ci:
    bash .ci/run

# The README's commands in a bare Debian chroot that has only what the README asks for (needs root and mmdebstrap).
prove-fresh *commands:
    .ci/prove-fresh {{commands}}

# The agent for another machine, such as aarch64-unknown-linux-gnu (Debian's cross compilers; rustup or Debian's Rust).
cross target *arguments:
    deploy/build/cross {{target}} {{arguments}}

# All packages, with SHA256SUMS and SBOMs, in dist/. Some of them: just packages arm64
packages *arches:
    deploy/build/packages {{arches}}
