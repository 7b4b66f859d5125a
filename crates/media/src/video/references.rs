//! Which frames can be trusted while a damaged video is decoded: damage spreads to frames that refer to damaged ones, until
//! the next keyframe.
//!
//! Decoders do not say what a frame refers to. Here, each refers to all that were decoded since the keyframe before it.

use std::collections::BTreeSet;

use ffmpeg_next::frame;

use super::decoder::{is_damaged, packet_of};
use super::packet::VideoPacket;

/// What happened to the packets of a video so far. Packets are positions in decoding order.
#[derive(Debug, Default)]
pub(super) struct DecodedPackets {
    /// Packets of which a frame came out.
    returned: BTreeSet<usize>,
    /// Packets at which the decoder failed, or whose frames it calls damaged.
    damaged: BTreeSet<usize>,
    /// Keyframes that came out undamaged.
    keys: BTreeSet<usize>,
    /// Packets with other bytes than the file should have, whatever came out of them.
    unsound: BTreeSet<usize>,
}

impl DecodedPackets {
    /// The decoder failed at a packet.
    pub(super) fn add_failure(&mut self, packet: usize) {
        self.damaged.insert(packet);
    }

    /// A packet has other bytes than the file should have.
    pub(super) fn add_unsound(&mut self, packet: usize) {
        self.unsound.insert(packet);
    }

    /// A frame came out.
    pub(super) fn add_frame(&mut self, frame: &frame::Video) {
        if let Some(packet) = packet_of(frame) {
            self.add(packet, frame.is_key(), is_damaged(frame));
        }
    }

    fn add(&mut self, packet: usize, is_key: bool, is_damaged: bool) {
        self.returned.insert(packet);
        if is_damaged {
            self.damaged.insert(packet);
        } else if is_key {
            self.keys.insert(packet);
        }
    }

    /// How many frames of these packets are damaged.
    pub(super) fn num_damaged(mut self, visited: &[usize], packets: &[VideoPacket]) -> usize {
        let Some(&last) = visited.iter().max() else { return 0 };
        // A frame that did not come out is damage, too; a failure where none is expected is not.
        let shows = |position: &usize| packets.get(*position).is_some_and(|packet| packet.is_shown);
        self.damaged.retain(shows);
        self.keys.retain(|key| !self.unsound.contains(key));
        self.damaged.append(&mut self.unsound);
        self.damaged.extend((0..=last).filter(|position| shows(position) && !self.returned.contains(position)));
        visited.iter().filter(|&&packet| self.is_damaged(packet, packets)).count()
    }

    /// Whether the frame of a packet is damaged, or one that it may refer to.
    fn is_damaged(&self, packet: usize, packets: &[VideoPacket]) -> bool {
        let time = |position: usize| packets.get(position).and_then(|packet| packet.pts);
        // A frame that is shown before its keyframe may refer to frames before that keyframe.
        let key = self.keys.range(..=packet).rev().find(|&&key| time(key) <= time(packet));
        let damaged = self.damaged.range(..=packet).next_back();
        damaged.is_some_and(|damaged| key.is_none_or(|key| damaged > key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pts: i64) -> VideoPacket {
        VideoPacket { pts: Some(pts), is_shown: true, ..VideoPacket::default() }
    }

    /// Which packets are damaged, with these presentation times, keyframes, and frames that come out damaged.
    fn damaged(times: &[i64], keys: &[usize], damaged: &[usize]) -> Vec<usize> {
        let packets: Vec<VideoPacket> = times.iter().map(|&pts| shown(pts)).collect();
        let decoded = || {
            let mut decoded = DecodedPackets::default();
            let all = 0..packets.len();
            all.for_each(|position| decoded.add(position, keys.contains(&position), damaged.contains(&position)));
            decoded
        };
        (0..packets.len()).filter(|&position| decoded().num_damaged(&[position], &packets) > 0).collect()
    }

    #[test]
    fn damage_lasts_until_the_next_keyframe() {
        assert_eq!(damaged(&[0, 1, 2, 3, 4, 5], &[0, 4], &[2]), [2, 3]);
        assert_eq!(damaged(&[0, 1, 2, 3, 4, 5], &[0, 4], &[4]), [4, 5]);
        assert!(damaged(&[0, 1, 2, 3, 4, 5], &[0, 4], &[]).is_empty());
    }

    #[test]
    fn a_keyframe_of_other_bytes_is_damaged_whatever_comes_out() {
        let packets: Vec<VideoPacket> = (0..6).map(shown).collect();
        let decoded = || {
            let mut decoded = DecodedPackets::default();
            (0..6).for_each(|position| decoded.add(position, position % 3 == 0, false));
            decoded.add_unsound(3);
            decoded
        };
        let damaged = |position: usize| decoded().num_damaged(&[position], &packets) > 0;
        assert_eq!([0, 1, 2, 3, 4, 5].map(damaged), [false, false, false, true, true, true]);
    }

    #[test]
    fn a_frame_shown_before_its_keyframe_refers_to_those_before() {
        assert_eq!(damaged(&[0, 1, 4, 2, 3, 5], &[0, 2], &[1]), [1, 3, 4]);
    }

    #[test]
    fn a_missing_frame_is_damage_and_a_packet_that_shows_none_is_not() {
        let hidden = VideoPacket { is_shown: false, ..shown(1) };
        let packets = [shown(0), hidden, shown(2), shown(3), shown(4)];
        let mut decoded = DecodedPackets::default();
        decoded.add(0, true, false);
        decoded.add_failure(1);
        decoded.add(2, false, false);
        decoded.add(4, false, false);
        assert_eq!(decoded.num_damaged(&[0, 2, 4], &packets), 1);
    }
}
