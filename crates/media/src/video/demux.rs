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
use manyframe_core::{ClipFormat, RejectCode};

use super::boxes::{OuterBoxes, read_outer_boxes};
use super::breaks::is_broken;
use super::deadline::Deadline;
use super::ending::{StatedEnd, read_stated_end};
use super::ffi;
use super::input::{ByteSource, ReadState};
use super::orientation::Orientation;
use super::packet::{MAX_PACKETS, VideoPacket};
use super::shown::{is_b_picture, packets_tell, shows_frame};
use super::stretches::join_stretches;
use super::tables::check_tables;
use crate::error::MediaError;
use crate::sniff::{describe, sniff};

/// Demuxers that FFmpeg may use: video containers. Playlists, which would open other files, are not among them.
const DEMUXERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpeg,mpegts,asf,ogg,mxf,ivf,rm,dv,mpegvideo,\
                        h264,hevc";

/// Upper bound on the bytes that tables may claim: this many times those of the file …
const MOST_CLAIMED_FILES: u64 = 16;

/// … and this many more.
const MOST_CLAIMED_BYTES: u64 = 16 << 20;

/// Bytes by which a file that is not a video is described.
const SNIFF_BYTES: usize = 512;

/// Bytes of a packet that hold the header of its first frame.
const HEADER_BYTES: usize = 64;

/// Packets whose pictures are looked at: more than any encoder's first group of B-pictures.
const FIRST_PACKETS: usize = 32;

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
    /// MPEG transport and program streams, which may be joined from several: probed, and read without seeking.
    Mpeg,
    /// A stream without a container: probed, and read without seeking.
    Bare,
    /// Any other: probed, and read without seeking.
    Other,
}

/// An open container with its video stream selected.
pub(super) struct Demuxer {
    input: Input,
    stream_index: usize,
    container: ContainerFormat,
    /// Whether the header describes the stream, so that packets are what the container stores.
    is_described: bool,
    source: ByteSource,
    state: Arc<ReadState>,
    deadline: Deadline,
    /// What the file says about its end.
    stated_end: StatedEnd,
    /// Whether it was found to be joined from several.
    is_joined: bool,
    /// Whether one of its first pictures is shown before another that is decoded earlier.
    has_b_pictures: bool,
    /// Why reading stopped, if not at the end.
    failure: Option<Error>,
}

impl ContainerFormat {
    fn from_name(name: &str) -> Self {
        match name.split(',').next() {
            Some("mov") => Self::Mp4,
            Some("matroska") => Self::Matroska,
            Some("avi") => Self::Avi,
            Some("gif") => Self::Gif,
            Some("mpegts" | "mpeg") => Self::Mpeg,
            Some("mpegvideo" | "h264" | "hevc") => Self::Bare,
            _ => Self::Other,
        }
    }

    /// Whether the header describes the streams, and packets carry timestamps.
    fn has_full_header(self) -> bool {
        matches!(self, Self::Mp4 | Self::Matroska | Self::Gif)
    }
}

impl Demuxer {
    /// Opens a container and selects its video stream. Nothing is read after the deadline.
    pub(super) fn open(source: &ByteSource, deadline: Deadline) -> Result<Self, MediaError> {
        set_up_ffmpeg();
        let unreadable = |error| MediaError::storage(source.file.path(), error);
        let boxes = read_outer_boxes(source).map_err(unreadable)?;
        let stated_end = read_stated_end(source, boxes.as_ref(), deadline).map_err(unreadable)?;
        if boxes.is_some() {
            check_tables(source)?;
        }
        let (reader, state) =
            source.reader(boxes.as_ref().map(|boxes| boxes.payload.clone()).unwrap_or_default(), deadline);
        let fail = |error| source.reading_error(&state).unwrap_or_else(|| not_opened(source, boxes.as_ref(), error));
        let options = Dictionary::from_iter([("format_whitelist", DEMUXERS), ("protocol_whitelist", "none")]);
        let mut input = StreamIo::from_read_seek(reader)
            .and_then(|io| ffi::open_header(io, options, move || deadline.has_passed()))
            .map_err(fail)?;
        let container = ContainerFormat::from_name(input.format().name());
        let is_described =
            container.has_full_header() && select_stream(&input).is_some_and(|stream| is_described(&stream));
        if is_described {
            ffi::disable_parsers(&mut input);
        } else {
            ffi::read_stream_info(&mut input).map_err(fail)?;
        }
        let Some(stream_index) = select_stream(&input).map(|stream| stream.index()) else {
            return Err(MediaError::rejected(RejectCode::NoFrames, no_video(&input)));
        };
        ffi::discard_other_streams(&mut input, stream_index);
        Ok(Self {
            input,
            stream_index,
            container,
            is_described,
            source: source.clone(),
            state,
            deadline,
            stated_end,
            is_joined: false,
            has_b_pictures: false,
            failure: None,
        })
    }

    /// Opens the container again, at its start.
    pub(super) fn reopen(&self) -> Result<Self, MediaError> {
        Self::open(&self.source, self.deadline)
    }

    /// Reads all packets of the video stream and returns what the container says about them. Nothing is decoded.
    pub(super) fn scan_packets(&mut self) -> Result<Vec<VideoPacket>, MediaError> {
        self.skip_payload();
        let mut packets = Vec::new();
        let mut num_bytes = 0_u64;
        while let Some(packet) = self.next_packet()? {
            if packets.len() == MAX_PACKETS {
                let detail = format!("a video of more than {MAX_PACKETS} packets");
                return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
            }
            num_bytes = num_bytes.saturating_add(packet.size() as u64);
            self.check_claimed_bytes(num_bytes)?;
            let is_b_picture = packets.len() < FIRST_PACKETS && self.is_b_picture(&packet)?;
            self.has_b_pictures |= is_b_picture;
            let is_shown = !ffi::is_discarded(&packet) && self.shows_frame(&packet)?;
            packets.push(VideoPacket {
                pts: packet.pts(),
                dts: packet.dts(),
                duration: packet.duration().max(0),
                position: packet.position() as i64,
                num_bytes: packet.size(),
                is_key: packet.is_key(),
                is_shown,
                is_b_picture,
                is_absent: false,
            });
        }
        if !self.has_times_of_decoding(&packets) {
            for packet in &mut packets {
                packet.is_b_picture = false;
            }
        }
        match self.container {
            ContainerFormat::Mp4 => self.check_samples(&mut packets)?,
            ContainerFormat::Mpeg => self.is_joined = join_stretches(&mut packets, self.ticks_per_second()),
            _ => {}
        }
        Ok(packets)
    }

    /// Whether a packet shows a frame, as far as its contents say. Where they were skipped, the codec's header is read here.
    fn shows_frame(&self, packet: &Packet) -> Result<bool, MediaError> {
        let codec = self.codec();
        let contents = packet.data().unwrap_or_default();
        if !(packets_tell(codec) && self.state.hides_payload()) {
            return Ok(shows_frame(codec, contents));
        }
        // What is beyond the end of the file is missing, and not hidden.
        let head = self.read_start(packet, HEADER_BYTES)?;
        let is_shown = head.is_empty() || shows_frame(codec, &head);
        Ok(is_shown || shows_frame(codec, &self.read_start(packet, usize::MAX)?))
    }

    fn is_b_picture(&self, packet: &Packet) -> Result<bool, MediaError> {
        if !self.state.hides_payload() {
            return Ok(is_b_picture(self.codec(), packet.data().unwrap_or_default(), self.extradata()));
        }
        Ok(is_b_picture(self.codec(), &self.read_start(packet, HEADER_BYTES)?, self.extradata()))
    }

    /// The first bytes of a packet whose contents were skipped; none where their place is unknown.
    fn read_start(&self, packet: &Packet, num_bytes: usize) -> Result<Vec<u8>, MediaError> {
        let Ok(position) = u64::try_from(packet.position()) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; num_bytes.min(packet.size())];
        let filled = self.source.read_at(position, &mut bytes);
        bytes.truncate(filled.map_err(|error| MediaError::storage(self.source.file.path(), error))?);
        Ok(bytes)
    }

    /// Whether times of presentation cannot be right: they ascend in decoding order, though pictures are shown in another.
    pub(super) fn has_times_of_decoding(&self, packets: &[VideoPacket]) -> bool {
        self.has_b_pictures && self.has_stored_packets() && packets.is_sorted_by(|a, b| a.pts < b.pts)
    }

    /// Rejects tables that claim many times the bytes of the file, before they are read to their end.
    fn check_claimed_bytes(&self, num_bytes: u64) -> Result<(), MediaError> {
        let most = self.source.num_bytes.saturating_mul(MOST_CLAIMED_FILES).saturating_add(MOST_CLAIMED_BYTES);
        if num_bytes > most {
            let detail = format!("its tables claim {num_bytes} bytes or more of a file of {}", self.source.num_bytes);
            return Err(MediaError::rejected(RejectCode::MediaCorrupt, detail));
        }
        Ok(())
    }

    /// Marks samples of an MP4 that are beyond its end, and rejects those that overlap. An edit list may show one again.
    fn check_samples(&self, packets: &mut [VideoPacket]) -> Result<(), MediaError> {
        for packet in &mut *packets {
            packet.is_absent = packet.end() > self.source.num_bytes;
        }
        let known = packets.iter().filter(|packet| packet.position >= 0);
        let mut samples: Vec<(u64, u64)> = known.map(|packet| (packet.position as u64, packet.end())).collect();
        samples.sort_unstable();
        samples.dedup();
        let overlap = samples.windows(2).find_map(|pair| match pair {
            [(_, end), (start, _)] if start < end => Some((*start, *end)),
            _ => None,
        });
        overlap.map_or(Ok(()), |(start, end)| {
            let detail = format!("samples overlap: one starts at byte {start}, where another ends at {end}");
            Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
        })
    }

    fn ticks_per_second(&self) -> i64 {
        let time_base = self.time_base();
        i64::from(time_base.denominator()) / i64::from(time_base.numerator()).max(1)
    }

    /// From now on packets arrive without their contents where the container's tables suffice, and nothing is read for them.
    fn skip_payload(&mut self) {
        if self.container == ContainerFormat::Mp4 && self.has_stored_packets() {
            self.state.hide_payload();
        }
    }

    /// Whether packets are what the container stores, and no parser's.
    fn has_stored_packets(&self) -> bool {
        use codec::Id;
        // FFmpeg leaves the size of some in an MP4 to their decoders, and parses none of these.
        let is_sized_later = matches!(self.codec(), Id::H261 | Id::H263 | Id::MPEG4);
        self.is_described || (self.container == ContainerFormat::Mp4 && is_sized_later)
    }

    /// The next packet of the video stream; `None` at the end, or where the container is too damaged to continue.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let mut packet = Packet::empty();
        let mut num_retries = 0;
        loop {
            self.deadline.check()?;
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream_index => return Ok(Some(packet)),
                Ok(()) => packet = Packet::empty(),
                Err(Error::Other { errno: EAGAIN }) if num_retries < MAX_RETRIES => num_retries += 1,
                Err(error) => {
                    self.failure = Some(error).filter(|error| *error != Error::Eof);
                    return self.source.reading_error(&self.state).map_or(Ok(None), Err);
                }
            }
        }
    }

    /// Whether the last packet was followed by something that the demuxer does not understand.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether its video stream is the first in the file, as PyAV's `decode(video=0)` counts: cover pictures are counted, too.
    pub(super) fn is_first_video(&self) -> bool {
        let mut videos = self.input.streams().filter(|stream| stream.parameters().medium() == media::Type::Video);
        videos.next().is_some_and(|first| first.index() == self.stream_index)
    }

    /// Seeks to the last keyframe at or before a time in ticks: decoding time in MP4 and AVI, else presentation time.
    fn seek_to_key(&mut self, ticks: i64) -> Result<(), Error> {
        ffi::seek_to_key(&mut self.input, self.stream_index, ticks)
    }

    /// Seeks to a keyframe and returns its packet; `None` if the demuxer does not get there.
    pub(super) fn seek_to_packet(&mut self, packets: &[VideoPacket], key: usize) -> Result<Option<Packet>, MediaError> {
        let Some(wanted) = packets.get(key) else { return Ok(None) };
        let ticks = match self.container {
            ContainerFormat::Matroska => wanted.pts,
            _ => wanted.dts,
        };
        if ticks.is_none_or(|ticks| self.seek_to_key(ticks).is_err()) {
            return Ok(None);
        }
        let is_at = |packet: &Packet, entry: &VideoPacket| {
            entry.position >= 0 && packet.position() as i64 == entry.position && packet.pts() == entry.pts
        };
        let Some(mut packet) = self.next_packet()? else { return Ok(None) };
        let before = packets.get(..=key).unwrap_or_default();
        let Some(landed) = before.iter().rposition(|entry| is_at(&packet, entry)) else { return Ok(None) };
        for _ in landed..key {
            let Some(following) = self.next_packet()? else { return Ok(None) };
            packet = following;
        }
        Ok(is_at(&packet, wanted).then_some(packet))
    }

    /// Reads from the start to a packet and returns it.
    pub(super) fn skip_to_packet(&mut self, position: usize) -> Result<Option<Packet>, MediaError> {
        for _ in 0..position {
            self.next_packet()?;
        }
        self.next_packet()
    }

    /// The format of the container.
    pub(super) fn container(&self) -> ContainerFormat {
        self.container
    }

    /// The container, as it is delivered.
    pub(super) fn clip_format(&self) -> ClipFormat {
        match self.input.format().name().split(',').next() {
            Some("mov") => ClipFormat::Mp4,
            Some("matroska") => ClipFormat::Matroska,
            Some("avi") => ClipFormat::Avi,
            Some("gif") => ClipFormat::Gif,
            Some("flv") => ClipFormat::Flv,
            Some("mpeg" | "mpegvideo") => ClipFormat::Mpeg,
            Some("mpegts") => ClipFormat::MpegTs,
            Some("asf") => ClipFormat::Asf,
            Some("ogg") => ClipFormat::Ogg,
            _ => ClipFormat::Other,
        }
    }

    /// The codec of the video stream.
    pub(super) fn codec(&self) -> codec::Id {
        self.parameters().id()
    }

    /// The codec parameters that a decoder is opened with.
    pub(super) fn parameters(&self) -> Parameters {
        self.stream().parameters()
    }

    /// The headers that the container keeps apart from packets; may be empty.
    pub(super) fn extradata(&self) -> &[u8] {
        ffi::extradata(&self.input, self.stream_index)
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

    /// Whether the file should have more bytes than it has.
    pub(super) fn is_cut_short(&self) -> bool {
        self.stated_end.is_cut_short
    }

    /// Whether frames may be missing without a pause between others: nothing says when they are shown, the clock starts again, the
    /// last ones are lost with the page that marks the end, or a frame is in several packets, of which one may be missing.
    pub(super) fn hides_pauses(&self) -> bool {
        let tells_no_pause = matches!(self.input.format().name(), "mxf" | "asf" | "ogg" | "rm");
        self.container == ContainerFormat::Bare || self.is_joined || tells_no_pause
    }

    /// Whether its clock starts with its first frame: in others, recordings may begin at any time.
    pub(super) fn starts_at_zero(&self) -> bool {
        matches!(self.input.format().name(), "flv" | "avi" | "ivf")
    }

    /// Whether nothing says where the file should end: it was recorded, or is a bare stream.
    pub(super) fn states_no_end(&self) -> bool {
        matches!(self.container, ContainerFormat::Mpeg | ContainerFormat::Bare)
    }

    /// Whether a part of the file is damaged or missing, as far as its container can tell.
    pub(super) fn is_broken(&self) -> Result<bool, MediaError> {
        let unreadable = |error| MediaError::storage(self.source.file.path(), error);
        is_broken(&self.source, self.codec(), self.is_joined).map_err(unreadable)
    }

    /// The number of packets that the header states, where it counts them.
    pub(super) fn stated_packets(&self) -> Option<usize> {
        let number = self.stream().frames();
        usize::try_from(number).ok().filter(|number| self.container == ContainerFormat::Avi && *number > 0)
    }

    /// When the last frame should end, in ticks. Ogg says only when its last page ends.
    pub(super) fn stated_end(&self) -> Option<i64> {
        if self.clip_format() == ClipFormat::Ogg {
            return None;
        }
        let stated_s = self.stated_end.end_s.or_else(|| ffi::stated_duration_s(&self.input, self.is_described))?;
        Some((stated_s * self.ticks_per_second() as f64) as i64)
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

/// Silences FFmpeg, limits its allocations and names its errors, once per process.
pub(super) fn set_up_ffmpeg() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_level(log::Level::Quiet);
        ffi::limit_allocations();
        // Without it, an error of FFmpeg's own is an empty text.
        ffmpeg_next::util::error::register_all();
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
    let mut codecs = input.streams().map(|stream| stream.parameters().id().name().to_owned()).collect::<Vec<_>>();
    codecs.dedup();
    if codecs.is_empty() {
        return format!("{:?} without any stream", input.format().description());
    }
    format!("no video stream, only {}", codecs.join(", "))
}

/// Why FFmpeg could not open a file: it is not a video, or it is damaged.
fn not_opened(source: &ByteSource, boxes: Option<&OuterBoxes>, error: Error) -> MediaError {
    let mut head = vec![0; SNIFF_BYTES];
    match source.read_at(0, &mut head) {
        Ok(num_bytes) => head.truncate(num_bytes),
        Err(failure) => return MediaError::storage(source.file.path(), failure),
    }
    let is_avi = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ");
    let is_container = [&b"\x1a\x45\xdf\xa3"[..], b"GIF8", b"FLV", b"OggS", b"\x30\x26\xb2\x75", b"\0\0\x01\xba"]
        .iter()
        .any(|magic| head.starts_with(magic));
    if is_avi || is_container {
        return MediaError::rejected(RejectCode::MediaCorrupt, format!("a damaged video file: {error}"));
    }
    let image = match (sniff(&head), describe(&head)) {
        (Ok(format), _) => Some(format!("an image ({format:?})")),
        (Err(_), found) => Some(found.to_owned()).filter(|found| found.ends_with(" image")),
    };
    match (boxes, image) {
        (Some(OuterBoxes { has_moov: false, .. }) | None, Some(image)) => {
            let detail = format!("{image}, which is not read as a video, animated or not");
            MediaError::rejected(RejectCode::MediaType, detail)
        }
        (Some(boxes), _) => MediaError::rejected(RejectCode::MediaCorrupt, damaged_mp4(boxes, error)),
        (None, None) => MediaError::rejected(RejectCode::MediaType, not_a_video(&head)),
    }
}

fn damaged_mp4(boxes: &OuterBoxes, error: Error) -> String {
    match (boxes.has_moov, boxes.cut_short.is_some()) {
        (false, true) => "an MP4 that is cut short, without its index (moov)".to_owned(),
        (false, false) => "an MP4 without an index (moov): it was not finished, or cut short".to_owned(),
        (true, true) => format!("an MP4 that is cut short: {error}"),
        (true, false) => format!("a damaged MP4: {error}"),
    }
}

fn not_a_video(head: &[u8]) -> String {
    match describe(head) {
        "of an unknown type" => {
            let (start, _) = head.split_at(head.len().min(16));
            format!("not a video file: it starts with \"{}\"", start.escape_ascii())
        }
        found => format!("the file is {found}, expected a video"),
    }
}
