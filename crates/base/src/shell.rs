//! Paths in commands that a person is told to type.

use std::path::Path;

/// A path as a POSIX shell takes it: between quotes, if it has characters with a meaning there.
pub fn in_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%,".contains(character);
    if !path.is_empty() && path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
