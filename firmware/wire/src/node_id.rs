//! Who a node is: 1 to 16 bytes that no other node of a gateway has.

use core::fmt;

/// The identity of a node: 1 to [`NodeId::MAX`] bytes, such as a chip's unique ID or a short name.
///
/// Shown as text if it is printable ASCII, else as hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    // Zeros after `len`, so that the derived comparisons hold.
    bytes: [u8; Self::MAX],
    len: u8,
}

/// A node ID is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node ID has 1 to {max} bytes, not {len}", max = NodeId::MAX)]
pub struct InvalidNodeId {
    /// How many bytes there were.
    pub len: usize,
}

impl NodeId {
    /// The most bytes of a node ID.
    pub const MAX: usize = 16;

    /// The ID with these bytes.
    ///
    /// # Errors
    /// [`InvalidNodeId`] if there are none or more than [`NodeId::MAX`].
    pub fn new(id: &[u8]) -> Result<Self, InvalidNodeId> {
        let invalid = InvalidNodeId { len: id.len() };
        let len = u8::try_from(id.len()).map_err(|_| invalid)?;
        let mut bytes = [0; Self::MAX];
        bytes
            .get_mut(..id.len())
            .filter(|_| len > 0)
            .ok_or(invalid)?
            .copy_from_slice(id);
        Ok(Self { bytes, len })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(self.as_bytes()) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => f.write_str(text),
            _ => self
                .as_bytes()
                .iter()
                .try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn has_one_to_sixteen_bytes() {
        for len in 0..40 {
            let bytes = [b'x'; 40];
            let id = NodeId::new(&bytes[..len]);
            assert_eq!(id.is_ok(), (1..=16).contains(&len), "{len}");
            assert!(id.map_or_else(|error| error.len == len, |id| id.as_bytes() == &bytes[..len]));
        }
        assert!(NodeId::new(&[1; 257]).is_err());
    }

    #[test]
    fn is_shown_as_text_or_hex() {
        for (bytes, shown) in [
            (&b"shed-1"[..], "shed-1"),
            (&[0xe6, 0x60, 0][..], "e66000"),
            (b"a b", "612062"),
        ] {
            assert_eq!(NodeId::new(bytes).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn trailing_zeros_tell_ids_apart() {
        assert_ne!(NodeId::new(&[1]).unwrap(), NodeId::new(&[1, 0]).unwrap());
    }
}
