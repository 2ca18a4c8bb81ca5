//! From messages to readings: which sensor, which values, which time.
//!
//! Owns what is known of topics and sensors. A measurement gets its type from the first value that its sensor shows, and
//! is a number from the start if the device file gives it a unit; the type stays until the agent starts anew:
//! - what is no number where one is due becomes NaN with quality "invalid"; a text that reads as a number is one there;
//! - what is no truth value where one is due is absent, with the same quality;
//! - where text is due, everything is text.
//!
//! A retained message is the broker's copy of an old one. If the broker has kept our session, the message itself has come
//! or will come, and the copy gives no reading. In a new session it gives one if it says itself when it was measured, and
//! that is after the last reading of its sensor; without a time of its own nobody knows how old it is.
//!
//! Must not know connections or acknowledgements.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::decode::{Scalar, Shape, number};
use super::{Topic, moment};
use crate::mqtt::packet::Publish;
use crate::reading::{Quality, Reading, SensorNo, Stamp, TimeQuality, Value, ValueKind};
use crate::source::{Context, Quantity, Reason};

/// Topics whose sensors are remembered: more only cost time.
const MAX_ROUTES: usize = 16_384;
/// The bytes of a message that are kept to be shown.
const SHOWN: usize = 160;

/// Turns messages into readings.
#[derive(Debug)]
pub struct Translator {
    rules: Vec<Rule>,
    routes: HashMap<Box<str>, Route>,
    sensors: Vec<Sensor>,
    by_id: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Rule {
    topic: Topic,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
struct Route {
    rule: usize,
    sensor: usize,
}

#[derive(Debug)]
struct Sensor {
    number: SensorNo,
    rule: usize,
    kinds: Vec<Option<ValueKind>>,
    /// The newest time that its messages said.
    newest: i64,
}

impl Sensor {
    fn would_learn(&self, found: &[Option<Scalar<'_>>]) -> bool {
        self.kinds
            .iter()
            .zip(found)
            .any(|(kind, scalar)| kind.is_none() && scalar.is_some())
    }
}

impl Translator {
    /// For these topics; where several match, the first counts.
    #[must_use]
    pub fn new(topics: Vec<Topic>) -> Self {
        let rule = |topic: Topic| {
            let paths = topic.fields.iter().map(|(_, path)| path).chain(&topic.time);
            Rule {
                shape: Shape::new(paths),
                topic,
            }
        };
        Self {
            rules: topics.into_iter().map(rule).collect(),
            routes: HashMap::new(),
            sensors: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    /// The filters, in their order.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.topic.filter.as_str())
    }

    /// The reading of a message that came at this time. What gives none is counted and shown.
    pub fn message(
        &mut self,
        context: &Context,
        publish: &Publish<'_>,
        arrival: Stamp,
        kept_session: bool,
    ) -> Option<Reading> {
        let known = self.routes.get(publish.topic).copied();
        let Some(at) = known
            .map(|route| route.rule)
            .or_else(|| self.rule_of(publish.topic))
        else {
            bad(context, publish);
            return None;
        };
        let rule = self.rules.get(at)?;
        if publish.retained && (kept_session || rule.topic.time.is_none()) {
            context.health().count(|counters| counters.retained += 1);
            return None;
        }
        let Ok(mut found) = rule.shape.decode(publish.payload) else {
            bad(context, publish);
            return None;
        };
        let own_time = rule
            .topic
            .time
            .as_ref()
            .map(|_| found.pop().flatten().as_ref().and_then(time_of));
        if found.iter().all(Option::is_none) {
            bad(context, publish);
            return None;
        }
        let at = match known {
            Some(route) if !self.sensors.get(route.sensor)?.would_learn(&found) => route.sensor,
            _ => self.settle(context, publish.topic, at, &found)?,
        };
        let sensor = self.sensors.get_mut(at)?;
        if publish.retained && own_time.flatten().is_none_or(|time| time <= sensor.newest) {
            context.health().count(|counters| counters.retained += 1);
            return None;
        }
        let (time, no_time) = stamp(own_time, arrival);
        sensor.newest = sensor.newest.max(own_time.flatten().unwrap_or(0));
        let (values, wrong) = values(&sensor.kinds, found);
        if wrong + no_time > 0 {
            context.health().odd_line(&shown(publish), wrong + no_time);
        }
        Some(Reading {
            sensor: sensor.number,
            time,
            quality: if wrong > 0 {
                Quality::Invalid
            } else {
                Quality::Good
            },
            values: values.into(),
        })
    }

    fn rule_of(&self, topic: &str) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.topic.filter.captures(topic).is_some())
    }

    /// The sensor of a topic, registered when it is new or when the type of a measurement has just become known.
    fn settle(
        &mut self,
        context: &Context,
        topic: &str,
        rule_at: usize,
        found: &[Option<Scalar<'_>>],
    ) -> Option<usize> {
        let rule = &self.rules.get(rule_at)?.topic;
        let id = rule.sensor.text(topic, &rule.filter.captures(topic)?);
        let known = self.by_id.get(id.as_str()).copied();
        let mut kinds = match known.and_then(|at| self.sensors.get(at)) {
            Some(sensor) if sensor.rule != rule_at => {
                context.refuse(None, Reason::Invalid, 1);
                let why = format!("{id} comes from two filters, with other values from each");
                context.health().mishap("sensors", why);
                return None;
            }
            Some(sensor) => sensor.kinds.clone(),
            None => {
                let has_unit = |(name, _): &(Box<str>, _)| context.has_unit(&id, name);
                let number = |field| has_unit(field).then_some(ValueKind::Number);
                rule.fields.iter().map(number).collect()
            }
        };
        for (kind, scalar) in kinds.iter_mut().zip(found) {
            *kind = kind.or(scalar.as_ref().map(kind_of));
        }
        let quantity = |((name, _), kind): (&'_ (Box<str>, _), &Option<ValueKind>)| (name.clone(), *kind);
        let named: Vec<_> = rule.fields.iter().zip(&kinds).map(quantity).collect();
        let quantities: Vec<_> = named
            .iter()
            .map(|(name, kind)| Quantity {
                name: Some(name),
                unit: None,
                kind: kind.unwrap_or(ValueKind::Number),
            })
            .collect();
        match context.register(&id, &quantities) {
            Ok(number) => Some(self.remember(topic, &id, rule_at, number, kinds)),
            Err(refused) => {
                context.refuse(None, refused.reason(), 1);
                context.health().mishap("sensors", refused.to_string());
                None
            }
        }
    }

    fn remember(
        &mut self,
        topic: &str,
        id: &str,
        rule: usize,
        number: SensorNo,
        kinds: Vec<Option<ValueKind>>,
    ) -> usize {
        let at = match self.by_id.get(id) {
            Some(at) => *at,
            None => {
                self.by_id.insert(id.into(), self.sensors.len());
                self.sensors.push(Sensor {
                    number,
                    rule,
                    kinds: Vec::new(),
                    newest: 0,
                });
                self.sensors.len() - 1
            }
        };
        if let Some(sensor) = self.sensors.get_mut(at) {
            sensor.kinds = kinds;
        }
        if self.routes.len() >= MAX_ROUTES {
            self.routes.clear();
        }
        self.routes.insert(topic.into(), Route { rule, sensor: at });
        at
    }
}

fn kind_of(scalar: &Scalar<'_>) -> ValueKind {
    match scalar {
        Scalar::Number(_) => ValueKind::Number,
        Scalar::Boolean(_) => ValueKind::Boolean,
        Scalar::Text(_) => ValueKind::Text,
    }
}

fn time_of(scalar: &Scalar<'_>) -> Option<i64> {
    match scalar {
        Scalar::Number(number) => moment::from_number(*number),
        Scalar::Text(text) => moment::from_text(text),
        Scalar::Boolean(_) => None,
    }
}

/// The time of a reading: that of the message if it has one. One that should have and has not, has an estimated one.
fn stamp(own: Option<Option<i64>>, arrival: Stamp) -> (Stamp, u64) {
    match own {
        None => (arrival, 0),
        Some(Some(wall)) => {
            let quality = TimeQuality::Synchronized;
            (
                Stamp {
                    wall,
                    quality,
                    ..arrival
                },
                0,
            )
        }
        Some(None) => {
            let quality = match arrival.quality {
                TimeQuality::Synchronized => TimeQuality::Estimated,
                worse => worse,
            };
            (Stamp { quality, ..arrival }, 1)
        }
    }
}

/// The values, and how many are not what they should be.
fn values(kinds: &[Option<ValueKind>], found: Vec<Option<Scalar<'_>>>) -> (Vec<Value>, u64) {
    let mut wrong = 0;
    let one = |(kind, scalar): (&Option<ValueKind>, Option<Scalar<'_>>)| {
        let Some(scalar) = scalar else {
            return Value::Absent;
        };
        match kind {
            Some(ValueKind::Text) => Value::Text(text(scalar)),
            Some(ValueKind::Boolean) => match scalar {
                Scalar::Boolean(truth) => Value::Boolean(truth),
                _ => {
                    wrong += 1;
                    Value::Absent
                }
            },
            _ => {
                let number = match scalar {
                    Scalar::Number(number) => Some(number),
                    Scalar::Text(text) => number(&text),
                    Scalar::Boolean(_) => None,
                };
                let number = number.filter(|number| number.is_finite());
                wrong += u64::from(number.is_none());
                Value::Number(number.unwrap_or(f64::NAN))
            }
        }
    };
    let values = kinds.iter().zip(found).map(one).collect();
    (values, wrong)
}

fn text(scalar: Scalar<'_>) -> Box<str> {
    match scalar {
        Scalar::Text(Cow::Borrowed(text)) => text.into(),
        Scalar::Text(Cow::Owned(text)) => text.into(),
        Scalar::Number(number) => number.to_string().into(),
        Scalar::Boolean(truth) => truth.to_string().into(),
    }
}

fn bad(context: &Context, publish: &Publish<'_>) {
    context.health().bad_line(&shown(publish));
}

/// The beginning of a message, for people.
fn shown(publish: &Publish<'_>) -> Vec<u8> {
    let payload = publish.payload.get(..SHOWN).unwrap_or(publish.payload);
    [publish.topic.as_bytes(), b" ", payload].concat()
}

#[cfg(test)]
mod tests;
