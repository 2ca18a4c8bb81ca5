//! Which topics may be used, and the tickets that wait to hear it.
//!
//! Owns the answers as far as they still hold, and tickets that were taken and not handed to the client. They cost no room
//! of what is under way there. Promises that each of those comes out once. Pure. Must not know who asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ticket::Ticket;

/// The book.
#[derive(Debug, Default)]
pub(super) struct TopicBook {
    good: HashSet<Arc<str>>,
    /// Tickets by the topic that was asked about.
    held: HashMap<Arc<str>, Vec<Arc<Ticket>>>,
}

impl TopicBook {
    /// Whether records may go there.
    pub(super) fn is_good(&self, topic: &str) -> bool {
        self.good.contains(topic)
    }

    /// Keeps a ticket until it is known. Returns the topic when nobody has asked about it yet.
    pub(super) fn hold(&mut self, topic: &str, ticket: Arc<Ticket>) -> Option<Arc<str>> {
        if let Some(held) = self.held.get_mut(topic) {
            held.push(ticket);
            return None;
        }
        let topic: Arc<str> = topic.into();
        self.held.insert(topic.clone(), vec![ticket]);
        Some(topic)
    }

    /// A broker has said whether the topic may be used; the tickets that waited for it.
    pub(super) fn answered(&mut self, topic: Arc<str>, good: bool) -> Vec<Arc<Ticket>> {
        let held = self.held.remove(&topic).unwrap_or_default();
        if good {
            self.good.insert(topic);
        } else {
            self.good.remove(&topic);
        }
        held
    }

    /// Something is wrong with the topic: it has to be asked about again.
    pub(super) fn doubt(&mut self, topic: &str) {
        self.good.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ticket;
    use super::*;

    #[test]
    fn a_topic_is_asked_about_once_and_again_after_doubt() {
        let mut book = TopicBook::default();
        let mut next = 0;
        let mut some = || {
            next += 1;
            Arc::new(ticket(next, 1))
        };
        let ids = |tickets: Vec<Arc<Ticket>>| tickets.iter().map(|ticket| ticket.id.0).collect::<Vec<_>>();
        let asked = book.hold("a", some()).expect("nobody has asked");
        assert_eq!((book.hold("a", some()), &*asked), (None, "a"));
        assert!(book.hold("b", some()).is_some());
        assert_eq!(ids(book.answered(asked, true)), [1, 2]);
        assert!(book.is_good("a") && !book.is_good("b"));
        book.doubt("a");
        assert!(!book.is_good("a"));
        let asked = book.hold("a", some()).expect("it is asked about again");
        assert_eq!(ids(book.answered(asked, false)), [4]);
        assert!(!book.is_good("a"));
        assert_eq!(
            ids(book.answered("c".into(), true)),
            [0; 0],
            "an answer that nobody waits for"
        );
        assert!(book.is_good("c"));
    }
}
