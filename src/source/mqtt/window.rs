//! Which messages were taken and are not acknowledged yet.
//!
//! Pure. Owns the numbers that receipts count and the order of acknowledgements, which is that of arrival. Promises: a
//! message is acknowledged only when everything up to its number is durable; after the loss of a connection nothing is
//! acknowledged that the broker has not sent again; a message that is sent again and is in our hands already is known
//! again, unless the broker has lost the session. Must not know what messages say.

use std::collections::{HashMap, VecDeque};

#[derive(Debug, Clone, Copy)]
struct Unacknowledged {
    packet: u16,
    number: u64,
    mark: u32,
}

/// The messages under way.
#[derive(Debug, Default)]
pub struct Window {
    waiting: VecDeque<Unacknowledged>,
    /// What was in our hands when the connection was lost, by its packet number.
    lost: HashMap<u16, Unacknowledged>,
    last: u64,
}

impl Window {
    /// The highest number that was given.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many messages wait for their acknowledgement.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A connection was made; whether the broker has kept the session.
    pub fn connected(&mut self, session_present: bool) {
        self.lost
            .extend(self.waiting.drain(..).map(|message| (message.packet, message)));
        if !session_present {
            self.lost.clear();
        }
    }

    /// A message came; `again` if the broker says that it has sent it before, and `mark` tells it from others. False when
    /// it is in our hands already.
    pub fn arrived(&mut self, packet: u16, again: bool, mark: u32) -> bool {
        let known = self
            .lost
            .remove(&packet)
            .filter(|known| again && known.mark == mark);
        self.waiting.push_back(known.unwrap_or(Unacknowledged {
            packet,
            number: self.last + 1,
            mark,
        }));
        self.last += u64::from(known.is_none());
        known.is_none()
    }

    /// Takes back the numbers of messages that nothing was made of, if nothing else waits: they can go at once.
    pub fn nothing_made(&mut self, before: u64, acknowledge: impl FnMut(u16)) {
        if self.waiting.iter().all(|message| message.number > before) {
            self.waiting
                .drain(..)
                .map(|message| message.packet)
                .for_each(acknowledge);
            self.last = before;
        }
    }

    /// Everything up to this number is durable.
    pub fn durable(&mut self, through: u64, mut acknowledge: impl FnMut(u16)) {
        while self
            .waiting
            .front()
            .is_some_and(|message| message.number <= through)
        {
            self.waiting
                .pop_front()
                .map(|message| message.packet)
                .into_iter()
                .for_each(&mut acknowledge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u16; 0] = [];

    fn durable(window: &mut Window, through: u64) -> Vec<u16> {
        let mut acknowledged = Vec::new();
        window.durable(through, |packet| acknowledged.push(packet));
        acknowledged
    }

    fn filled(packets: &[u16]) -> Window {
        let mut window = Window::default();
        for packet in packets {
            assert!(window.arrived(*packet, false, u32::from(*packet)));
        }
        window
    }

    #[test]
    fn acknowledgements_follow_what_is_durable_in_the_order_of_arrival() {
        let mut window = filled(&[7, 3, 9]);
        assert_eq!(durable(&mut window, 0), NONE);
        assert_eq!(durable(&mut window, 2), [7, 3]);
        assert_eq!(durable(&mut window, 2), NONE);
        assert_eq!(durable(&mut window, 99), [9]);
        assert_eq!(window.last(), 3);
    }

    #[test]
    fn after_a_loss_only_what_is_sent_again_is_acknowledged_and_what_is_in_our_hands_is_known() {
        let mut window = filled(&[7, 3]);
        window.connected(true);
        assert_eq!(
            durable(&mut window, 2),
            NONE,
            "the broker has not sent them again"
        );
        assert!(!window.arrived(3, true, 3), "known");
        assert!(window.arrived(8, false, 8), "new");
        assert_eq!(durable(&mut window, 2), [3]);
        assert_eq!(durable(&mut window, 3), [8]);
    }

    #[test]
    fn a_number_that_is_used_for_another_message_is_not_known() {
        for (again, mark) in [(false, 7), (true, 8)] {
            let mut window = filled(&[7]);
            window.connected(true);
            assert!(window.arrived(7, again, mark));
            assert_eq!(durable(&mut window, 1), NONE, "its own number counts");
            assert_eq!(durable(&mut window, 2), [7]);
        }
    }

    #[test]
    fn with_a_new_session_nothing_is_known() {
        let mut window = filled(&[7]);
        window.connected(false);
        assert!(window.is_empty() && window.arrived(7, true, 7));
        assert_eq!(durable(&mut window, 1), NONE);
    }

    #[test]
    fn a_second_loss_forgets_nothing() {
        let mut window = filled(&[7, 8]);
        window.connected(true);
        assert!(!window.arrived(7, true, 7));
        window.connected(true);
        assert!(!window.arrived(7, true, 7) && !window.arrived(8, true, 8));
        assert_eq!(durable(&mut window, 2), [7, 8]);
    }

    #[test]
    fn what_gives_no_reading_goes_at_once_unless_it_would_overtake() {
        let mut acknowledged = Vec::new();
        let mut window = filled(&[1, 2]);
        window.nothing_made(0, |packet| acknowledged.push(packet));
        assert_eq!((acknowledged, window.last()), (vec![1, 2], 0));
        let mut window = filled(&[1, 2]);
        window.nothing_made(1, |_| panic!("1 waits"));
        assert_eq!((window.len(), window.last()), (2, 2));
    }
}
