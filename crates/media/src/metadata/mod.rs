//! Where images say how they are turned: EXIF, and XMP where EXIF has no orientation.
//!
//! As Pillow 11 and later, and so `datasets`: `Image.getexif` reads both, and `ImageOps.exif_transpose` turns.

mod ifd;

use memchr::memmem;

pub(crate) use self::ifd::Ifd;
use self::ifd::ORIENTATION;

/// The tag of TIFF that holds XMP.
pub(crate) const XMP: u16 = 700;

/// What an image says about itself beside its pixels.
#[derive(Debug, Default)]
pub(crate) struct Metadata<'a> {
    /// The EXIF block, with or without its prefix.
    pub exif: Option<&'a [u8]>,
    /// The XMP packet.
    pub xmp: Option<&'a [u8]>,
}

impl Metadata<'_> {
    /// How the image is turned, 1 to 8; 1 if nothing says so. An EXIF block that is none says nothing.
    pub(crate) fn orientation(&self) -> u8 {
        let ifd = self.exif.and_then(directory);
        orientation(ifd.as_ref(), self.xmp)
    }
}

/// The directory of an EXIF block, with or without its prefix. BigTIFF is none.
fn directory(exif: &[u8]) -> Option<Ifd<'_>> {
    Ifd::parse(without_prefix(exif)).filter(|ifd| !ifd.is_big_tiff())
}

/// How an image is turned, 1 to 8, by its tags, or by its XMP if it has no such tag.
pub(crate) fn orientation(ifd: Option<&Ifd<'_>>, xmp: Option<&[u8]>) -> u8 {
    let stated = ifd.and_then(Ifd::orientation).or_else(|| xmp.and_then(orientation_from_xmp));
    stated.filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1)
}

/// Whether an EXIF block has an orientation, even one that turns nothing.
pub(crate) fn has_orientation(exif: &[u8]) -> bool {
    directory(exif).is_some_and(|ifd| ifd.has(ORIENTATION))
}

/// Whether an EXIF block, unless it is empty, does not even begin as one: Pillow stops there, where it goes on without tags if only
/// these are missing.
pub(crate) fn is_no_exif(exif: &[u8]) -> bool {
    const HEADER_BYTES: usize = 8;
    let exif = without_prefix(exif);
    let is_header = exif.len() >= HEADER_BYTES
        && matches!(
            exif,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] | [b'I', b'I', 0, 42, ..] | [b'M', b'M', 42, 0, ..]
        );
    !exif.is_empty() && !is_header
}

/// Whether readers accept an EXIF block without a warning, and agree on the orientation.
pub(crate) fn is_sound_exif(exif: &[u8]) -> bool {
    let exif = without_prefix(exif);
    exif.is_empty()
        || Ifd::parse(exif).is_some_and(|ifd| ifd.is_sound() && !ifd.is_big_tiff() && ifd.has_usual_orientation())
}

/// The bytes of `Raw profile type exif`: hexadecimal digits after a line with the name and one with the size. `None` if they are
/// anything else.
pub(crate) fn exif_from_raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |&byte| byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// JPEG requires this prefix; writers of PNG and WebP add it too, some of them twice.
fn without_prefix(exif: &[u8]) -> &[u8] {
    const PREFIX: &[u8] = b"Exif\0\0";
    let exif = exif.strip_prefix(PREFIX).unwrap_or(exif);
    exif.strip_prefix(PREFIX).unwrap_or(exif)
}

/// The first `tiff:Orientation` of an XMP packet that has a digit as its value, as an attribute or as an element.
fn orientation_from_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(xmp, NAME).find_map(|start| match xmp.get(start + NAME.len()..)? {
        [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => Some(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNED: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    const WITHOUT_ORIENTATION: &[u8] = b"MM\0*\0\0\0\x08\0\x01\x01\x13\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

    #[test]
    fn exif_decides_and_xmp_where_it_is_silent() {
        let with_prefix = [b"Exif\0\0", TURNED].concat();
        let of = |exif, xmp| Metadata { exif, xmp }.orientation();
        let xmp: &[u8] = b"<rdf:Description tiff:Orientation='3' tiff:Orientation=\"8\"/>";
        assert_eq!(of(Some(TURNED), Some(xmp)), 6);
        assert_eq!(of(Some(&with_prefix), None), 6);
        assert_eq!(of(Some(WITHOUT_ORIENTATION), Some(xmp)), 8);
        assert_eq!(of(None, Some(b"<tiff:Orientation>5</tiff:Orientation>")), 5);
        assert_eq!(of(None, Some(b"<tiff:Orientation>0</tiff:Orientation>")), 1);
        assert_eq!(of(Some(b"junk"), None), 1);
    }

    #[test]
    fn a_raw_profile_is_hexadecimal() {
        assert_eq!(exif_from_raw_profile(b"\nexif\n      4\n4d4D\n002a\n").unwrap(), b"MM\0*");
        assert_eq!(exif_from_raw_profile(b"\nexif\n      4\n4d4"), None);
        assert_eq!(exif_from_raw_profile(b"exif"), None);
    }
}
