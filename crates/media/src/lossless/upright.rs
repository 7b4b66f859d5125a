//! A JPEG with the same coefficients, rearranged by libjpeg-turbo: upright, baseline, in one scan, with the codes of the standard.

use memchr::memmem;
use turbojpeg::{Transform, TransformOp, Transformer};

use crate::decode::MAX_SCANS;

/// The file turned upright by its orientation, 1 to 8 as in EXIF. `None` if libjpeg-turbo finds anything wrong with it, or if
/// blocks at its borders would have to be cut.
pub(super) fn rearranged(bytes: &[u8], orientation: u8) -> Option<Vec<u8>> {
    const START_OF_SCAN: &[u8] = &[0xff, 0xda];
    if memmem::find_iter(bytes, START_OF_SCAN).take(MAX_SCANS as usize + 1).count() > MAX_SCANS as usize {
        return None;
    }
    let mut transform = Transform::op(match orientation {
        1 => TransformOp::None,
        2 => TransformOp::Hflip,
        3 => TransformOp::Rot180,
        4 => TransformOp::Vflip,
        5 => TransformOp::Transpose,
        6 => TransformOp::Rot90,
        7 => TransformOp::Transverse,
        8 => TransformOp::Rot270,
        _ => return None,
    });
    (transform.perfect, transform.copy_none) = (true, true);
    let outcome = Transformer::new().and_then(|mut transformer| transformer.transform_to_vec(&transform, bytes));
    outcome.inspect_err(|error| tracing::debug!(%error, "a JPEG is not cut as it is coded")).ok()
}
