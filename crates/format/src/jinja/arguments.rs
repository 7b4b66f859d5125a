//! Arguments of Python's functions, by their place or by their name; and padding, which filters and methods share.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};

/// The widest text that is padded.
const MAX_WIDTH: usize = 1 << 20;

/// The arguments of these names, given by their places or by their names.
///
/// # Errors
/// If there are more, or others.
pub(super) fn arguments<const N: usize>(
    by_place: &[Value],
    named: &Kwargs,
    expected: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    if by_place.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut found = [const { None }; N];
    for (position, (name, found)) in expected.into_iter().zip(&mut found).enumerate() {
        *found = match by_place.get(position) {
            Some(value) => Some(value.clone()),
            None if named.has(name) => Some(named.get(name)?),
            None => None,
        };
    }
    named.assert_all_used()?;
    Ok(found)
}

/// How many characters a text lacks to be so wide.
pub(super) fn missing(text: &str, width: i64) -> Result<usize, Error> {
    let width = usize::try_from(width).unwrap_or(0);
    if width > MAX_WIDTH {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a text of {width} characters, at most {MAX_WIDTH}"),
        ));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

/// A text with so many characters more around it. Python puts the odd one to the left of a text of even width.
pub(super) fn centred(text: &str, missing: usize, fill: &str) -> String {
    let width = text.chars().count() + missing;
    let left = missing / 2 + (missing & width & 1);
    format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
}
