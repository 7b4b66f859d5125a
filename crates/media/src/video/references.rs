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
    /// The frames of all packets before this one came out.
    num_complete: usize,
}

impl DecodedPackets {
    /// Those of a video of which this many packets were decoded before, without damage.
    pub(super) fn sound_before(packet: usize) -> Self {
        Self { returned: (0..packet).collect(), num_complete: packet, ..Self::default() }
    }

    /// Whether all frames of the packets before this one came out, and none is damaged.
    pub(super) fn is_sound_before(&mut self, packet: usize, packets: &[VideoPacket]) -> bool {
        let shows = |position: usize| packets.get(position).is_some_and(|packet| packet.is_shown);
        while self.num_complete < packet && (self.returned.contains(&self.num_complete) || !shows(self.num_complete)) {
            self.num_complete += 1;
        }
        let is_damaged = self.damaged.range(..packet).any(|&damaged| shows(damaged));
        self.num_complete >= packet && !is_damaged && self.unsound.range(..packet).next().is_none()
    }

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

/// Keyframes but the first, as positions in decoding order, that are shown after all packets before them and before all after
/// them. Empty if times are missing.
pub(super) fn closed_keyframes(packets: &[VideoPacket]) -> Vec<usize> {
    let times: Option<Vec<i64>> = packets.iter().map(|packet| packet.pts).collect();
    let Some(times) = times else { return Vec::new() };
    let earliest_after = times.iter().rev().scan(i64::MAX, |earliest, &time| {
        let after = *earliest;
        *earliest = after.min(time);
        Some(after)
    });
    let mut earliest_after: Vec<i64> = earliest_after.collect();
    earliest_after.reverse();
    let mut latest_before = i64::MIN;
    let mut closed = Vec::new();
    for (position, ((packet, &time), &after)) in packets.iter().zip(&times).zip(&earliest_after).enumerate() {
        if packet.is_key && position > 0 && latest_before < time && time < after {
            closed.push(position);
        }
        latest_before = latest_before.max(time);
    }
    closed
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
    fn decoding_can_begin_at_keyframes_that_no_frame_is_shown_across() {
        let closed = |times: &[i64], keys: &[usize]| {
            let mut packets: Vec<VideoPacket> = times.iter().map(|&pts| shown(pts)).collect();
            for &key in keys {
                packets[key].is_key = true;
            }
            closed_keyframes(&packets)
        };
        assert_eq!(closed(&[0, 2, 1, 3, 5, 4, 6, 8, 7], &[0, 3, 6]), [3, 6]);
        // Of an open group, a frame is shown before its keyframe.
        assert_eq!(closed(&[0, 2, 1, 4, 3, 5, 6], &[0, 3, 6]), [6]);
        assert_eq!(closed(&[0, 1, 5, 2, 3], &[0, 3]), [] as [usize; 0]);
        let mut untimed = [shown(0), shown(1)];
        for packet in &mut untimed {
            packet.is_key = true;
        }
        assert_eq!(closed_keyframes(&untimed), [1]);
        untimed[0].pts = None;
        assert_eq!(closed_keyframes(&untimed), [] as [usize; 0]);
    }

    #[test]
    fn what_is_before_a_keyframe_is_sound_if_all_of_it_came_out_undamaged() {
        let hidden = VideoPacket { is_shown: false, ..shown(1) };
        let packets = [shown(0), hidden, shown(2), shown(3), shown(4)];
        let mut decoded = DecodedPackets::default();
        decoded.add(0, true, false);
        decoded.add_failure(1);
        assert!(decoded.is_sound_before(2, &packets) && !decoded.is_sound_before(3, &packets));
        decoded.add(2, false, false);
        decoded.add(3, true, true);
        assert!(decoded.is_sound_before(3, &packets) && !decoded.is_sound_before(4, &packets));
        assert!(DecodedPackets::sound_before(4).is_sound_before(4, &packets));
        let mut unsound = DecodedPackets::sound_before(2);
        unsound.add_unsound(2);
        unsound.add(2, false, false);
        assert!(unsound.is_sound_before(2, &packets) && !unsound.is_sound_before(3, &packets));
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
