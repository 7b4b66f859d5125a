//! The few calls into FFmpeg that `ffmpeg-next` does not wrap. Nothing outside this file is unsafe.
//!
//! `ffmpeg-next` reads stream information (and so decodes) on every opening; here, an input is opened from its header
//! alone, which is enough for containers with a full header.
//!
//! **Invariant:** every function touches one object, which the caller owns or borrows, and leaves it valid.

#![expect(unsafe_code, reason = "FFmpeg is a C library; each block names what makes it sound")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::codec::Parameters;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::packet::Ref as _;
use ffmpeg_next::software::scaling;
use ffmpeg_next::util::interrupt;
use ffmpeg_next::{Dictionary, Error, Packet, frame};

/// Upper bound on a single allocation of FFmpeg, in bytes: a sample table or a frame, but not whatever a header claims.
const MAX_ALLOCATION_BYTES: usize = 1 << 30;

/// Colour matrices that swscale knows, as numbers of ITU-T H.273; others are read as BT.601, as `ffmpeg` does.
const KNOWN_MATRICES: std::ops::RangeInclusive<c_int> = 1..=10;

/// A matrix among them that swscale has no table for.
const YCGCO: c_int = ffi::AVColorSpace::AVCOL_SPC_YCGCO as c_int;

const FULL_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int;

const LIMITED_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_MPEG as c_int;

/// Limits single allocations of FFmpeg, for the whole process.
pub(super) fn limit_allocations() {
    // SAFETY: sets one atomic number; no pointer is involved.
    unsafe { ffi::av_max_alloc(MAX_ALLOCATION_BYTES) };
}

/// Opens an input by its header: no packet is read for stream information. FFmpeg gives up when `interrupt` says so.
pub(super) fn open_header(
    mut io: StreamIo,
    options: Dictionary,
    interrupt: impl FnMut() -> bool + Send + 'static,
) -> Result<Input, Error> {
    let interrupt = interrupt::new(Box::new(interrupt));
    // SAFETY: allocates; null is checked below.
    let mut context = unsafe { ffi::avformat_alloc_context() };
    if context.is_null() {
        return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
    }
    // SAFETY: `context` is the valid context made above, and `io` and `interrupt` outlive it: they move into the `Input` below, or are
    // dropped on failure after `avformat_open_input` has freed the context.
    unsafe {
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        (*context).interrupt_callback = interrupt.interrupt;
    }
    // SAFETY: releases ownership of the dictionary, which is taken back below.
    let mut entries = unsafe { options.disown() };
    // SAFETY: all pointers are valid or null as the function allows; on failure it frees `context`.
    let status = unsafe { ffi::avformat_open_input(&raw mut context, ptr::null(), ptr::null(), &raw mut entries) };
    // SAFETY: FFmpeg left the entries it did not use; they belong to us and are freed by the drop.
    drop(unsafe { Dictionary::own(entries) });
    match status {
        // SAFETY: `context` is open, and this is the only owner of it, of its I/O and of its callback.
        0.. => Ok(unsafe { Input::wrap_with_custom_io_and_interrupt(context, io, interrupt.guard) }),
        code => Err(Error::from(code)),
    }
}

/// Reads packets, and decodes some, until the streams are known: for containers whose header does not describe them.
pub(super) fn read_stream_info(input: &mut Input) -> Result<(), Error> {
    // SAFETY: the context is open; no per-stream options are passed.
    match unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) } {
        0.. => Ok(()),
        code => Err(Error::from(code)),
    }
}

/// Makes FFmpeg deliver packets as the container stores them: timestamps and keyframes are the container's own.
pub(super) fn disable_parsers(input: &mut Input) {
    // SAFETY: the context is open; the flag is read at the next packet.
    unsafe { (*input.as_mut_ptr()).flags |= ffi::AVFMT_FLAG_NOPARSE };
}

/// Makes the demuxer skip every stream but one.
pub(super) fn discard_other_streams(input: &mut Input, wanted: usize) {
    let num_streams = input.nb_streams() as usize;
    for index in (0..num_streams).filter(|&index| index != wanted) {
        // SAFETY: `streams` holds `nb_streams` valid pointers for as long as the context is open.
        unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = ffi::AVDiscard::AVDISCARD_ALL };
    }
}

/// The headers of a stream that the container keeps apart from its packets; none if there is no such stream.
pub(super) fn extradata(input: &Input, stream: usize) -> &[u8] {
    if stream >= input.nb_streams() as usize {
        return &[];
    }
    // SAFETY: `streams` holds `nb_streams` valid pointers for as long as the context is open; parameters belong to streams.
    let (bytes, num_bytes) = unsafe {
        let parameters = (**(*input.as_ptr()).streams.add(stream)).codecpar;
        ((*parameters).extradata, (*parameters).extradata_size)
    };
    match usize::try_from(num_bytes) {
        // SAFETY: FFmpeg allocated this many bytes, and neither frees nor writes them while the context is borrowed.
        Ok(num_bytes) if !bytes.is_null() => unsafe { std::slice::from_raw_parts(bytes, num_bytes) },
        _ => &[],
    }
}

/// The duration that the header of a container states, in seconds, and not one that FFmpeg measured.
pub(super) fn stated_duration_s(input: &Input, is_header_all: bool) -> Option<f64> {
    use ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM;
    // SAFETY: the context is open; both fields are plain numbers, and FFmpeg sets the method itself.
    let (duration, method) = unsafe { ((*input.as_ptr()).duration, (*input.as_ptr()).duration_estimation_method) };
    let is_stated = duration > 0 && (is_header_all || method == AVFMT_DURATION_FROM_STREAM);
    is_stated.then(|| duration as f64 / f64::from(ffi::AV_TIME_BASE))
}

/// Width and height in pixels as the container states them; 0 where it does not.
pub(super) fn stated_size_px(parameters: &Parameters) -> (u32, u32) {
    // SAFETY: `Parameters` holds a valid pointer and keeps its owner alive.
    let (width, height) = unsafe { ((*parameters.as_ptr()).width, (*parameters.as_ptr()).height) };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
}

/// Tells the decoder how many frames it must hold back to bring them into order, so that none comes too early.
pub(super) fn raise_reorder_delay(parameters: &mut Parameters, num_frames: u8) {
    // SAFETY: as above, and the caller has the only reference.
    unsafe {
        let delay = &raw mut (*parameters.as_mut_ptr()).video_delay;
        *delay = (*delay).max(c_int::from(num_frames));
    }
}

/// Lets FFmpeg choose how the new container names the codec.
pub(super) fn forget_tag(parameters: &mut Parameters) {
    // SAFETY: `Parameters` holds a valid pointer, and the caller has the only reference.
    unsafe { (*parameters.as_mut_ptr()).codec_tag = 0 };
}

/// The bytes of a frame's pixels, plane after plane, without padding; none if its format has no such form.
pub(super) fn pixels(frame: &frame::Video) -> Vec<u8> {
    let (Ok(width), Ok(height)) = (c_int::try_from(frame.width()), c_int::try_from(frame.height())) else {
        return Vec::new();
    };
    let pixel = ffi::AVPixelFormat::from(frame.format());
    // SAFETY: no pointer is involved.
    let num_bytes = unsafe { ffi::av_image_get_buffer_size(pixel, width, height, 1) };
    let mut bytes = vec![0; usize::try_from(num_bytes).unwrap_or(0)];
    // SAFETY: the buffer has the size that the function itself asked for, and planes and strides are those of a decoded frame.
    let copied = unsafe {
        let frame = frame.as_ptr();
        let planes = (&raw const (*frame).data).cast::<*const u8>();
        let strides = (&raw const (*frame).linesize).cast::<c_int>();
        ffi::av_image_copy_to_buffer(bytes.as_mut_ptr(), num_bytes, planes, strides, pixel, width, height, 1)
    };
    if copied < 0 { Vec::new() } else { bytes }
}

/// Whether the container marks the packet's frame as not shown, such as one before the start of an edit list.
pub(super) fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is to the packet itself.
    unsafe { (*packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}

/// Seeks to the last keyframe at or before `timestamp`, in ticks of the stream.
pub(super) fn seek_to_key(input: &mut Input, stream: usize, timestamp: i64) -> Result<(), Error> {
    let stream = c_int::try_from(stream).map_err(|_range| Error::StreamNotFound)?;
    // SAFETY: the context is open; FFmpeg checks the stream's number.
    match unsafe { ffi::av_seek_frame(input.as_mut_ptr(), stream, timestamp, ffi::AVSEEK_FLAG_BACKWARD) } {
        0.. => Ok(()),
        code => Err(Error::from(code)),
    }
}

/// How a frame's colours are coded, as it states it: numbers of ITU-T H.273 and FFmpeg's `AVColorRange`.
///
/// They are read as numbers because a file can put any into them: as Rust's enums they would be undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colours {
    matrix: c_int,
    range: c_int,
}

impl Colours {
    /// The matrix, as a number of ITU-T H.273.
    pub(super) fn matrix(self) -> u16 {
        u16::try_from(self.matrix).unwrap_or(u16::MAX)
    }

    /// Whether all levels are used; `None` if nothing is said about it.
    pub(super) fn is_full_range(self) -> Option<bool> {
        match self.range {
            FULL_RANGE => Some(true),
            LIMITED_RANGE => Some(false),
            _ => None,
        }
    }
}

/// The colours that a frame states.
pub(super) fn stated_colours(frame: &frame::Video) -> Colours {
    // SAFETY: the frame is valid while it is borrowed; both fields are C enums, which are as large as an `int`.
    unsafe {
        let frame = frame.as_ptr();
        Colours {
            matrix: (&raw const (*frame).colorspace).cast::<c_int>().read(),
            range: (&raw const (*frame).color_range).cast::<c_int>().read(),
        }
    }
}

/// Sets matrix and range of the source. Where a frame does not state them, swscale's defaults remain: BT.601, limited range.
pub(super) fn set_source_colours(scaler: &mut scaling::Context, colours: Colours) {
    let is_known = KNOWN_MATRICES.contains(&colours.matrix) && colours.matrix != YCGCO;
    let matrix = if is_known { colours.matrix } else { ffi::SWS_CS_DEFAULT };
    let mut tables = [ptr::null_mut::<c_int>(); 2];
    let mut ranges: [c_int; 2] = [0; 2];
    let mut levels: [c_int; 3] = [0; 3];
    let [source_table, target_table] = &mut tables;
    let [source_range, target_range] = &mut ranges;
    let [brightness, contrast, saturation] = &mut levels;
    // SAFETY: the context is valid, and every pointer is to a separate variable.
    let status = unsafe {
        ffi::sws_getColorspaceDetails(
            scaler.as_mut_ptr(),
            source_table,
            source_range,
            target_table,
            target_range,
            brightness,
            contrast,
            saturation,
        )
    };
    // RGB sources have no matrix: there is nothing to set.
    if status < 0 {
        return;
    }
    let range = colours.is_full_range().map_or(*source_range, c_int::from);
    // SAFETY: the tables are constants of swscale, or part of the very context that they are handed to.
    unsafe {
        ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            ffi::sws_getCoefficients(matrix),
            range,
            *target_table,
            *target_range,
            *brightness,
            *contrast,
            *saturation,
        );
    }
}
