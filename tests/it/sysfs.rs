//! `sysfs`: files as the kernel has them, that come, change, go and are wrong.

use std::fs;
use std::time::Duration;

use edgespool::queue::memory_store::MemoryStore;
use edgespool::reading::{Quality, SensorId};
use edgespool::source::sysfs::{Settings, spawn};
use edgespool::source::{Knowledge, State};

use crate::support::intake::{Intake, until};

#[tokio::test(flavor = "current_thread")]
async fn a_file_is_read_again_and_again_and_its_faults_have_names() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("28-0316a2f7b4ff");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("temperature");
    let intake = Intake::start(&MemoryStore::new());
    let settings = Settings {
        path: path.clone(),
        id: SensorId::new("tank").unwrap(),
        scale: 0.001,
        every: Duration::from_millis(10),
    };
    let context = intake.context("source[1] sysfs", Knowledge::default());
    let mut source = spawn(context, settings).unwrap();
    let why = |state, text: &str| {
        let snapshot = source.health().snapshot();
        snapshot.state == state && snapshot.why.is_some_and(|why| why.contains(text))
    };
    until("the fault", || why(State::Failed, "tank: there is no such file")).await;
    fs::write(&path, "85000\n").unwrap();
    until("the first reading", || !intake.stored().is_empty()).await;
    // Renamed into place: it is never seen half written.
    fs::write(folder.join("new"), "21437\n").unwrap();
    fs::rename(folder.join("new"), &path).unwrap();
    until("the second value", || intake.numbers("tank").contains(&21.437)).await;
    assert_eq!(source.health().state(), State::Ok);
    let stored = intake.stored();
    assert_eq!(
        (&stored[0].values, stored[0].quality),
        (
            &vec![edgespool::reading::Value::Number(85.0)],
            Quality::PowerOnValue
        )
    );
    assert_eq!(stored.last().unwrap().quality, Quality::Good);
    fs::write(folder.join("new"), "").unwrap();
    fs::rename(folder.join("new"), &path).unwrap();
    until("the fault", || {
        why(State::Failed, "there is no number in the file")
    })
    .await;
    source.stop();
    source.ended().await;
    intake.stop();
}
