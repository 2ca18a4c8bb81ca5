//! Dead letters on a real file system: kept, bounded, damaged, taken out again.

use super::*;

fn letter(from: u64, value: &[u8]) -> Letter {
    Letter {
        device: "greenhouse-7".into(),
        sensor_id: "shed".into(),
        epoch: 7,
        from,
        through: from,
        reason: "too-large".into(),
        why: "Broker: Message size too large (topic readings)".into(),
        topic: "readings".into(),
        key: "shed".into(),
        timestamp: 1_782_482_400_123,
        kept_at: "2026-06-26T14:00:01.000Z".into(),
        record: Content::new(value),
    }
}

fn kept(letters: &DeadLetters) -> Vec<Result<u64, Damaged>> {
    let all = letters.letters().unwrap();
    all.map(|letter| letter.map(|letter| letter.from)).collect()
}

#[test]
fn letters_read_back_as_they_were_and_a_person_can_read_them() {
    let queue = tempfile::tempdir().unwrap();
    let letters = DeadLetters::of(queue.path());
    assert_eq!((letters.figures(), kept(&letters)), (Figures::default(), vec![]));
    assert!(
        !letters.folder().try_exists().unwrap(),
        "nothing is made before there is something to keep"
    );
    let all = [letter(1, br#"{"sensorId":"shed"}"#), letter(2, &[0xff, 0, 1])];
    letters.keep(&all[..1]).unwrap();
    letters.keep(&all[1..]).unwrap();
    let read: Result<Vec<_>, _> = letters.letters().unwrap().collect();
    assert_eq!(read.unwrap(), all);
    assert_eq!(all[1].record.bytes().unwrap(), [0xff, 0, 1]);
    assert_eq!(letters.figures().letters, 2);
    let text = fs::read_to_string(letters.folder().join(LETTERS)).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.contains(r#""reason":"too-large""#)
            && first.ends_with(r#""record":"{\"sensorId\":\"shed\"}"}"#),
        "{first}"
    );
    assert!(text.lines().nth(1).unwrap().contains(r#""recordBase64":"/wAB""#));
}

#[test]
fn a_bound_that_is_reached_keeps_what_is_there_and_takes_nothing_more() {
    let queue = tempfile::tempdir().unwrap();
    let letters = DeadLetters::with_bound(queue.path(), 1500);
    let mut count = 0;
    while letters.keep(&[letter(count, b"{}")]).is_ok() {
        count += 1;
    }
    assert!((2..9).contains(&count), "{count}");
    assert!(matches!(letters.keep(&[letter(99, b"{}")]), Err(DeadError::Full)));
    assert_eq!(kept(&letters), (0..count).map(Ok).collect::<Vec<_>>());
    assert!(letters.figures().bytes <= 1500);
}

#[test]
fn what_a_power_cut_or_a_flipped_bit_damages_is_one_line() {
    let queue = tempfile::tempdir().unwrap();
    let letters = DeadLetters::of(queue.path());
    letters
        .keep(&[letter(1, b"{}"), letter(2, b"{}"), letter(3, b"{}")])
        .unwrap();
    let path = letters.folder().join(LETTERS);
    let mut bytes = fs::read(&path).unwrap();
    let line = bytes.len() / 3;
    bytes[line + 40] ^= 1;
    bytes.truncate(bytes.len() - 10);
    fs::write(&path, bytes).unwrap();
    letters.keep(&[letter(4, b"{}")]).unwrap();
    assert_eq!(kept(&letters), [Ok(1), Err(Damaged(2)), Err(Damaged(3)), Ok(4)]);
    assert_eq!(letters.figures().letters, 2);
}

#[test]
fn letters_are_taken_out_while_new_ones_come_and_what_is_left_stays() {
    let queue = tempfile::tempdir().unwrap();
    let letters = DeadLetters::of(queue.path());
    assert!(Redrive::begin(queue.path()).unwrap().is_none());
    letters.keep(&[letter(1, b"{}"), letter(2, b"{}")]).unwrap();
    let redrive = Redrive::begin(queue.path()).unwrap().unwrap();
    letters.keep(&[letter(3, b"{}")]).unwrap();
    let files = redrive.files().unwrap();
    assert_eq!(files.len(), 1, "not the new one");
    let (all, damaged) = redrive.letters(&files[0]).unwrap();
    assert_eq!((all.len(), damaged), (2, 0));
    redrive.leave(&files[0], &all[1..]).unwrap();
    drop(redrive);
    assert_eq!(kept(&letters), [Ok(2), Ok(3)], "the older ones first");
    let redrive = Redrive::begin(queue.path()).unwrap().unwrap();
    for file in redrive.files().unwrap() {
        redrive.leave(&file, &[]).unwrap();
    }
    assert_eq!((letters.figures(), kept(&letters)), (Figures::default(), vec![]));
}

#[test]
fn a_topic_of_its_own_gets_each_letter_and_goes_on_where_it_was() {
    let queue = tempfile::tempdir().unwrap();
    let letters = DeadLetters::of(queue.path());
    let froms = |batch: &Unsent| batch.letters.iter().map(|letter| letter.from).collect::<Vec<_>>();
    assert_eq!(froms(&letters.unsent(9).unwrap()), [0; 0]);
    let seen = letters.wait_for_more(0).unwrap();
    letters
        .keep(&[letter(1, b"{}"), letter(2, b"{}"), letter(3, b"{}")])
        .unwrap();
    assert!(
        letters.wait_for_more(seen).unwrap() > seen,
        "no wait: there is more"
    );
    let batch = letters.unsent(2).unwrap();
    assert_eq!(froms(&batch), [1, 2]);
    assert_eq!(froms(&letters.unsent(2).unwrap()), [1, 2], "not noted yet");
    letters.sent(&batch).unwrap();
    let again = DeadLetters::of(queue.path());
    assert_eq!(froms(&again.unsent(9).unwrap()), [3], "after a restart");
    Redrive::begin(queue.path()).unwrap().unwrap();
    letters.keep(&[letter(4, b"{}")]).unwrap();
    assert_eq!(froms(&letters.unsent(9).unwrap()), [4], "another file begins");
    letters.close();
    assert_eq!(letters.wait_for_more(99), None);
}
