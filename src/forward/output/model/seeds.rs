//! Thousands of lives of an output, by seed.

use super::*;

const SENSORS: u64 = 6;

fn settings(seed: u64) -> Settings {
    let rules = Rules {
        time_span: Duration::from_millis(200 + seed % 2000),
        packet_size: 1 + (seed % 37) as usize,
        idle_timeout: Duration::from_millis(300),
        max_delay: Duration::from_millis(900 + seed % 5_000),
    };
    Settings {
        output: OUT,
        memory: 4_000 + (seed % 7) as usize * 1_500,
        under_way: 20 + (seed % 5) as usize * 40,
        hold: Duration::from_secs(seed % 3 * 5),
        rules: Box::new(move |_| rules),
        destination: Box::new(|def| {
            let odd = def.id.as_str().bytes().last().is_some_and(|digit| digit % 2 == 1);
            if odd { "odd".into() } else { "even".into() }
        }),
        seed,
    }
}

impl World {
    fn some_runs(&mut self) -> Vec<Run> {
        let mut runs = Vec::new();
        for number in 0..SENSORS {
            if self.below(3) == 0 {
                let count = 1 + self.below(12) as usize;
                let apart = [1, 10, 10, 100, -50][self.below(5) as usize];
                runs.push(self.run(SensorNo(number as u32), count, apart));
            }
        }
        runs
    }

    fn live(&mut self, seed: u64) {
        match self.below(200) {
            0..30 => {
                let runs = self.some_runs();
                self.commit(runs);
            }
            30..120 => drop(self.read()),
            120..160 if !self.under_way.is_empty() => {
                let index = self.below(self.under_way.len() as u64) as usize;
                self.report(index);
            }
            160..185 => {
                let ms = self.below(400);
                self.pass(ms);
            }
            185 => self.pass(12_000),
            186..189 => {
                let moods = [Mood::Good, Mood::Moody, Mood::Refuses, Mood::Silent];
                let (sensor, mood) = (self.below(SENSORS) as u32, self.below(4) as usize);
                self.moods.insert(SensorNo(sensor), moods[mood]);
            }
            189 => self.restart(seed),
            190 => {
                // Another epoch: the queue says so when it opens.
                self.mailbox.take();
                self.restart(seed);
                let next = Epoch(1000 - self.fold.epochs.len() as u64);
                self.fold.entry(&Entry::Epoch(next));
                self.restart(seed);
            }
            191 if !self.rows.is_empty() => {
                let row = 1 + self.below(self.rows.len() as u64);
                if row >= self.main.saturating_sub(20) {
                    self.damage(row);
                }
            }
            192 => {
                let sensor = SensorNo(self.below(SENSORS) as u32);
                let (row, unit) = (self.rows.len() as RowNo + 1, self.below(3));
                self.units
                    .entry(sensor)
                    .or_default()
                    .push((row, format!("u{unit}")));
            }
            193 => {
                let up = self.below(3) > 0;
                self.link(up);
            }
            194 => self.synchronized = self.below(3) > 0,
            _ => {}
        }
        self.take();
    }
}

fn run(seed: u64) -> [usize; 4] {
    let mut world = World::new(seed, settings);
    for _ in 0..1200 {
        world.live(seed);
    }
    // A last reading of every sensor, behind whatever was lost.
    let runs = (0..SENSORS)
        .map(|number| world.run(SensorNo(number as u32), 1, 10))
        .collect();
    world.commit(runs);
    world.drain();
    world.check_arrivals();
    world.check_rest();
    [
        world.parked,
        world.caught_up,
        world.dropped.len(),
        world.fold.epochs.len() - 1,
    ]
}

#[test]
fn nothing_is_missing_out_of_order_or_released_too_early() {
    let seeds = std::env::var("EDGESPOOL_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let first = std::env::var("EDGESPOOL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds = first.map_or(0..seeds.unwrap_or(300), |seed: u64| seed..seed + 1);
    let mut sums = [0; 4];
    for seed in seeds.clone() {
        let found = std::panic::catch_unwind(|| run(seed));
        let found = found.unwrap_or_else(|_| panic!("seed {seed} fails"));
        sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
    assert!(
        seeds.end - seeds.start < 100 || sums.iter().all(|sum| *sum > 50),
        "parked, caught up, dropped, epochs: {sums:?}: the test reaches what it is for"
    );
}
