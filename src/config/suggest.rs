//! "Did you mean": the known name nearest to one that is not known.
//!
//! Pure; promises to answer quickly for names of any length, and rather nothing than something far-fetched.

/// Longer names than this are not slips of somebody's finger.
const MAX_NAME: usize = 64;

/// The nearest of these names, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_NAME {
        return None;
    }
    let wanted = folded(name);
    let rated = known.into_iter().map(|known| {
        let other = folded(known);
        let distance = strsim::damerau_levenshtein(&wanted, &other);
        (distance, -strsim::jaro_winkler(&wanted, &other), known)
    });
    let (distance, _, best) = rated.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
    let allowed = wanted.chars().count().div_ceil(3).max(1);
    (distance <= allowed).then_some(best)
}

/// `max_delay`, `maxDelay` and `Max-Delay` differ from `max-delay` in habit only.
fn folded(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = [
            "time-span",
            "packet-size",
            "idle-timeout",
            "max-delay",
            "id",
            "min",
            "max",
        ];
        for (name, expect) in [
            ("time_span", Some("time-span")),
            ("maxDelay", Some("max-delay")),
            ("packet-sze", Some("packet-size")),
            ("ide", Some("id")),
            ("d", Some("id")),
            ("mx", Some("max")),
            ("temperature", None),
            ("q", None),
            ("", None),
            (&"x".repeat(100_000), None),
        ] {
            assert_eq!(nearest(name, known), expect, "{name:.20}");
        }
    }
}
