//! Which packets to decode for the wanted frames: runs that start at keyframes, with as few packets as possible.
//!
//! ```text
//! packets   K . . . . . K . . . . . K . . . . . K . . . . .
//! wanted          x   x                     x
//! runs      [─────────]             [───────]
//! ```
//!
//! **Invariant:** runs never hold more packets than decoding from the start to the last wanted one would.

use super::packet::VideoPacket;

/// Cost of a seek, in decoded packets: fewer packets than this are decoded instead of being skipped by a seek.
const SEEK_COST_PACKETS: usize = 4;

/// Consecutive packets to decode, as positions in decoding order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PacketRun {
    /// A keyframe, or the first packet of the video.
    pub(super) first: usize,
    /// The last packet that a wanted frame needs.
    pub(super) last: usize,
}

/// The runs that decode the wanted packets (positions in `packets`, ascending).
pub(super) fn plan_runs(packets: &[VideoPacket], wanted: &[usize]) -> Vec<PacketRun> {
    let keys: Vec<usize> = (0..).zip(packets).filter(|(_, packet)| packet.is_key).map(|(index, _)| index).collect();
    let mut runs: Vec<PacketRun> = Vec::new();
    for &packet in wanted {
        let first = entry_point(packets, &keys, packet);
        match runs.last_mut() {
            Some(run) if first <= run.last + SEEK_COST_PACKETS => run.last = run.last.max(packet),
            None if first <= SEEK_COST_PACKETS => runs.push(PacketRun { first: 0, last: packet }),
            _ => runs.push(PacketRun { first, last: packet }),
        }
    }
    runs
}

/// The last packet from which this packet's frame can be decoded: a keyframe that is neither decoded nor shown after it.
/// A frame that is shown before its keyframe may refer to frames before that keyframe.
#[expect(clippy::indexing_slicing, reason = "`packet` and `keys` are positions in `packets`")]
fn entry_point(packets: &[VideoPacket], keys: &[usize], packet: usize) -> usize {
    let before = &keys[..keys.partition_point(|&key| key <= packet)];
    let is_shown_first = |key: usize| packets[key].is_shown && packets[key].pts <= packets[packet].pts;
    before.iter().copied().rev().find(|&key| is_shown_first(key)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets with these presentation times; those in `keys` are keyframes.
    fn packets(pts: &[i64], keys: &[usize]) -> Vec<VideoPacket> {
        let entry = |((index, &pts), dts): ((usize, &i64), i64)| VideoPacket {
            pts: Some(pts),
            dts: Some(dts),
            is_key: keys.contains(&index),
            is_shown: true,
            ..VideoPacket::default()
        };
        pts.iter().enumerate().zip(0..).map(entry).collect()
    }

    fn runs(packets: &[VideoPacket], wanted: &[usize]) -> Vec<(usize, usize)> {
        plan_runs(packets, wanted).iter().map(|run| (run.first, run.last)).collect()
    }

    #[test]
    fn each_group_of_pictures_is_decoded_once() {
        let packets = packets(&(0..100).collect::<Vec<_>>(), &[0, 30, 60, 90]);
        assert_eq!(runs(&packets, &[35, 40, 95]), [(30, 40), (90, 95)]);
    }

    #[test]
    fn a_short_way_is_decoded_rather_than_sought() {
        let packets = packets(&(0..100).collect::<Vec<_>>(), &[0, 3, 30, 60]);
        assert_eq!(runs(&packets, &[5, 28, 35, 61]), [(0, 35), (60, 61)]);
    }

    #[test]
    fn a_frame_shown_before_its_keyframe_needs_the_one_before() {
        let packets = packets(&[0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11], &[0, 4, 10]);
        assert_eq!(runs(&packets, &[11]), [(0, 11)]);
        assert_eq!(runs(&packets, &[10]), [(10, 10)]);
    }

    #[test]
    fn without_keyframes_everything_is_decoded() {
        assert_eq!(runs(&packets(&[0, 1, 2, 3, 4, 5, 6], &[]), &[6]), [(0, 6)]);
    }

    proptest! {
        #[test]
        fn runs_cover_what_is_wanted_and_cost_no_more_than_decoding_everything(
            keys in prop::collection::btree_set(0_usize..200, 0..40),
            wanted in prop::collection::btree_set(0_usize..200, 1..40),
        ) {
            let packets = packets(&(0..200).collect::<Vec<_>>(), &keys.into_iter().collect::<Vec<_>>());
            let wanted: Vec<usize> = wanted.into_iter().collect();
            let runs = plan_runs(&packets, &wanted);
            for packet in &wanted {
                prop_assert!(runs.iter().any(|run| (run.first..=run.last).contains(packet)));
            }
            prop_assert!(runs.windows(2).all(|pair| pair[0].last < pair[1].first));
            prop_assert!(runs.iter().all(|run| run.first == 0 || packets[run.first].is_key));
            prop_assert_eq!(runs.last().map(|run| run.last), wanted.last().copied());
        }
    }
}
