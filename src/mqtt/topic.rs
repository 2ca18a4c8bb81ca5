//! Topic filters, what their wildcards match, and sensors' names made of that.
//!
//! Pure. Owns the rules of MQTT 3.1.1, section 4.7. Must not know what a sensor may be called.

/// The most bytes of a topic or a filter.
const MAX_BYTES: usize = 65_535;

/// A topic filter: levels with slashes between them, `+` for one of them, `#` at the end for all that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
}

/// Why a text is no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// More bytes than a packet can hold.
    #[error("has more than {MAX_BYTES} bytes")]
    Long,
    /// A `+` that is not a whole level, at that byte.
    #[error("has a + that is not all between two slashes")]
    Plus(usize),
    /// A `#` that is not the whole last level, at that byte.
    #[error("has a # that is not all behind the last slash")]
    Hash(usize),
    /// A character that the protocol does not allow, at that byte.
    #[error("has a control character in it")]
    Control(usize),
    /// A shared subscription: what another client of the group gets is lost to this one.
    #[error("is a shared subscription")]
    Shared,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Err(FilterError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(FilterError::Long);
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(FilterError::Control(at));
        }
        if text.starts_with("$share/") {
            return Err(FilterError::Shared);
        }
        let mut at = 0;
        for level in text.split('/') {
            if level.contains('+') && level != "+" {
                return Err(FilterError::Plus(at));
            }
            let last = at + level.len() == text.len();
            if level.contains('#') && (level != "#" || !last) {
                return Err(FilterError::Hash(at));
            }
            at += level.len() + 1;
        }
        Ok(Self { text: text.into() })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many wildcards it has.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.text
            .split('/')
            .filter(|level| matches!(*level, "+" | "#"))
            .count()
    }

    /// What its wildcards match, in their order; `None` if the topic is not one of its.
    #[must_use]
    pub fn captures<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        // Topics of the broker itself are matched by filters that name them only.
        if topic.starts_with('$') && !self.text.starts_with('$') {
            return None;
        }
        let mut found = Vec::new();
        let mut rest = Some(topic);
        for level in self.text.split('/') {
            if level == "#" {
                found.push(rest.unwrap_or_default());
                return Some(found);
            }
            let (name, behind) = match rest?.split_once('/') {
                Some((name, behind)) => (name, Some(behind)),
                None => (rest?, None),
            };
            if level == "+" {
                found.push(name);
            } else if level != name {
                return None;
            }
            rest = behind;
        }
        rest.is_none().then_some(found)
    }
}

/// How a sensor's name is made of a topic: text with `{topic.1}` for what the filter's first wildcard matched, and
/// `{topic}` for the whole topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorName {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Topic,
    Capture(usize),
}

/// Why a text names no sensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SensorNameError {
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// A `{` without its `}`, at that byte.
    #[error("has a {{ without its }}")]
    Unclosed(usize),
    /// A `}` without its `{`, at that byte.
    #[error("has a }} without its {{")]
    Stray(usize),
    /// A placeholder that nobody knows, at that byte.
    #[error("has an unknown placeholder {{{1}}}")]
    Unknown(usize, String),
    /// The filter has fewer wildcards, at that byte.
    #[error("wants wildcard {1} of a filter that has {2}")]
    NoSuchWildcard(usize, usize, usize),
}

impl SensorName {
    /// Reads a name for topics of a filter.
    ///
    /// # Errors
    /// When a brace has no partner, or a placeholder is none that the filter has.
    pub fn new(text: &str, filter: &Filter) -> Result<Self, SensorNameError> {
        if text.is_empty() {
            return Err(SensorNameError::Empty);
        }
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let literal = rest.find(['{', '}']).unwrap_or(rest.len());
            if literal > 0 {
                parts.push(Part::Literal(rest[..literal].into()));
                at += literal;
                continue;
            }
            let inside = rest.strip_prefix('{').ok_or(SensorNameError::Stray(at))?;
            let end = inside.find('}').ok_or(SensorNameError::Unclosed(at))?;
            parts.push(placeholder(&inside[..end], at, filter.wildcards())?);
            at += end + 2;
        }
        Ok(Self { parts })
    }

    /// The name, if it is the same for all topics.
    #[must_use]
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// Filled in.
    #[must_use]
    pub fn text(&self, topic: &str, captures: &[&str]) -> String {
        let part = |part: &'_ Part| match part {
            Part::Literal(text) => text.to_string(),
            Part::Topic => topic.to_owned(),
            Part::Capture(index) => captures.get(*index).copied().unwrap_or_default().to_owned(),
        };
        self.parts.iter().map(part).collect()
    }
}

fn placeholder(name: &str, at: usize, wildcards: usize) -> Result<Part, SensorNameError> {
    if name == "topic" {
        return Ok(Part::Topic);
    }
    let number = name
        .strip_prefix("topic.")
        .and_then(|number| number.parse::<usize>().ok());
    match number {
        Some(number) if (1..=wildcards).contains(&number) => Ok(Part::Capture(number - 1)),
        Some(number) => Err(SensorNameError::NoSuchWildcard(at, number, wildcards)),
        None => Err(SensorNameError::Unknown(at, name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_follow_the_protocol() {
        for (text, expect) in [
            ("a/+/c", Ok(1)),
            ("#", Ok(1)),
            ("+/+/#", Ok(3)),
            ("/", Ok(0)),
            ("", Err(FilterError::Empty)),
            ("a/b+/c", Err(FilterError::Plus(2))),
            ("a/#/c", Err(FilterError::Hash(2))),
            ("a#", Err(FilterError::Hash(0))),
            ("a\n", Err(FilterError::Control(1))),
            ("$share/g/a", Err(FilterError::Shared)),
        ] {
            assert_eq!(
                Filter::new(text).map(|filter| filter.wildcards()),
                expect,
                "{text:?}"
            );
        }
    }

    #[test]
    fn wildcards_capture_what_they_match() {
        for (filter, topic, expect) in [
            ("zigbee2mqtt/+", "zigbee2mqtt/attic", Some(vec!["attic"])),
            ("zigbee2mqtt/+", "zigbee2mqtt/attic/set", None),
            ("zigbee2mqtt/+", "zigbee2mqtt", None),
            ("+/sensor/+/state", "n/sensor/t/state", Some(vec!["n", "t"])),
            ("a/#", "a/b/c", Some(vec!["b/c"])),
            ("a/#", "a", Some(vec![""])),
            ("a/#", "ab", None),
            ("+", "", Some(vec![""])),
            ("+/b", "/b", Some(vec![""])),
            ("a/b", "a/b", Some(vec![])),
            ("a/b", "a/b/", None),
            ("#", "$SYS/x", None),
            ("+/x", "$SYS/x", None),
            ("$SYS/#", "$SYS/x", Some(vec!["x"])),
        ] {
            assert_eq!(
                Filter::new(filter).unwrap().captures(topic),
                expect,
                "{filter} {topic}"
            );
        }
    }

    #[test]
    fn names_are_made_of_what_wildcards_match() {
        let filter = Filter::new("+/sensor/+/state").unwrap();
        for (text, expect) in [
            ("{topic.1}-{topic.2}", Ok("n-t")),
            ("{topic}", Ok("n/sensor/t/state")),
            ("tank", Ok("tank")),
            ("", Err(SensorNameError::Empty)),
            ("a{topic.1", Err(SensorNameError::Unclosed(1))),
            ("a}", Err(SensorNameError::Stray(1))),
            ("{x}", Err(SensorNameError::Unknown(0, "x".into()))),
            ("a{topic.3}", Err(SensorNameError::NoSuchWildcard(1, 3, 2))),
            ("{topic.0}", Err(SensorNameError::NoSuchWildcard(0, 0, 2))),
        ] {
            let name = SensorName::new(text, &filter);
            let filled = name.map(|name| name.text("n/sensor/t/state", &["n", "t"]));
            assert_eq!(filled, expect.map(str::to_owned), "{text}");
        }
        assert_eq!(SensorName::new("tank", &filter).unwrap().fixed(), Some("tank"));
        assert_eq!(SensorName::new("{topic.1}", &filter).unwrap().fixed(), None);
    }
}
