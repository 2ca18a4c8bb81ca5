//! Which machine this is: a number for the queue, to notice that it was copied from another one.
//!
//! Made from the machine ID and, where the board has one, its serial number: cards that were cloned have the same machine
//! ID. Only a digest leaves this file, for a machine ID is not to be shown around.

use std::fs;

use crate::queue::opening::digest;

const SOURCES: [&str; 2] = ["/etc/machine-id", "/sys/firmware/devicetree/base/serial-number"];

/// The number of this machine; 0 where nothing is known of it.
pub(super) fn number() -> u64 {
    of(&SOURCES.map(|path| fs::read(path).unwrap_or_default()))
}

fn of(sources: &[Vec<u8>]) -> u64 {
    let known = |source: &Vec<u8>| !source.is_empty() && !source.starts_with(b"uninitialized");
    let said: Vec<_> = sources.iter().filter(|source| known(source)).cloned().collect();
    if said.is_empty() {
        return 0;
    }
    digest(&[b"edgespool queue".to_vec(), said.concat()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_differ_by_their_id_and_by_their_board() {
        let (a, b, board) = (b"0123\n".to_vec(), b"4567\n".to_vec(), b"10000000abcd\0".to_vec());
        assert_eq!(of(&[vec![], b"uninitialized\n".to_vec()]), 0);
        let numbers = [
            of(&[a.clone(), vec![]]),
            of(&[b, vec![]]),
            of(&[a, board.clone()]),
            of(&[vec![], board]),
        ];
        for (index, number) in numbers.iter().enumerate() {
            assert!(*number != 0 && !numbers[..index].contains(number));
        }
    }
}
