//! Boxes of ISO/IEC 14496-12, and reading numbers from their content.

/// The content of a box, or part of it, from a position on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    pub rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next bytes; `None` if there are not as many.
    pub(super) fn take(&mut self, num_bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(num_bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next number of at most 8 bytes.
    pub(super) fn number(&mut self, num_bytes: usize) -> Option<u64> {
        Some(self.take(num_bytes)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// The version and the flags of a full box.
    pub(super) fn version_and_flags(&mut self) -> Option<(u64, u64)> {
        Some((self.number(1)?, self.number(3)?))
    }

    /// The text up to the next zero byte.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.rest)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// The type and the content of the next box.
    pub(super) fn next_box(&mut self) -> Option<([u8; 4], Fields<'a>)> {
        let size = self.number(4)?;
        let kind = *self.take(4)?.first_chunk()?;
        let content = match size {
            0 => self.rest.len(),
            1 => usize::try_from(self.number(8)?).ok()?.checked_sub(16)?,
            size => usize::try_from(size).ok()?.checked_sub(8)?,
        };
        self.take(content).map(|content| (kind, Self::of(content)))
    }

    /// All boxes that are whole.
    pub(super) fn boxes(mut self) -> impl Iterator<Item = ([u8; 4], Fields<'a>)> {
        std::iter::from_fn(move || self.next_box())
    }
}
