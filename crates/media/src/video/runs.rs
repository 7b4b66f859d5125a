//! Which packets to decode for some frames: runs that each start at a keyframe, as few packets as possible.
//!
//! ```text
//! packets   K . . . . . K . . . . . K . . . . . K . . . . .
//! wanted          x   x                     x
//! runs      [─────────]             [───────]
//! ```
//!
//! **Invariant:** runs never decode more packets than decoding from the start to the last wanted one.

use super::packets::PacketEntry;

/// What a seek costs, in packets decoded: instead of seeking past fewer packets than this, they are decoded.
const SEEK_COST_PACKETS: usize = 4;

/// Packets to decode without a gap, in the order of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// A keyframe, or the first packet of the video.
    pub(super) first: usize,
    /// The last packet that some wanted frame needs.
    pub(super) last: usize,
}

/// The runs that decode the wanted packets, given in ascending order.
pub(super) fn plan_runs(packets: &[PacketEntry], wanted: &[usize]) -> Vec<Run> {
    let keys: Vec<usize> = (0..).zip(packets).filter(|(_, packet)| packet.is_key).map(|(index, _)| index).collect();
    let mut runs: Vec<Run> = Vec::new();
    for &packet in wanted {
        let first = entry_point(packets, &keys, packet);
        match runs.last_mut() {
            Some(run) if first <= run.last + SEEK_COST_PACKETS => run.last = run.last.max(packet),
            None if first <= SEEK_COST_PACKETS => runs.push(Run { first: 0, last: packet }),
            _ => runs.push(Run { first, last: packet }),
        }
    }
    runs
}

/// The last packet from which decoding gives this packet's frame: a keyframe that is neither decoded nor shown after it.
/// A frame that is shown before its keyframe may need frames from before that.
fn entry_point(packets: &[PacketEntry], keys: &[usize], packet: usize) -> usize {
    let Some(wanted) = packets.get(packet) else { return 0 };
    let num_before = keys.partition_point(|&key| key <= packet);
    let before = keys.get(..num_before).unwrap_or_default();
    let is_shown_first =
        |key: &&usize| packets.get(**key).is_some_and(|entry| entry.is_shown && entry.pts <= wanted.pts);
    before.iter().rev().find(is_shown_first).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets with these presentation times; those in `keys` are keyframes.
    fn packets(pts: &[i64], keys: &[usize]) -> Vec<PacketEntry> {
        let entry = |((index, &pts), dts): ((usize, &i64), i64)| PacketEntry {
            pts: Some(pts),
            dts: Some(dts),
            duration: 1,
            position: dts,
            is_key: keys.contains(&index),
            is_shown: true,
        };
        pts.iter().enumerate().zip(0..).map(entry).collect()
    }

    fn runs(packets: &[PacketEntry], wanted: &[usize]) -> Vec<(usize, usize)> {
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
