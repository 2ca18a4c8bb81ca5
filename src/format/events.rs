//! Event records: the contract of what goes to `events-topic`, whatever the format of readings is.
//!
//! Owns that record: a flat JSON object `{"event":…,"sensorId":…,"epoch":…,"from":…,"through":…,"reason":…,"recordedAt":…}`
//! without what does not apply; its key is the device. Passes the tickets of all other sensors on. Without a topic events
//! make no record, so that those of earlier times leave the queue. Pure.

use std::ops::ControlFlow;

use super::{Format, Record, json, millis, number, time};
use crate::event;
use crate::queue::types::Run;
use crate::reading::{SensorDef, Value};
use crate::ticket::Ticket;

/// A format of readings, and events beside it.
pub struct WithEvents {
    readings: Box<dyn Format>,
    device: String,
    topic: Option<String>,
    time: time::Writer,
    value: Vec<u8>,
}

impl WithEvents {
    /// Events go to `topic`; without one, nowhere.
    #[must_use]
    pub fn new(readings: Box<dyn Format>, device: String, topic: Option<String>) -> Self {
        Self {
            readings,
            device,
            topic,
            time: time::Writer::default(),
            value: Vec::with_capacity(256),
        }
    }

    fn event(&mut self, def: &SensorDef, run: &Run, index: usize, millis: i64) {
        let out = &mut self.value;
        out.clear();
        for (measurement, column) in def.measurements.iter().zip(&run.columns) {
            let start = out.len();
            out.push(if start == 0 { b'{' } else { b',' });
            json::text(out, &measurement.name);
            out.push(b':');
            let written = match column.at(index) {
                Value::Text(text) => {
                    json::text(out, &text);
                    true
                }
                Value::Number(value) => number::write(out, value),
                _ => false,
            };
            if !written {
                out.truncate(start);
            }
        }
        out.extend_from_slice(if out.is_empty() {
            b"{\"recordedAt\":\""
        } else {
            b",\"recordedAt\":\""
        });
        out.extend_from_slice(self.time.text(millis));
        out.extend_from_slice(b"\"}");
    }
}

impl Format for WithEvents {
    fn write(
        &mut self,
        ticket: &Ticket,
        from: usize,
        sink: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> usize {
        if !event::is_events(&ticket.def) {
            return self.readings.write(ticket, from, sink);
        }
        let Some(topic) = self.topic.clone() else {
            return ticket.len();
        };
        let mut done = 0;
        for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
            for index in piece.from..piece.to {
                done += 1;
                if done <= from {
                    continue;
                }
                let timestamp_ms = millis(piece.run.wall.get(index).copied().unwrap_or_default());
                self.event(&ticket.def, &piece.run, index, timestamp_ms);
                let sequence = piece.run.first + index as u64;
                let record = Record {
                    topic: &topic,
                    key: self.device.as_bytes(),
                    value: &self.value,
                    timestamp_ms,
                    first: sequence,
                    last: sequence,
                };
                if sink(&record).is_break() {
                    return done - 1;
                }
            }
        }
        done
    }

    fn topic(&self, def: &SensorDef) -> String {
        if event::is_events(def) {
            self.topic.clone().unwrap_or_default()
        } else {
            self.readings.topic(def)
        }
    }

    fn probe_topic(&self) -> String {
        self.readings.probe_topic()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Event, Kind};
    use crate::queue::types::{Column, Marks, MonoColumn, OutputNo};
    use crate::reading::{Epoch, Quality, Reading, SensorId, SensorNo, Stamp, TimeQuality};
    use crate::ticket::{Piece, Span, TicketId};

    /// Passes over everything.
    struct Nothing;

    impl Format for Nothing {
        fn write(
            &mut self,
            _: &Ticket,
            _: usize,
            _: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
        ) -> usize {
            77
        }

        fn topic(&self, _: &SensorDef) -> String {
            "readings".into()
        }

        fn probe_topic(&self) -> String {
            "readings".into()
        }
    }

    fn ticket(events: &[Event]) -> Ticket {
        let time = Stamp {
            wall: 1_782_482_400_123_456_789,
            mono: 0,
            quality: TimeQuality::Synchronized,
        };
        let readings: Vec<Reading> = events
            .iter()
            .map(|event| event.reading(SensorNo(4), time))
            .collect();
        let column =
            |at: usize| Column::Mixed(readings.iter().map(|r| r.values.as_slice()[at].clone()).collect());
        let run = Run {
            sensor: SensorNo(4),
            first: 11,
            wall: vec![time.wall; events.len()],
            mono: MonoColumn::Offset(time.wall),
            marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
            columns: (0..event::FIELDS.len()).map(column).collect(),
            encoded: 0,
        };
        let piece = Piece {
            row: 1,
            run: Arc::new(run),
            from: 0,
            to: events.len(),
        };
        Ticket {
            id: TicketId(1),
            output: OutputNo(0),
            sensor: SensorNo(4),
            def: Arc::new(event::definition().unwrap()),
            epoch: Epoch(7),
            spans: vec![Span { pieces: vec![piece] }],
        }
    }

    fn events() -> [Event; 3] {
        let gap = Event {
            sensor: Some(SensorId::new("attic \"1\"").unwrap()),
            epoch: Some((1 << 53) - 1),
            from: Some(3),
            through: Some(9),
            ..Event::new(Kind::Gap, "size")
        };
        let bare = Event {
            reason: None,
            ..Event::new(Kind::Stopped, "")
        };
        [gap, Event::new(Kind::ClockStep, "forward\nby 56 years"), bare]
    }

    fn written(format: &mut WithEvents, from: usize, most: usize) -> (usize, Vec<String>) {
        let mut lines = Vec::new();
        let done = format.write(&ticket(&events()), from, &mut |record| {
            if lines.len() == most {
                return ControlFlow::Break(());
            }
            assert_eq!(
                (record.topic, record.key, record.timestamp_ms),
                ("edge-events", &b"gw"[..], 1_782_482_400_123)
            );
            lines.push(format!(
                "{} {}",
                record.first,
                String::from_utf8_lossy(record.value)
            ));
            ControlFlow::Continue(())
        });
        (done, lines)
    }

    #[test]
    fn event_records_are_the_contract_and_go_on_where_they_were_stopped() {
        let mut format = WithEvents::new(Box::new(Nothing), "gw".into(), Some("edge-events".into()));
        let expect = [
            r#"11 {"event":"gap","sensorId":"attic \"1\"","epoch":9007199254740991,"from":3,"through":9,"reason":"size","recordedAt":"2026-06-26T14:00:00.123Z"}"#,
            r#"12 {"event":"clock-step","reason":"forward\nby 56 years","recordedAt":"2026-06-26T14:00:00.123Z"}"#,
            r#"13 {"event":"stopped","recordedAt":"2026-06-26T14:00:00.123Z"}"#,
        ];
        let all: Vec<String> = expect.map(String::from).to_vec();
        assert_eq!(written(&mut format, 0, 9), (3, all.clone()));
        assert_eq!(written(&mut format, 0, 1), (1, all[..1].to_vec()));
        assert_eq!(written(&mut format, 1, 9), (3, all[1..].to_vec()));
    }

    #[test]
    fn without_a_topic_events_are_done_and_readings_go_their_way() {
        let mut format = WithEvents::new(Box::new(Nothing), "gw".into(), None);
        assert_eq!(written(&mut format, 0, 9), (3, vec![]));
        let mut readings = ticket(&events());
        let mut def = event::definition().unwrap();
        def.id = SensorId::new("shed").unwrap();
        readings.def = Arc::new(def);
        assert_eq!(format.write(&readings, 0, &mut |_| ControlFlow::Continue(())), 77);
    }
}
