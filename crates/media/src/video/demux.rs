//! An open container with one video stream selected: facts from its header, and its packets in decoding order.
//!
//! Containers whose header describes their streams are opened from the header alone. The others (MPEG, AVI, FLV …) are
//! probed, which decodes a few frames. Nothing else is decoded here.

use std::sync::{Arc, Once};

use ffmpeg_next::codec::{self, Parameters};
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::packet::side_data::Type as SideDataType;
use ffmpeg_next::util::error::EAGAIN;
use ffmpeg_next::{Dictionary, Error, Packet, Rational, Stream, log, media};
use manyframe_core::RejectCode;

use super::boxes::{OuterBoxes, read_outer_boxes};
use super::ffi;
use super::input::{ByteSource, ReadState};
use super::orientation::Orientation;
use crate::error::MediaError;

/// Demuxers that FFmpeg may use: video containers. Playlists, which would open other files, are not among them.
const DEMUXERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpeg,mpegts,asf,ogg,mxf,ivf,rm,dv,mpegvideo,\
                        h264,hevc";

/// Upper bound on packets of a video: 37 hours at 60 frames per second.
const MAX_PACKETS: usize = 8_000_000;

/// Upper bound on consecutive `EAGAIN` errors of a demuxer.
const MAX_RETRIES: usize = 100;

/// Container formats that differ in the contents of their headers and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerFormat {
    /// MP4, QuickTime: everything is in sample tables.
    Mp4,
    /// Matroska, WebM.
    Matroska,
    /// AVI.
    Avi,
    /// GIF.
    Gif,
    /// Any other: probed, and read without seeking.
    Other,
}

/// A packet of the video stream, as the container describes it. Times are in ticks of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VideoPacket {
    /// When its frame is shown.
    pub(super) pts: Option<i64>,
    /// When it is decoded.
    pub(super) dts: Option<i64>,
    /// How long its frame is shown; 0 if unknown.
    pub(super) duration: i64,
    /// First byte in the file; negative if unknown.
    pub(super) position: i64,
    /// Whether the container says that decoding can start here.
    pub(super) is_key: bool,
    /// Whether its frame is shown: some frames are for reference only, or outside an edit list.
    pub(super) is_shown: bool,
}

/// An open container with its video stream selected.
pub(super) struct Demuxer {
    input: Input,
    stream_index: usize,
    container: ContainerFormat,
    source: ByteSource,
    state: Arc<ReadState>,
}

impl ContainerFormat {
    fn from_name(name: &str) -> Self {
        match name.split(',').next() {
            Some("mov") => Self::Mp4,
            Some("matroska") => Self::Matroska,
            Some("avi") => Self::Avi,
            Some("gif") => Self::Gif,
            _ => Self::Other,
        }
    }

    /// Whether the header describes the streams, and packets carry timestamps.
    fn has_full_header(self) -> bool {
        matches!(self, Self::Mp4 | Self::Matroska | Self::Gif)
    }
}

impl Demuxer {
    /// Opens a container and selects its video stream.
    pub(super) fn open(source: &ByteSource) -> Result<Self, MediaError> {
        set_up_ffmpeg();
        let boxes = read_outer_boxes(source).map_err(|error| MediaError::storage(source.file.path(), error))?;
        let (reader, state) = source.reader(boxes.as_ref().map(|boxes| boxes.payload.clone()).unwrap_or_default());
        let fail = |error| source.storage_error(&state).unwrap_or_else(|| not_opened(source, boxes.as_ref(), error));
        let options = Dictionary::from_iter([("format_whitelist", DEMUXERS), ("protocol_whitelist", "none")]);
        let mut input = StreamIo::from_read_seek(reader).and_then(|io| ffi::open_header(io, options)).map_err(fail)?;
        let container = ContainerFormat::from_name(input.format().name());
        let described = select_stream(&input).is_some_and(|stream| is_described(&stream));
        if container.has_full_header() && described {
            ffi::disable_parsers(&mut input);
        } else {
            ffi::read_stream_info(&mut input).map_err(fail)?;
        }
        let Some(stream_index) = select_stream(&input).map(|stream| stream.index()) else {
            return Err(MediaError::rejected(RejectCode::NoFrames, no_video(&input)));
        };
        ffi::discard_other_streams(&mut input, stream_index);
        Ok(Self { input, stream_index, container, source: source.clone(), state })
    }

    /// Reads all packets of the video stream and returns what the container says about them. Nothing is decoded.
    pub(super) fn scan_packets(&mut self) -> Result<Vec<VideoPacket>, MediaError> {
        let codec = self.codec();
        self.skip_payload();
        let mut packets = Vec::new();
        while let Some(packet) = self.next_packet()? {
            if packets.len() == MAX_PACKETS {
                let detail = format!("a video of more than {MAX_PACKETS} packets");
                return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
            }
            packets.push(VideoPacket {
                pts: packet.pts(),
                dts: packet.dts(),
                duration: packet.duration().max(0),
                position: packet.position() as i64,
                is_key: packet.is_key(),
                is_shown: !ffi::is_discarded(&packet) && shows_frame(codec, &packet),
            });
        }
        if needs_keyframe(codec) {
            hide_before_first_key(&mut packets);
        }
        Ok(packets)
    }

    /// From now on packets arrive without their contents where the container's tables suffice, and nothing is read for them.
    fn skip_payload(&mut self) {
        use codec::Id;
        // For other codecs, the contents of a packet tell whether it shows a frame.
        let tables_suffice = matches!(self.codec(), Id::H264 | Id::HEVC | Id::AV1 | Id::VP9 | Id::MJPEG | Id::PRORES);
        if self.container == ContainerFormat::Mp4 && tables_suffice {
            self.state.hide_payload();
        }
    }

    /// The next packet of the video stream; `None` at the end, or where the container is too damaged to continue.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let mut packet = Packet::empty();
        let mut num_retries = 0;
        loop {
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream_index => return Ok(Some(packet)),
                Ok(()) => packet = Packet::empty(),
                Err(Error::Other { errno: EAGAIN }) if num_retries < MAX_RETRIES => num_retries += 1,
                Err(_) => return self.source.storage_error(&self.state).map_or(Ok(None), Err),
            }
        }
    }

    /// Seeks to the last keyframe at or before a time in ticks: decoding time in MP4 and AVI, else presentation time.
    pub(super) fn seek_to_key(&mut self, ticks: i64) -> Result<(), Error> {
        ffi::seek_to_key(&mut self.input, self.stream_index, ticks)
    }

    /// The format of the container.
    pub(super) fn container(&self) -> ContainerFormat {
        self.container
    }

    /// The codec of the video stream.
    pub(super) fn codec(&self) -> codec::Id {
        self.parameters().id()
    }

    /// The codec parameters that a decoder is opened with.
    pub(super) fn parameters(&self) -> Parameters {
        self.stream().parameters()
    }

    /// Width and height in pixels as the container states them, before rotation.
    pub(super) fn stated_size_px(&self) -> (u32, u32) {
        ffi::stated_size_px(&self.parameters())
    }

    /// Seconds per tick.
    pub(super) fn time_base(&self) -> Rational {
        self.stream().time_base()
    }

    /// Frames per second as the container states them.
    pub(super) fn stated_fps(&self) -> Option<f64> {
        let stream = self.stream();
        [stream.avg_frame_rate(), stream.rate()]
            .into_iter()
            .find_map(|rate| (rate.numerator() > 0 && rate.denominator() > 0).then(|| f64::from(rate)))
    }

    /// How decoded frames are turned upright.
    pub(super) fn orientation(&self) -> Orientation {
        let stream = self.stream();
        let matrix = stream.side_data().find(|side_data| side_data.kind() == SideDataType::DisplayMatrix);
        matrix.map_or(Orientation::UPRIGHT, |matrix| Orientation::from_display_matrix(matrix.data()))
    }

    #[expect(clippy::expect_used, reason = "`open` took the index from the input, and FFmpeg never removes a stream")]
    fn stream(&self) -> Stream<'_> {
        self.input.stream(self.stream_index).expect("the selected stream")
    }
}

/// Silences FFmpeg and limits its allocations, once per process.
fn set_up_ffmpeg() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_level(log::Level::Quiet);
        ffi::limit_allocations();
    });
}

/// The stream that `ffmpeg` would select: the largest video stream, but one marked as default first; of equals the first.
/// Cover pictures of audio files are not video.
fn select_stream(input: &Input) -> Option<Stream<'_>> {
    let mut selected: Option<(u64, Stream<'_>)> = None;
    for stream in input.streams().filter(|stream| {
        stream.parameters().medium() == media::Type::Video && !stream.disposition().contains(Disposition::ATTACHED_PIC)
    }) {
        let (width, height) = ffi::stated_size_px(&stream.parameters());
        let preference = if stream.disposition().contains(Disposition::DEFAULT) { 5_000_000 } else { 0 };
        let score = u64::from(width) * u64::from(height) + preference;
        if selected.as_ref().is_none_or(|(best, _)| score > *best) {
            selected = Some((score, stream));
        }
    }
    selected.map(|(_, stream)| stream)
}

/// Whether the header says what a decoder needs.
fn is_described(stream: &Stream<'_>) -> bool {
    let parameters = stream.parameters();
    let (width, height) = ffi::stated_size_px(&parameters);
    parameters.id() != codec::Id::None && width > 0 && height > 0
}

fn no_video(input: &Input) -> String {
    let codecs = input.streams().map(|stream| stream.parameters().id().name().to_owned()).collect::<Vec<_>>();
    if codecs.is_empty() {
        return format!("{:?} without any stream", input.format().description());
    }
    format!("no video stream, only {}", codecs.join(", "))
}

/// Why FFmpeg could not open a file: it is not a video, or it is damaged.
fn not_opened(source: &ByteSource, boxes: Option<&OuterBoxes>, error: Error) -> MediaError {
    if let Some(boxes) = boxes {
        let detail = match (boxes.has_moov, boxes.is_cut_short) {
            (false, true) => "an MP4 that is cut short, without its index (moov)".to_owned(),
            (false, false) => "an MP4 without an index (moov): it was not finished, or cut short".to_owned(),
            (true, true) => format!("an MP4 that is cut short: {error}"),
            (true, false) => format!("a damaged MP4: {error}"),
        };
        return MediaError::rejected(RejectCode::MediaCorrupt, detail);
    }
    let mut head = vec![0; 16];
    match source.read_at(0, &mut head) {
        Ok(num_bytes) => head.truncate(num_bytes),
        Err(failure) => return MediaError::storage(source.file.path(), failure),
    }
    let is_container =
        [&b"\x1a\x45\xdf\xa3"[..], b"RIFF", b"GIF8", b"FLV", b"OggS", b"\x30\x26\xb2\x75", b"\0\0\x01\xba"]
            .iter()
            .any(|magic| head.starts_with(magic));
    if is_container {
        MediaError::rejected(RejectCode::MediaCorrupt, format!("a damaged video file: {error}"))
    } else {
        let start = head.escape_ascii();
        MediaError::rejected(RejectCode::MediaType, format!("not a video file: it starts with \"{start}\""))
    }
}

/// Whether decoders of this codec output no frame before the first keyframe.
fn needs_keyframe(codec: codec::Id) -> bool {
    matches!(codec, codec::Id::H264 | codec::Id::HEVC | codec::Id::VP8 | codec::Id::VP9 | codec::Id::AV1)
}

/// A recording that begins between keyframes shows nothing before the first one. Without any keyframe it may still decode.
fn hide_before_first_key(packets: &mut [VideoPacket]) {
    let first_key = packets.iter().position(|packet| packet.is_key).unwrap_or(0);
    packets.iter_mut().take(first_key).for_each(|packet| packet.is_shown = false);
}

/// Whether a packet of this codec shows a frame, judging by its first byte.
fn shows_frame(codec: codec::Id, packet: &Packet) -> bool {
    // VP8 has packets for frames that are reference only (RFC 6386, section 9.1: `show_frame`).
    match (codec, packet.data().and_then(<[u8]>::first)) {
        (codec::Id::VP8, Some(first)) => first & 0x10 != 0,
        _ => packet.size() > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vp8_reference_frame_is_not_shown() {
        assert!(!shows_frame(codec::Id::VP8, &Packet::copy(&[0x81, 0, 0])));
        assert!(shows_frame(codec::Id::VP8, &Packet::copy(&[0x91, 0, 0])));
        assert!(shows_frame(codec::Id::H264, &Packet::copy(&[0x81])));
    }
}
