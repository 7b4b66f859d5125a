//! What was probably meant where a name was mistyped.

/// The name most similar to a mistyped one, if it is similar enough to be what was meant.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::jaro_winkler(wrong, name), name.as_str()));
    scored
        .filter(|&(score, name)| score > 0.82 && name != wrong)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The end of a message: `; did you mean "take"?`, or nothing.
pub fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a String>) -> String {
    nearest(wrong, names).map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
