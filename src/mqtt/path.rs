//! Where in a payload a value is: `temperature`, `DS18B20.Temperature`, `sensors.0.value`, or `$`, which is all of it.
//!
//! Pure. Must not know what a payload looks like beyond that.

/// A path into JSON: keys and places of lists, from outside in. An empty one is the whole payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Box<str>>);

/// The path of the whole payload.
pub const WHOLE: &str = "$";

/// Objects in objects deeper than this are no sensor's.
const MAX_DEPTH: usize = 32;

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It, or a piece of it, is empty.
    #[error("has an empty piece")]
    Empty,
    /// More pieces than any payload has.
    #[error("has more than {MAX_DEPTH} pieces")]
    Deep,
}

impl Path {
    /// Reads a path: pieces with dots between them. A dot that belongs to a key is written `\.`.
    ///
    /// # Errors
    /// When a piece is empty, or when there are too many.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text == WHOLE {
            return Ok(Self(Vec::new()));
        }
        let mut pieces = vec![String::new()];
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let last = pieces.last_mut().ok_or(PathError::Empty)?;
            match c {
                '\\' if characters.peek() == Some(&'.') => last.extend(characters.next()),
                '.' => pieces.push(String::new()),
                c => last.push(c),
            }
        }
        if pieces.iter().any(String::is_empty) {
            return Err(PathError::Empty);
        }
        if pieces.len() > MAX_DEPTH {
            return Err(PathError::Deep);
        }
        Ok(Self(pieces.into_iter().map(Box::from).collect()))
    }

    /// The pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Box<str>] {
        &self.0
    }

    /// Whether it is the whole payload.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let deep = vec!["a"; 33].join(".");
        for (text, expect) in [
            ("temperature", Ok(vec!["temperature"])),
            ("DS18B20.Temperature", Ok(vec!["DS18B20", "Temperature"])),
            (
                "params.temperature:0.tC",
                Ok(vec!["params", "temperature:0", "tC"]),
            ),
            (r"a\.b.c\d", Ok(vec!["a.b", r"c\d"])),
            ("$", Ok(vec![])),
            ("", Err(PathError::Empty)),
            ("a..b", Err(PathError::Empty)),
            ("a.", Err(PathError::Empty)),
            (&deep, Err(PathError::Deep)),
        ] {
            let got = Path::new(text);
            let pieces = got
                .as_ref()
                .map(|path| path.0.iter().map(|piece| &**piece).collect());
            assert_eq!(pieces.map_err(|error| *error), expect, "{text}");
        }
    }
}
