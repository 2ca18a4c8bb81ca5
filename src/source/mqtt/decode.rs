//! Values out of payloads: JSON read in one pass without building a tree, or a plain number, truth value or text.
//!
//! Pure. Promises that no payload makes it panic or grow: what is not wanted is passed over. Must not know sensors.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::mqtt::Path;

/// One value, as a payload has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'p> {
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A text.
    Text(Cow<'p, str>),
}

/// Which values are wanted: the paths as a tree, so that a payload is read once.
#[derive(Debug, Clone)]
pub struct Shape {
    root: Node,
    slots: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// The values that are here.
    slots: Vec<usize>,
    children: Vec<Child>,
}

#[derive(Debug, Clone)]
struct Child {
    key: Box<str>,
    index: Option<usize>,
    node: Node,
}

/// A payload that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("is not JSON: {0}")]
    Json(String),
    /// Not text.
    #[error("is not text")]
    Text,
}

impl Shape {
    /// Wants the values at these places.
    #[must_use]
    pub fn new<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        let (mut root, mut slots) = (Node::default(), 0);
        for path in paths {
            root.want(path.pieces(), slots);
            slots += 1;
        }
        Self { root, slots }
    }

    /// The values of a payload, in the order of the paths.
    ///
    /// # Errors
    /// When it is not what the paths say: JSON, or text if the whole payload is the value.
    pub fn decode<'p>(&self, payload: &'p [u8]) -> Result<Vec<Option<Scalar<'p>>>, DecodeError> {
        let mut found = vec![None; self.slots];
        if self.root.children.is_empty() {
            let value = plain(payload)?;
            self.root.keep(&mut found, value);
            return Ok(found);
        }
        let mut json = serde_json::Deserializer::from_slice(payload);
        let seed = Seed {
            node: &self.root,
            found: &mut found,
        };
        let read = seed.deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| DecodeError::Json(error.to_string()))?;
        Ok(found)
    }
}

/// A payload that is the value: a number, a truth value, or text, perhaps in JSON's quotes.
fn plain(payload: &[u8]) -> Result<Option<Scalar<'_>>, DecodeError> {
    let text = std::str::from_utf8(payload)
        .map_err(|_| DecodeError::Text)?
        .trim();
    Ok(match text {
        "" => None,
        "true" => Some(Scalar::Boolean(true)),
        "false" => Some(Scalar::Boolean(false)),
        quoted if quoted.starts_with('"') => {
            let inner = serde_json::from_str::<String>(quoted);
            Some(Scalar::Text(inner.map_or(Cow::Borrowed(quoted), Cow::Owned)))
        }
        text => Some(match number(text) {
            Some(number) => Scalar::Number(number),
            None => Scalar::Text(Cow::Borrowed(text)),
        }),
    })
}

/// A text that is a number. Words for infinity are none; `nan` is what devices say whose sensor is gone.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let first = text.trim_start_matches(['+', '-']).chars().next()?;
    let may_be = first.is_ascii_digit() || first == '.' || text.eq_ignore_ascii_case("nan");
    may_be.then(|| text.parse().ok()).flatten()
}

impl Node {
    fn want(&mut self, pieces: &[Box<str>], slot: usize) {
        let Some((first, rest)) = pieces.split_first() else {
            self.slots.push(slot);
            return;
        };
        let at = self.children.iter().position(|child| child.key == *first);
        let at = at.unwrap_or_else(|| {
            self.children.push(Child {
                key: first.clone(),
                index: first.parse().ok(),
                node: Node::default(),
            });
            self.children.len() - 1
        });
        if let Some(child) = self.children.get_mut(at) {
            child.node.want(rest, slot);
        }
    }

    fn keep<'p>(&self, found: &mut [Option<Scalar<'p>>], value: Option<Scalar<'p>>) {
        for slot in &self.slots {
            if let Some(place) = found.get_mut(*slot) {
                place.clone_from(&value);
            }
        }
    }
}

/// Reads one value of the payload into the places that want it.
struct Seed<'n, 'f, 'p> {
    node: &'n Node,
    found: &'f mut [Option<Scalar<'p>>],
}

impl<'p> DeserializeSeed<'p> for Seed<'_, '_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Seed<'_, '_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "what a visitor gives")]
    fn number<E>(self, number: f64) -> Result<(), E> {
        self.node.keep(self.found, Some(Scalar::Number(number)));
        Ok(())
    }
}

impl<'p> Visitor<'p> for Seed<'_, '_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "values are numbers of 64 bits with a point"
    )]
    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f64)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "values are numbers of 64 bits with a point"
    )]
    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.node.keep(self.found, Some(Scalar::Boolean(truth)));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.node.keep(self.found, None);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let text = Cow::Owned(text.to_owned());
        self.node.keep(self.found, Some(Scalar::Text(text)));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'p str) -> Result<(), E> {
        self.node
            .keep(self.found, Some(Scalar::Text(Cow::Borrowed(text))));
        Ok(())
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(&self.node.children))? {
            match child {
                Some(child) => map.next_value_seed(Seed {
                    node: &child.node,
                    found: &mut *self.found,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            let child = self.node.children.iter().find(|child| child.index == Some(index));
            let more = match child {
                Some(child) => list.next_element_seed(Seed {
                    node: &child.node,
                    found: &mut *self.found,
                })?,
                None => list.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads a key and says which child it is.
struct Key<'n>(&'n [Child]);

impl<'n, 'p> DeserializeSeed<'p> for Key<'n> {
    type Value = Option<&'n Child>;

    fn deserialize<D: Deserializer<'p>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Child>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|child| *child.key == *key))
    }
}

#[cfg(test)]
mod tests;
