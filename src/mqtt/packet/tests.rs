//! Packets byte by byte.

use super::*;

/// QoS 1, topic `a/b`, packet 10, payload `hi`.
const MESSAGE: [u8; 11] = [0x32, 9, 0, 3, b'a', b'/', b'b', 0, 10, b'h', b'i'];

#[test]
fn a_message_is_read_in_place_and_needs_all_its_bytes() {
    for length in 0..MESSAGE.len() {
        assert!(matches!(read(&MESSAGE[..length], 1000), Ok(None)), "{length}");
    }
    let more = [MESSAGE.as_slice(), &[0xd0]].concat();
    let publish = Publish {
        topic: "a/b",
        payload: b"hi",
        packet: Some(10),
        retained: false,
        again: false,
    };
    assert_eq!(
        read(&more, 1000).unwrap(),
        Some((Incoming::Publish(publish), MESSAGE.len()))
    );
    for (first, retained, again) in [(0x33, true, false), (0x3a, false, true)] {
        let mut bytes = MESSAGE;
        bytes[0] = first;
        let expect = Publish {
            retained,
            again,
            ..publish
        };
        assert_eq!(read(&bytes, 1000).unwrap().unwrap().0, Incoming::Publish(expect));
    }
}

#[test]
fn a_message_of_quality_0_has_no_number() {
    let bytes = [0x30, 5, 0, 1, b'a', b'h', b'i'];
    let expect = Publish {
        topic: "a",
        payload: b"hi",
        packet: None,
        retained: false,
        again: false,
    };
    assert_eq!(read(&bytes, 1000).unwrap(), Some((Incoming::Publish(expect), 7)));
}

#[test]
fn a_message_that_is_too_large_is_named_by_its_head() {
    // 300 bytes behind the header; at most 100 are allowed.
    let head = [0x32, 0xac, 0x02, 0, 3, b'a', b'/', b'b', 0, 10];
    assert!(matches!(read(&head[..9], 100), Ok(None)));
    let expect = Incoming::TooLarge {
        topic: "a/b",
        packet: Some(10),
        bytes: 303,
    };
    assert_eq!(read(&head, 100).unwrap(), Some((expect, 303)));
}

#[test]
fn answers_are_read() {
    for (bytes, expect) in [
        (vec![0x20, 2, 0, 0], Incoming::Connected(Ok(false))),
        (vec![0x20, 2, 1, 0], Incoming::Connected(Ok(true))),
        (
            vec![0x20, 2, 0, 4],
            Incoming::Connected(Err(Refusal::Credentials)),
        ),
        (
            vec![0x20, 2, 0, 5],
            Incoming::Connected(Err(Refusal::Unauthorized)),
        ),
        (
            vec![0x90, 4, 0, 1, 1, 0x80],
            Incoming::Subscribed(vec![false, true]),
        ),
        (vec![0x40, 2, 1, 2], Incoming::Acknowledged(258)),
        (vec![0xd0, 0], Incoming::Alive),
    ] {
        let length = bytes.len();
        assert_eq!(read(&bytes, 1000).unwrap(), Some((expect, length)), "{bytes:?}");
    }
}

#[test]
fn what_is_not_mqtt_is_an_error_and_never_a_panic() {
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n".as_slice(),
        &[0, 0],
        &[0xf0, 0],
        &[0x32, 1, 0],
        &[0x32, 3, 0, 9, b'a'],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x34, 5, 0, 1, b'a', 0, 1],
        &[0x32, 5, 0, 1, 0xff, 0, 1],
        &[0x32, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x10, 0xff, 0xff, 0x7f],
        &[0x10, 0],
        &[0x82, 2, 0, 1],
    ] {
        assert!(read(bytes, 1000).is_err(), "{bytes:?}");
    }
}

#[test]
fn what_we_send_is_what_the_protocol_says() {
    let mut out = BytesMut::new();
    let hello = Hello {
        client_id: "me",
        login: None,
        clean: false,
        keep_alive: 30,
        will: None,
    };
    write_connect(&hello, &mut out).unwrap();
    assert_eq!(out.split().as_ref(), b"\x10\x0e\0\x04MQTT\x04\0\0\x1e\0\x02me");
    write_subscribe(["a/+"].into_iter(), &mut out).unwrap();
    assert_eq!(out.split().as_ref(), b"\x82\x08\0\x01\0\x03a/+\x01");
    write_publish("a/b", b"hi".to_vec(), 10, true, &mut out).unwrap();
    assert_eq!(out.split().as_ref(), b"\x33\x09\0\x03a/b\0\x0ahi");
    write_acknowledgement(258, &mut out);
    write_ping(&mut out);
    write_farewell(&mut out);
    assert_eq!(out.as_ref(), [0x40, 2, 1, 2, 0xc0, 0, 0xe0, 0]);
}
