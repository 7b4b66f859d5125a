//! What Python's `str` says of characters.

/// Whether `str.strip` removes a character: white space, and the four separators of ASCII.
pub(crate) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}
