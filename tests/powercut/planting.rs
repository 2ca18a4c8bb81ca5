//! Bugs on purpose, for the controls: rigs that find nothing prove nothing.
//!
//! Owns the choice of one for this process. Built without the feature `planted-bugs`, it can plant none, and says so.

use edgespool::planted::Bug;

/// Plants a bug, or none, in this process. False when this was built without them.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) -> bool {
    edgespool::planted::plant_everywhere(bug);
    true
}

/// Plants a bug, or none, in this process. False when this was built without them.
#[cfg(not(feature = "planted-bugs"))]
pub fn plant(bug: Option<Bug>) -> bool {
    bug.is_none()
}

/// Its name, for a child.
pub fn name(bug: Bug) -> String {
    format!("{bug:?}")
}

/// The bug of that name.
pub fn named(wanted: &str) -> Option<Bug> {
    Bug::ALL.into_iter().find(|bug| name(*bug) == wanted)
}
