//! What is wrong with the settings of a family.

use std::fmt::Display;

/// Settings of a family that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblem {
    /// The key below `model`, with a dot in it if that is in a table.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What is allowed.
    pub allowed: &'static str,
}

/// A minimum above its maximum.
pub(crate) fn crossed<N: PartialOrd + Display + Copy>(
    key: &'static str,
    min: N,
    (max_key, max): (&str, N),
) -> Option<SettingsProblem> {
    (min > max).then(|| SettingsProblem {
        key,
        message: format!("{min} is more than {max_key} = {max}"),
        allowed: "a minimum that is at most its maximum",
    })
}
