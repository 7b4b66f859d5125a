//! A channel with a resolution of its own: scaled once, from that at which a video stores it to that at which a JPEG does.

use super::channel::{Channel, Halved, NO_COLOUR};

/// A channel by itself.
///
/// # Invariants
/// * `samples` holds exactly as many as `size` says, rows from the top, or none: then there is no colour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) samples: Vec<u8>,
    /// Columns and rows.
    pub(crate) size: (u32, u32),
}

impl Plane {
    /// The channel of an image that is as large as it.
    pub(crate) fn channel(&self) -> Channel<'_> {
        Channel { samples: &self.samples, width: self.size.0 as usize, halved: Halved::NOT }
    }

    /// The rows, for writing.
    #[cfg(feature = "video")]
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.samples.chunks_exact_mut((self.size.0 as usize).max(1))
    }

    /// The samples and the number of them in a row. Where there is no colour, they are written to `memory`.
    pub(crate) fn samples<'a>(&'a self, memory: &'a mut Vec<u8>) -> (&'a [u8], usize) {
        let (width, height) = (self.size.0 as usize, self.size.1 as usize);
        if !self.samples.is_empty() {
            return (&self.samples, width);
        }
        memory.clear();
        memory.resize(width * height, NO_COLOUR);
        (memory, width)
    }
}
