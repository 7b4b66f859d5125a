//! An open container with one video stream chosen: facts from its header, and its packets in the order of decoding.
//!
//! Containers that describe their streams in a header are opened by it alone. The others (MPEG, AVI, FLV …) are probed,
//! which decodes a few frames.

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
use super::rotate::Orientation;
use super::source::{ByteSource, ReadState};
use crate::MediaError;

/// Demuxers that may be used: containers of video. Play lists, which would open other files, are not among them.
const DEMUXERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpeg,mpegts,asf,ogg,mxf,ivf,rm,dv,mpegvideo,\
                        h264,hevc";

/// Most times in a row that a demuxer may say "not now".
const MAX_RETRIES: usize = 100;

/// What is known about a container format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// MP4, QuickTime: everything is in sample tables.
    Mp4,
    /// Matroska, WebM.
    Matroska,
    /// AVI.
    Avi,
    /// GIF.
    Gif,
    /// Every other one: probed, and never sought in.
    Other,
}

/// An open container, before its first packet.
pub(super) struct Demuxer {
    input: Input,
    stream_index: usize,
    container: Container,
    source: ByteSource,
    state: Arc<ReadState>,
}

impl Container {
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
    /// Opens a container and chooses its video stream.
    pub(super) fn open(source: &ByteSource) -> Result<Self, MediaError> {
        set_up_ffmpeg();
        let boxes = read_outer_boxes(source).map_err(|error| MediaError::storage(source.file.path(), error))?;
        let (reader, state) = source.reader(boxes.as_ref().map(|boxes| boxes.payload.clone()).unwrap_or_default());
        let fail = |error| source.storage_error(&state).unwrap_or_else(|| refused(source, boxes.as_ref(), error));
        let options = Dictionary::from_iter([("format_whitelist", DEMUXERS), ("protocol_whitelist", "none")]);
        let mut input = StreamIo::from_read_seek(reader).and_then(|io| ffi::open_header(io, options)).map_err(fail)?;
        let container = Container::from_name(input.format().name());
        let described = choose_stream(&input).is_some_and(|stream| is_described(&stream));
        if container.has_full_header() && described {
            ffi::disable_parsers(&mut input);
        } else {
            ffi::read_stream_info(&mut input).map_err(fail)?;
        }
        let Some(stream_index) = choose_stream(&input).map(|stream| stream.index()) else {
            return Err(MediaError::rejected(RejectCode::NoFrames, no_video(&input)));
        };
        ffi::discard_other_streams(&mut input, stream_index);
        Ok(Self { input, stream_index, container, source: source.clone(), state })
    }

    /// From now on packets come without their contents where the container's tables allow it, and nothing is read for them.
    pub(super) fn skip_payload(&mut self) {
        use codec::Id;
        // The contents of other codecs' packets tell whether they show a frame.
        let tables_suffice = matches!(self.codec(), Id::H264 | Id::HEVC | Id::AV1 | Id::VP9 | Id::MJPEG | Id::PRORES);
        if self.container == Container::Mp4 && tables_suffice {
            self.state.hide_payload();
        }
    }

    /// The next packet of the video stream; `None` at the end, or where the container is damaged beyond recovery.
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

    /// Moves to the last keyframe at or before a time in ticks: decoding time in MP4 and AVI, else presentation time.
    pub(super) fn seek_to_key(&mut self, ticks: i64) -> Result<(), Error> {
        ffi::seek_to_key(&mut self.input, self.stream_index, ticks)
    }

    /// The format of the container.
    pub(super) fn container(&self) -> Container {
        self.container
    }

    /// The codec of the video stream.
    pub(super) fn codec(&self) -> codec::Id {
        self.parameters().map_or(codec::Id::None, |parameters| parameters.id())
    }

    /// What a decoder needs to know.
    pub(super) fn parameters(&self) -> Option<Parameters> {
        Some(self.stream()?.parameters())
    }

    /// Width and height in pixels as the container states them, before rotation.
    pub(super) fn stated_size_px(&self) -> (u32, u32) {
        self.parameters().map_or((0, 0), |parameters| ffi::stated_size_px(&parameters))
    }

    /// Seconds per tick.
    pub(super) fn time_base(&self) -> Rational {
        self.stream().map_or(Rational::new(1, 1), |stream| stream.time_base())
    }

    /// Frames per second as the container states them.
    pub(super) fn stated_fps(&self) -> Option<f64> {
        let stream = self.stream()?;
        [stream.avg_frame_rate(), stream.rate()]
            .into_iter()
            .find_map(|rate| (rate.numerator() > 0 && rate.denominator() > 0).then(|| f64::from(rate)))
    }

    /// How the frames have to be turned to be shown upright.
    pub(super) fn orientation(&self) -> Orientation {
        let Some(stream) = self.stream() else { return Orientation::UPRIGHT };
        let matrix = stream.side_data().find(|side_data| side_data.kind() == SideDataType::DisplayMatrix);
        matrix.map_or(Orientation::UPRIGHT, |matrix| Orientation::from_display_matrix(matrix.data()))
    }

    fn stream(&self) -> Option<Stream<'_>> {
        self.input.stream(self.stream_index)
    }
}

/// Silences FFmpeg and bounds its allocations, once per process.
fn set_up_ffmpeg() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_level(log::Level::Quiet);
        ffi::limit_allocations();
    });
}

/// The largest video stream, one marked as default before all others, the first of equals: what `ffmpeg` chooses.
/// Cover pictures of audio files are not video.
fn choose_stream(input: &Input) -> Option<Stream<'_>> {
    let mut chosen: Option<(u64, Stream<'_>)> = None;
    for stream in input.streams().filter(|stream| {
        stream.parameters().medium() == media::Type::Video && !stream.disposition().contains(Disposition::ATTACHED_PIC)
    }) {
        let (width, height) = ffi::stated_size_px(&stream.parameters());
        let preference = if stream.disposition().contains(Disposition::DEFAULT) { 5_000_000 } else { 0 };
        let score = u64::from(width) * u64::from(height) + preference;
        if chosen.as_ref().is_none_or(|(best, _)| score > *best) {
            chosen = Some((score, stream));
        }
    }
    chosen.map(|(_, stream)| stream)
}

/// Whether the header tells what a decoder must know.
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

/// Why FFmpeg could not open it: not a video at all, or a damaged one.
fn refused(source: &ByteSource, boxes: Option<&OuterBoxes>, error: Error) -> MediaError {
    if let Some(boxes) = boxes {
        let detail = match (boxes.has_moov, boxes.is_cut_short) {
            (false, true) => "an MP4 that is cut short, without its index (moov)".to_owned(),
            (false, false) => "an MP4 without an index (moov): it was not finished, or cut short".to_owned(),
            (true, true) => format!("an MP4 that is cut short: {error}"),
            (true, false) => format!("a damaged MP4: {error}"),
        };
        return MediaError::rejected(RejectCode::MediaCorrupt, detail);
    }
    let mut head = [0; 16];
    let num_bytes = source.read_at(0, &mut head).unwrap_or(0);
    let head = head.get(..num_bytes).unwrap_or_default();
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
