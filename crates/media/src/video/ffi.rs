//! The few calls into FFmpeg that `ffmpeg-next` does not wrap. Nothing outside of this file is unsafe.
//!
//! `ffmpeg-next` reads stream information (and so decodes) on every opening; here an input is opened by its header
//! alone, which is all that containers with a full header need.
//!
//! **Invariant:** every function keeps to one object that the caller owns or borrows, and leaves it valid.

#![expect(unsafe_code, reason = "FFmpeg is a C library; each block names what makes it sound")]

use std::ptr;

use ffmpeg_next::codec::Parameters;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::packet::Ref as _;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Error, Packet, color, frame};

/// Most bytes that FFmpeg may allocate at once: a sample table or a frame, never what a header merely claims.
const MAX_ALLOCATION_BYTES: usize = 1 << 30;

/// Colour matrices that swscale knows, as numbers of ITU-T H.273; others are read as BT.601, as `ffmpeg` does.
const KNOWN_MATRICES: std::ops::RangeInclusive<libc_int> = 1..=10;

#[expect(non_camel_case_types, reason = "the name says that it is C's")]
type libc_int = std::os::raw::c_int;

/// Bounds single allocations inside of FFmpeg, for the whole process.
pub(super) fn limit_allocations() {
    // SAFETY: sets one atomic number; no pointer is involved.
    unsafe { ffi::av_max_alloc(MAX_ALLOCATION_BYTES) };
}

/// Opens an input by its header: no packet is read for stream information.
pub(super) fn open_header(mut io: StreamIo, options: Dictionary) -> Result<Input, Error> {
    // SAFETY: allocates; null is checked below.
    let mut context = unsafe { ffi::avformat_alloc_context() };
    if context.is_null() {
        return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
    }
    // SAFETY: `context` is the valid context made above, and `io` outlives it: it moves into the `Input` below, or is
    // dropped on failure after `avformat_open_input` has freed the context.
    unsafe {
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
    }
    // SAFETY: gives up ownership of the dictionary, which is taken back below.
    let mut entries = unsafe { options.disown() };
    // SAFETY: all pointers are valid or null as the function allows; on failure it frees `context`.
    let status = unsafe { ffi::avformat_open_input(&raw mut context, ptr::null(), ptr::null(), &raw mut entries) };
    // SAFETY: FFmpeg left the entries it did not use; they belong to us and are freed by the drop.
    drop(unsafe { Dictionary::own(entries) });
    match status {
        // SAFETY: `context` is open, and this is the only owner of it and of its I/O.
        0.. => Ok(unsafe { Input::wrap_with_custom_io(context, io) }),
        code => Err(Error::from(code)),
    }
}

/// Reads packets, and decodes some, until the streams are known: for containers whose header does not describe them.
pub(super) fn read_stream_info(input: &mut Input) -> Result<(), Error> {
    // SAFETY: the context is open; no per-stream options are given.
    match unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), ptr::null_mut()) } {
        0.. => Ok(()),
        code => Err(Error::from(code)),
    }
}

/// Has packets delivered as the container stores them: timestamps and keyframes are the container's own.
pub(super) fn disable_parsers(input: &mut Input) {
    // SAFETY: the context is open; the flag is read at the next packet.
    unsafe { (*input.as_mut_ptr()).flags |= ffi::AVFMT_FLAG_NOPARSE };
}

/// Has the demuxer skip every stream but one.
pub(super) fn discard_other_streams(input: &mut Input, wanted: usize) {
    let num_streams = input.nb_streams() as usize;
    for index in (0..num_streams).filter(|&index| index != wanted) {
        // SAFETY: `streams` holds `nb_streams` valid pointers for as long as the context is open.
        unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = ffi::AVDiscard::AVDISCARD_ALL };
    }
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
        *delay = (*delay).max(libc_int::from(num_frames));
    }
}

/// Whether the container marks the packet's frame as not shown, such as one before the start of an edit list.
pub(super) fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the pointer is to the packet itself.
    unsafe { (*packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}

/// Moves the demuxer to the last keyframe at or before `timestamp`, in ticks of the stream.
pub(super) fn seek_to_key(input: &mut Input, stream: usize, timestamp: i64) -> Result<(), Error> {
    let stream = libc_int::try_from(stream).map_err(|_range| Error::StreamNotFound)?;
    // SAFETY: the context is open; FFmpeg checks the stream's number.
    match unsafe { ffi::av_seek_frame(input.as_mut_ptr(), stream, timestamp, ffi::AVSEEK_FLAG_BACKWARD) } {
        0.. => Ok(()),
        code => Err(Error::from(code)),
    }
}

/// Sets matrix and range of the source as the frame states them; what it does not state keeps swscale's default.
pub(super) fn set_source_colours(scaler: &mut scaling::Context, frame: &frame::Video) {
    let matrix = ffi::AVColorSpace::from(frame.color_space()) as libc_int;
    let matrix = if KNOWN_MATRICES.contains(&matrix) && matrix != ffi::AVColorSpace::AVCOL_SPC_YCGCO as libc_int {
        matrix
    } else {
        ffi::SWS_CS_DEFAULT
    };
    let mut current = SourceColours::default();
    // SAFETY: the context is valid and every pointer is to a live variable. The tables that come back are constants of
    // swscale or part of the context; they are handed to the same context at once.
    unsafe {
        let context = scaler.as_mut_ptr();
        let known = ffi::sws_getColorspaceDetails(
            context,
            &raw mut current.source_table,
            &raw mut current.source_range,
            &raw mut current.target_table,
            &raw mut current.target_range,
            &raw mut current.brightness,
            &raw mut current.contrast,
            &raw mut current.saturation,
        );
        // RGB sources have no matrix: swscale says so, and there is nothing to set.
        if known < 0 {
            return;
        }
        let range = match frame.color_range() {
            color::Range::JPEG => 1,
            color::Range::MPEG => 0,
            color::Range::Unspecified => current.source_range,
        };
        ffi::sws_setColorspaceDetails(
            context,
            ffi::sws_getCoefficients(matrix),
            range,
            current.target_table,
            current.target_range,
            current.brightness,
            current.contrast,
            current.saturation,
        );
    }
}

struct SourceColours {
    source_table: *mut libc_int,
    source_range: libc_int,
    target_table: *mut libc_int,
    target_range: libc_int,
    brightness: libc_int,
    contrast: libc_int,
    saturation: libc_int,
}

impl Default for SourceColours {
    fn default() -> Self {
        Self {
            source_table: ptr::null_mut(),
            source_range: 0,
            target_table: ptr::null_mut(),
            target_range: 0,
            brightness: 0,
            contrast: 0,
            saturation: 0,
        }
    }
}
