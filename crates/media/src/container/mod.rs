//! Whether a JPEG, PNG or WebP file can be delivered as it is: a strict look at everything around its pixels.
//!
//! Readers differ in what they forgive. What is delivered byte for byte has to open in all of them, with their default limits,
//! without a warning: Pillow, and so `datasets` and `webdataset`, is among the strict ones, and what it refuses is refused here.
//! A file that is not sound is cleaned: its pixels stay as they are coded, and everything else is left out.

mod jpeg;
mod png;
mod webp;

pub(crate) use self::png::cleaned as cleaned_png;
pub(crate) use self::webp::{cleaned as cleaned_webp, has_sound_header};
use crate::policy::Check;
use crate::probe::{ProbedImage, without_application_data};
use crate::sniff::SourceFormat;

/// Why readers may refuse a file, or warn of it; `None` if none does. Checksums of pixels are computed only if pixels are checked.
pub(crate) fn flaw(source: &ProbedImage<'_>, check: Check) -> Option<&'static str> {
    match source.parsed.format {
        SourceFormat::Jpeg => jpeg::flaw(source.bytes),
        SourceFormat::Png => png::flaw(source.bytes, check),
        SourceFormat::Webp => webp::flaw(source.bytes),
        _ => Some("it is of a format that is not delivered"),
    }
}

/// The file with nothing but its pixels; `None` if they cannot be told from the rest.
pub(crate) fn cleaned(source: &ProbedImage<'_>) -> Option<Vec<u8>> {
    match (source.parsed.format, &source.parsed.jpeg) {
        (SourceFormat::Jpeg, Some(header)) => Some(without_application_data(source.bytes, header)),
        (SourceFormat::Png, _) => png::cleaned(source.bytes),
        (SourceFormat::Webp, _) => webp::cleaned(source.bytes),
        _ => None,
    }
}
