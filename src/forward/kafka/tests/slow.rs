//! A broker that answers late.

use super::*;

/// The CPU time that threads of that name have taken, in ticks of 10 ms.
fn ticks(name: &str) -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else {
            continue;
        };
        let (head, tail) = stat.rsplit_once(") ").unwrap();
        if head.ends_with(&format!("({name}")) {
            let mut fields = tail.split(' ').skip(11);
            sum += (0..2)
                .map(|_| fields.next().unwrap().parse::<u64>().unwrap())
                .sum::<u64>();
        }
    }
    sum
}

/// While records wait behind a request of their partition, librdkafka's thread polls without a pause.
#[test]
fn a_broker_that_takes_its_time_costs_no_cpu() {
    // No other test has a ninth broker: that is how its thread is known.
    let cluster = MockCluster::new(9).unwrap();
    let mut bench = Bench::with(cluster, "good", WINDOW, &[]);
    for partition in 0..2 {
        bench
            .cluster
            .partition_leader("good", partition, Some(9))
            .unwrap();
    }
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
    bench
        .cluster
        .broker_round_trip_time(9, Duration::from_millis(500))
        .unwrap();
    let before = ticks("rdk:broker9");
    let tickets: Vec<_> = (0..150).map(|_| bench.ticket(10)).collect();
    for ticket in &tickets {
        bench.kafka.send(ticket.clone()).expect("room");
        std::thread::sleep(Duration::from_millis(20));
        while let Ok(event) = bench.events.try_recv() {
            if event == BrokerEvent::Room {
                bench.kafka.resume();
            }
        }
    }
    let spent = ticks("rdk:broker9") - before;
    assert!(spent < 15, "{spent} ticks in 3 s");
    let done = tickets.last().unwrap().id;
    assert_eq!(bench.outcome(done), Outcome::Delivered);
}
