//! Lines out of a stream of bytes: whole ones, of bounded length.
//!
//! Pure. Promises that a line is given only when both its ends were seen; that an over-long one is skipped up to its end
//! and told. Must not know ports or what is in a line.

use std::time::Duration;

/// The most bytes of a line.
pub const MAX_LINE: usize = 1024;
/// A line that begins this soon after the port was opened was probably being sent already. (USB adapters hold bytes
/// back for 16 ms.)
const JOINED: Duration = Duration::from_millis(50);

/// A piece of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'l> {
    /// A whole line, without its end; never empty.
    Whole(&'l [u8]),
    /// The start of a line that is too long, or what is there of one whose start was not seen.
    Broken(&'l [u8]),
}

/// Cuts lines at CR, LF or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    partial: Vec<u8>,
    broken: bool,
}

impl Lines {
    /// At the start of a stream; `midway` says that it may begin within a line.
    #[must_use]
    pub fn new(midway: bool) -> Self {
        Self {
            partial: Vec::new(),
            broken: midway,
        }
    }

    /// Takes bytes and gives every line that ends in them.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        let mut pieces = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() && !self.broken && piece.len() <= MAX_LINE {
                if !piece.is_empty() {
                    line(Line::Whole(piece));
                }
                continue;
            }
            self.add(piece);
            if let Some(end) = self.end() {
                line(end);
            }
            self.partial.clear();
            self.broken = false;
        }
        self.add(rest);
    }

    /// The stream has ended: what is left of a line whose end was not seen.
    #[must_use]
    pub fn rest(&self) -> Option<Line<'_>> {
        (!self.partial.is_empty()).then_some(Line::Broken(&self.partial))
    }

    fn end(&self) -> Option<Line<'_>> {
        match (self.partial.is_empty(), self.broken) {
            (true, _) => None,
            (false, true) => Some(Line::Broken(&self.partial)),
            (false, false) => Some(Line::Whole(&self.partial)),
        }
    }

    fn add(&mut self, piece: &[u8]) {
        let room = MAX_LINE - self.partial.len();
        self.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.broken |= piece.len() > room;
    }
}

/// Whether the first bytes of a port may be the middle of a line: a real line gives no start to see, and its bytes came
/// as soon as somebody listened.
#[must_use]
pub fn joined_midway(keeps_all: bool, first_bytes_after: Duration) -> bool {
    !keeps_all && first_bytes_after < JOINED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(midway: bool, chunks: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let (mut lines, mut got) = (Lines::new(midway), Vec::new());
        let show = |line: Line<'_>| match line {
            Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
            Line::Broken(line) => format!("!{}", String::from_utf8_lossy(line)),
        };
        chunks
            .iter()
            .for_each(|chunk| lines.push(chunk, |line| got.push(show(line))));
        (got, lines.rest().map(show))
    }

    #[test]
    fn lines_are_cut_wherever_the_reads_fall() {
        let text = b"a:1\r\nb:2\nc:3\r\r\n\nd:4\r\ne";
        let expect = (vec!["a:1", "b:2", "c:3", "d:4"], Some("!e"));
        for size in 1..=text.len() {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            let (got, rest) = cut(false, &chunks);
            assert_eq!(
                (got.iter().map(String::as_str).collect(), rest.as_deref()),
                expect,
                "{size}"
            );
        }
    }

    #[test]
    fn only_whole_lines_count() {
        for (midway, chunks, expect, rest) in [
            (true, &[&b"5C\nx:1C\n"[..]][..], &["!5C", "x:1C"][..], None),
            (true, &[b"5", b"C\r", b"\nx:1C\n"], &["!5C", "x:1C"], None),
            (true, &[b"\nx:1C\n"], &["x:1C"], None),
            (true, &[b"\r\nx:1C\n"], &["x:1C"], None),
            (false, &[b"x:1C"], &[], Some("!x:1C")),
            (false, &[b"\xff\n"], &["\u{fffd}"], None),
            (false, &[b""], &[], None),
        ] {
            let (got, left) = cut(midway, chunks);
            assert_eq!(
                (&got[..], left.as_deref()),
                (
                    &expect.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..],
                    rest
                )
            );
        }
    }

    #[test]
    fn an_over_long_line_is_skipped_to_its_end() {
        let (fits, long) = (vec![b'x'; MAX_LINE], vec![b'x'; 10 * MAX_LINE + 7]);
        for size in [1, 100, MAX_LINE, 1 << 20] {
            let text = [&long[..], b"\nok\n", &fits, b"\n", &fits, b"x\nok\n"].concat();
            let (got, rest) = cut(false, &text.chunks(size).collect::<Vec<_>>());
            let lengths: Vec<_> = got
                .iter()
                .map(|line| (line.starts_with('!'), line.len()))
                .collect();
            let broken = (true, MAX_LINE + 1);
            assert_eq!(
                lengths,
                [broken, (false, 2), (false, MAX_LINE), broken, (false, 2)],
                "{size}"
            );
            assert_eq!(rest, None);
        }
    }

    #[test]
    fn a_real_line_is_joined_midway_unless_it_was_quiet() {
        for (keeps_all, ms, expect) in [
            (false, 0, true),
            (false, 20, true),
            (false, 60, false),
            (true, 0, false),
        ] {
            assert_eq!(
                joined_midway(keeps_all, Duration::from_millis(ms)),
                expect,
                "{keeps_all} {ms}"
            );
        }
    }
}
