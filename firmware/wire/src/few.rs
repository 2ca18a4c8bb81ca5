//! A short list that lives on the stack: at most [`MAX_MEASUREMENTS`] items, read as a slice.

use core::ops::Deref;

use crate::MAX_MEASUREMENTS;

/// At most [`MAX_MEASUREMENTS`] items, in place; dereferences to a slice.
#[derive(Clone, Copy, Debug)]
pub struct Few<T> {
    items: [T; MAX_MEASUREMENTS],
    len: usize,
}

/// There is no room for a further item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_MEASUREMENTS} items")]
pub struct TooMany;

impl<T: Copy + Default> Few<T> {
    /// An empty list.
    pub fn new() -> Self {
        Self {
            items: [T::default(); MAX_MEASUREMENTS],
            len: 0,
        }
    }

    /// The items of a slice.
    ///
    /// # Errors
    /// [`TooMany`] if they do not fit.
    pub fn from_slice(items: &[T]) -> Result<Self, TooMany> {
        let mut list = Self::new();
        items.iter().try_for_each(|&item| list.push(item))?;
        Ok(list)
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`TooMany`] if the list is full; it stays as it was.
    pub fn push(&mut self, item: T) -> Result<(), TooMany> {
        *self.items.get_mut(self.len).ok_or(TooMany)? = item;
        self.len += 1;
        Ok(())
    }
}

impl<T: Copy + Default> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<'l, T> IntoIterator for &'l Few<T> {
    type Item = &'l T;
    type IntoIter = core::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
