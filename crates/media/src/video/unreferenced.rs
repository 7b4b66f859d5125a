//! Whether a decoder can leave out frames to which no other frame refers, as packets say it, without changing any other.

use ffmpeg_next::codec::Id;

/// Bytes of the headers of HEVC in MP4 and Matroska before their parameter sets (ISO/IEC 14496-15, section 8.3.3.1).
const HEVC_HEAD_BYTES: usize = 23;

const SEQUENCE_PARAMETERS: u8 = 33;

/// Whether frames of this codec can be left out. `headers` are those that the container keeps apart from packets.
pub(super) fn can_leave_out(codec: Id, headers: &[u8]) -> bool {
    match codec {
        Id::H264 | Id::MPEG4 | Id::MPEG2VIDEO | Id::MPEG1VIDEO | Id::VP8 | Id::VP9 => true,
        // What is unreferenced in its own temporal layer may be referred to by higher ones.
        Id::HEVC => has_one_layer(headers).unwrap_or(false),
        _ => false,
    }
}

/// Whether all sequences have one temporal layer (`sps_max_sub_layers_minus1`). `None` if the headers do not say so.
fn has_one_layer(headers: &[u8]) -> Option<bool> {
    let (head, mut rest) = headers.split_at_checked(HEVC_HEAD_BYTES)?;
    let num_arrays = *head.last().filter(|_| head.starts_with(&[1]))?;
    let mut has_one = None;
    for _ in 0..num_arrays {
        let (&[kind, high, low], units) = rest.split_first_chunk()?;
        rest = units;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let (length, after) = rest.split_first_chunk()?;
            let (unit, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            if kind & 63 == SEQUENCE_PARAMETERS {
                let is_one = unit.get(2)? & 0b1110 == 0;
                has_one = Some(is_one && has_one != Some(false));
            }
        }
    }
    has_one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers with a video parameter set, and sequence parameter sets of so many layers.
    fn headers(num_layers: &[u8]) -> Vec<u8> {
        let mut bytes = [&[1_u8; HEVC_HEAD_BYTES - 1][..], &[2]].concat();
        bytes.extend([32, 0, 1, 0, 3, 64, 1, 0xff, 0x21 | 0x80, 0, num_layers.len() as u8]);
        for number in num_layers {
            bytes.extend([0, 3, 66, 1, (number - 1) << 1 | 1]);
        }
        bytes
    }

    #[test]
    fn frames_of_hevc_are_left_out_where_there_is_one_layer() {
        assert!(can_leave_out(Id::HEVC, &headers(&[1])) && can_leave_out(Id::HEVC, &headers(&[1, 1])));
        assert!(!can_leave_out(Id::HEVC, &headers(&[2])) && !can_leave_out(Id::HEVC, &headers(&[3, 1])));
    }

    #[test]
    fn headers_that_say_nothing_keep_every_frame() {
        let whole = headers(&[1]);
        for length in 0..whole.len() - 2 {
            assert!(!can_leave_out(Id::HEVC, &whole[..length]), "{length} bytes");
        }
        assert!(!can_leave_out(Id::HEVC, b"\0\0\0\x01 and a stream that begins with start codes"));
    }
}
