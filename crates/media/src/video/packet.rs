//! A packet of a video stream, before anything is decoded.

/// Upper bound on packets of a video: 18 hours at 60 frames per second.
pub(super) const MAX_PACKETS: usize = 4_000_000;

/// A packet of the video stream, as the container describes it. Times are in ticks of the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "marks that containers set independently of each other")]
pub(super) struct VideoPacket {
    /// When its frame is shown.
    pub(super) pts: Option<i64>,
    /// When it is decoded.
    pub(super) dts: Option<i64>,
    /// How long its frame is shown; 0 if unknown.
    pub(super) duration: i64,
    /// First byte in the file; negative if unknown.
    pub(super) position: i64,
    /// Size in bytes.
    pub(super) num_bytes: usize,
    /// Whether the container says that decoding can start here.
    pub(super) is_key: bool,
    /// Whether its frame is shown: some frames are for reference only, or outside an edit list.
    pub(super) is_shown: bool,
    /// Whether it is one of the first pictures, and shown before one that is decoded earlier, though its times say otherwise.
    pub(super) is_b_picture: bool,
    /// Whether some of its bytes are beyond the end of a file that was cut short.
    pub(super) is_absent: bool,
}

impl VideoPacket {
    /// A packet that a file should have, of a frame shown at this time.
    pub(super) fn absent(ticks: i64, duration: i64) -> Self {
        let time = Some(ticks);
        Self { pts: time, dts: time, duration, position: -1, is_shown: true, is_absent: true, ..Self::default() }
    }

    /// The byte after its last; 0 if unknown.
    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.position).map_or(0, |position| position.saturating_add(self.num_bytes as u64))
    }
}
