//! Topic and key templates: text with `{device}`, `{sensor}` and `{tag.NAME}` in it.
//!
//! Owns their syntax and how they are filled in. Promises that a topic it makes is one that Kafka accepts, as long as
//! it is not too long ([`Template::longest`]). Must not know devices, sensors or where tags come from.

use std::fmt;

/// The most characters of a Kafka topic's name.
pub const MAX_TOPIC: usize = 249;

/// A template whose placeholders are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stays.
    Literal(String),
    /// `{device}`
    Device,
    /// `{sensor}`
    Sensor,
    /// `{tag.NAME}`
    Tag(String),
}

/// Why a text is not a template, with the byte at which it goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// There is nothing in it.
    Empty,
    /// A `{` without its `}`.
    Unclosed(usize),
    /// A `}` without its `{`.
    Stray(usize),
    /// A placeholder that nobody knows.
    Unknown(usize, String),
}

impl TemplateError {
    /// The byte of the text at which it goes wrong.
    #[must_use]
    pub fn at(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Unclosed(at) | Self::Stray(at) | Self::Unknown(at, _) => *at,
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Unclosed(_) => f.write_str("has a { without its }"),
            Self::Stray(_) => f.write_str("has a } without its {"),
            Self::Unknown(_, name) => write!(f, "has an unknown placeholder {{{name}}}"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is empty, a brace has no partner, or a placeholder is none of the three.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let literal = rest.find(['{', '}']).unwrap_or(rest.len());
            if literal > 0 {
                parts.push(Part::Literal(rest[..literal].to_owned()));
                at += literal;
                continue;
            }
            let Some(inside) = rest.strip_prefix('{') else {
                return Err(TemplateError::Stray(at));
            };
            let end = inside.find('}').ok_or(TemplateError::Unclosed(at))?;
            parts.push(Part::named(&inside[..end], at)?);
            at += end + 2;
        }
        Ok(Self { parts })
    }

    /// The pieces, in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether every sensor has a text of its own: only then are two sensors never mixed up.
    #[must_use]
    pub fn names_sensor(&self) -> bool {
        self.parts.contains(&Part::Sensor)
    }

    /// The tags that it needs, in its order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Tag(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Filled in, as it is: for keys. A tag that is not there gives nothing.
    #[must_use]
    pub fn text(&self, device: &str, sensor: &str, tags: &[(Box<str>, Box<str>)]) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Literal(literal) => literal,
                Part::Device => device,
                Part::Sensor => sensor,
                Part::Tag(wanted) => tags
                    .iter()
                    .find(|(name, _)| **name == **wanted)
                    .map_or("", |(_, value)| value),
            });
        }
        text
    }

    /// Filled in as the name of a Kafka topic: what Kafka does not allow in one becomes `_`.
    #[must_use]
    pub fn topic(&self, device: &str, sensor: &str, tags: &[(Box<str>, Box<str>)]) -> String {
        let name: String = self
            .text(device, sensor, tags)
            .chars()
            .map(|c| if is_topic_character(c) { c } else { '_' })
            .collect();
        match name.as_str() {
            "" | "." => "_".to_owned(),
            ".." => "__".to_owned(),
            _ => name,
        }
    }

    /// All the texts that it can give, as a pattern: `*` stands for what is filled in.
    #[must_use]
    pub fn pattern(&self) -> String {
        let text = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Device | Part::Sensor | Part::Tag(_) => "*".to_owned(),
        };
        self.parts().iter().map(text).collect()
    }

    /// How many bytes it can have at most, filled in with values up to these lengths.
    #[must_use]
    pub fn longest(&self, device: usize, sensor: usize, tag: impl Fn(&str) -> usize) -> usize {
        self.parts.iter().fold(0, |sum, part| {
            let length = match part {
                Part::Literal(literal) => literal.len(),
                Part::Device => device,
                Part::Sensor => sensor,
                Part::Tag(name) => tag(name),
            };
            sum.saturating_add(length)
        })
    }
}

impl Part {
    fn named(name: &str, at: usize) -> Result<Self, TemplateError> {
        match name {
            "device" => Ok(Self::Device),
            "sensor" => Ok(Self::Sensor),
            _ => match name.strip_prefix("tag.") {
                Some(tag) if !tag.is_empty() => Ok(Self::Tag(tag.to_owned())),
                _ => Err(TemplateError::Unknown(at, name.to_owned())),
            },
        }
    }
}

/// Whether Kafka allows this character in a topic's name.
#[must_use]
pub fn is_topic_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> Vec<(Box<str>, Box<str>)> {
        vec![("row".into(), "3".into()), ("site".into(), "Tromsø 1".into())]
    }

    #[test]
    fn templates_are_filled_in() {
        for (template, text, topic) in [
            ("temperature", "temperature", "temperature"),
            ("{sensor}", "a/b", "a_b"),
            ("{device}_{sensor}", "gw 1_a/b", "gw_1_a_b"),
            ("t.{tag.site}-{tag.row}", "t.Tromsø 1-3", "t.Troms__1-3"),
            ("{tag.none}", "", "_"),
            ("..", "..", "__"),
        ] {
            let compiled = Template::new(template).unwrap();
            assert_eq!(compiled.text("gw 1", "a/b", &tags()), text, "{template}");
            assert_eq!(compiled.topic("gw 1", "a/b", &tags()), topic, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_says_where() {
        for (template, error) in [
            ("", TemplateError::Empty),
            ("å{sensor", TemplateError::Unclosed(2)),
            ("sensor}", TemplateError::Stray(6)),
            ("{{sensor}}", TemplateError::Unknown(0, "{sensor".into())),
            ("{}", TemplateError::Unknown(0, String::new())),
            ("a{Sensor}", TemplateError::Unknown(1, "Sensor".into())),
            ("{tag.}", TemplateError::Unknown(0, "tag.".into())),
        ] {
            assert_eq!(Template::new(template), Err(error), "{template}");
        }
    }

    #[test]
    fn the_longest_text_is_known() {
        let template = Template::new("a-{device}-{sensor}-{sensor}-{tag.site}").unwrap();
        assert_eq!(template.longest(10, 128, |_| 5), 5 + 10 + 256 + 5);
    }
}
