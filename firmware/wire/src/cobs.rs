//! Consistent overhead byte stuffing: a frame without zeros, so that a zero always is the end of one.
//!
//! Own code, since both directions work in place here: a frame is stuffed inside the buffer it is written in, and
//! unstuffed as its bytes arrive, whole runs at a time. (The `cobs` crate needs a second buffer to encode, and
//! brings `heapless` along.)

/// The most data bytes of one block.
const MAX_RUN: usize = 254;
/// The code of a block of [`MAX_RUN`] bytes that no zero follows.
const FULL: u8 = 0xff;

/// The most bytes that stuffing makes of `len` bytes, without the closing zero.
pub(crate) const fn stuffed_len(len: usize) -> usize {
    len + len / MAX_RUN + 1
}

/// Stuffs, inside `buffer`, the `len` bytes at `offset`, to its start; how many there are then.
///
/// `offset` must be at least `stuffed_len(len) - len`: then what is written never reaches what is still to be read.
/// `None` if `buffer` is too short.
pub(crate) fn stuff(buffer: &mut [u8], offset: usize, len: usize) -> Option<usize> {
    let (mut code_at, mut code, mut end) = (0, 1, 1);
    for at in offset..offset + len {
        let byte = *buffer.get(at)?;
        if code == FULL {
            *buffer.get_mut(code_at)? = FULL;
            (code_at, code, end) = (end, 1, end + 1);
        }
        if byte == 0 {
            *buffer.get_mut(code_at)? = code;
            (code_at, code, end) = (end, 1, end + 1);
        } else {
            *buffer.get_mut(end)? = byte;
            code += 1;
            end += 1;
        }
    }
    *buffer.get_mut(code_at)? = code;
    Some(end)
}

/// Takes stuffed bytes as they come and puts the frame into a buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unstuff {
    /// Data bytes that the present block still lacks.
    left: u8,
    /// Whether a zero stands between the present block and the next.
    zero_due: bool,
    /// Whether anything has come since the last zero.
    started: bool,
    /// The buffer was too short; the rest up to the next zero is skipped.
    overflow: bool,
    len: usize,
}

/// Why there is no frame between two zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unstuffed {
    /// So many bytes.
    Frame(usize),
    /// The last block was cut off.
    Cut,
    /// More bytes than the buffer holds.
    TooLong,
}

impl Unstuff {
    pub(crate) const fn new() -> Self {
        Self {
            left: 0,
            zero_due: false,
            started: false,
            overflow: false,
            len: 0,
        }
    }

    /// Consumes `input` through the zero that ends the next frame, or all of it. Empty frames are passed over.
    pub(crate) fn advance(&mut self, input: &mut &[u8], buffer: &mut [u8]) -> Option<Unstuffed> {
        loop {
            let (&byte, rest) = input.split_first()?;
            if byte == 0 {
                *input = rest;
                if let Some(end) = self.close() {
                    return Some(end);
                }
            } else if self.left == 0 && !self.overflow {
                *input = rest;
                self.open_block(byte, buffer);
            } else {
                let limit = if self.overflow {
                    input.len()
                } else {
                    usize::from(self.left).min(input.len())
                };
                let (run, _) = input.split_at_checked(limit)?;
                let run = run.split(|&byte| byte == 0).next()?;
                *input = input.get(run.len()..)?;
                self.copy(run, buffer);
            }
        }
    }

    fn close(&mut self) -> Option<Unstuffed> {
        let Self {
            left,
            started,
            overflow,
            len,
            ..
        } = core::mem::take(self);
        started.then_some(match (overflow, left) {
            (true, _) => Unstuffed::TooLong,
            (false, 0) => Unstuffed::Frame(len),
            (false, _) => Unstuffed::Cut,
        })
    }

    fn open_block(&mut self, code: u8, buffer: &mut [u8]) {
        if self.zero_due {
            self.append(&[0], buffer);
        }
        self.started = true;
        self.zero_due = code != FULL;
        self.left = code - 1;
    }

    fn copy(&mut self, run: &[u8], buffer: &mut [u8]) {
        if self.overflow {
            return;
        }
        self.append(run, buffer);
        // A run is never longer than what the block lacks.
        self.left = self
            .left
            .saturating_sub(u8::try_from(run.len()).unwrap_or(u8::MAX));
    }

    fn append(&mut self, bytes: &[u8], buffer: &mut [u8]) {
        match buffer
            .get_mut(self.len..)
            .and_then(|room| room.get_mut(..bytes.len()))
        {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflow = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn stuffed(data: &[u8]) -> Vec<u8> {
        let gap = stuffed_len(data.len()) - data.len();
        let mut buffer = vec![0; gap];
        buffer.extend_from_slice(data);
        let len = stuff(&mut buffer, gap, data.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn check(data: &[u8], expect: &[u8]) {
        assert_eq!(stuffed(data), expect);
        let mut line = expect.to_vec();
        line.push(0);
        let mut frame = vec![0; data.len()];
        assert_eq!(
            Unstuff::new().advance(&mut &line[..], &mut frame),
            Some(Unstuffed::Frame(data.len())),
            "{data:?}"
        );
        assert_eq!(frame, data);
    }

    /// The examples of the paper of Cheshire and Baker, and the edges of a full block.
    #[test]
    fn known_answers() {
        let run: Vec<u8> = (1..=254).collect();
        let with = |before: &[u8], data: &[u8], after: &[u8]| [before, data, after].concat();
        check(&[], &[1]);
        check(&[0], &[1, 1]);
        check(&[0, 0], &[1, 1, 1]);
        check(&[0x11, 0x22, 0, 0x33], &[3, 0x11, 0x22, 2, 0x33]);
        check(&[0x11, 0, 0, 0], &[2, 0x11, 1, 1, 1]);
        check(&run, &with(&[255], &run, &[]));
        check(&with(&[0], &run, &[]), &with(&[1, 255], &run, &[]));
        check(&with(&[], &run, &[0]), &with(&[255], &run, &[1, 1]));
        check(&with(&[], &run, &[9]), &with(&[255], &run, &[2, 9]));
        check(&with(&[], &run[1..], &[0]), &with(&[254], &run[1..], &[1]));
        check(
            &[run.clone(), run.clone(), vec![7]].concat(),
            &[&[255], &run[..], &[255], &run, &[2, 7]].concat(),
        );
    }

    #[test]
    fn a_closing_empty_block_after_a_full_one_is_understood() {
        let run: Vec<u8> = (1..=254).collect();
        let line = [&[255], &run[..], &[1, 0]].concat();
        let mut frame = [0; 254];
        assert_eq!(
            Unstuff::new().advance(&mut &line[..], &mut frame),
            Some(Unstuffed::Frame(254))
        );
    }

    #[test]
    fn every_length_comes_back_with_and_without_zeros() {
        for len in 0..=crate::MAX_FRAME {
            for every in [1, 2, 7, 253, 254, 255, 1000] {
                let data: Vec<u8> = (0..len).map(|at| u8::from(at % every != 0) * 0xa5).collect();
                let line = stuffed(&data);
                assert!(!line.contains(&0) && line.len() <= stuffed_len(len));
                check(&data, &line);
            }
        }
    }
}
