//! How long the link waits for what, in milliseconds, and why.

/// How long after the first unanswered Hello the next one follows; doubled each time up to [`HELLO_MAX`].
///
/// A Hello is answered at once, without waiting for a disk, so this is several times what a line of 9,600 baud
/// needs for it.
pub const HELLO_FIRST: u64 = 500;
/// The longest wait between two Hellos: this late, at most, a node notices that its gateway is back. 50 nodes that
/// knock this often take 4 % of a line of 115,200 baud.
pub const HELLO_MAX: u64 = 4_000;

/// How long data may go without progress before it is sent again; doubled each time up to [`RESEND_MAX`].
///
/// Data is acknowledged once it is durable: a commit interval (1 s unless the gateway says otherwise), a sync that
/// an SD card holds up, and the line itself stay below this, so that a good line sees no needless repetition.
pub const RESEND_FIRST: u64 = 3_000;
/// The longest of these waits. A gateway with a long commit interval brings the wait up there; halving at each
/// progress, and not at once back to the first, keeps it near what that gateway needs.
pub const RESEND_MAX: u64 = 30_000;
/// After so many waits without progress the gateway is taken to be gone: from then on only Hellos are sent.
pub const GONE_AFTER: u8 = 2;

/// The shortest time between two reactions to "something is missing": what was under way when the first was sent
/// makes the receiver say it again.
pub const REWIND_GUARD: u64 = 200;

/// After so long without anything to send, a Hello says that the node is alive.
pub const IDLE_HELLO: u64 = 30_000;
