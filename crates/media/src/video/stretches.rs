//! Streams that were joined: each stretch has a clock of its own, and time goes on from one to the next.
//!
//! Transport and program streams may be joined with `cat`; their timestamps then jump, often back to the same start.

use super::packet::VideoPacket;

/// A step forward in decoding time that starts a new stretch, in seconds. `ffmpeg` draws the line there, too.
const LONGEST_STEP_S: i64 = 10;

/// Where frames are far apart, it has to be this many times the usual step: of pictures every quarter of a minute, each would be a
/// stretch, and B-pictures would be shown in the order in which they are decoded.
const LONGEST_STEP: i64 = 10;

/// Moves the times of each stretch but the first, so that it starts where the one before ends. Returns whether there are any.
pub(super) fn join_stretches(packets: &mut [VideoPacket], ticks_per_second: i64) -> bool {
    let longest_step = ticks_per_second.saturating_mul(LONGEST_STEP_S);
    let mut starts = starts_of_stretches(packets, longest_step.max(usual_step(packets).saturating_mul(LONGEST_STEP)));
    starts.push(packets.len());
    // Each of the two clocks goes on by itself: where one of them is used, there may be gaps in the other.
    let clocks: [fn(&mut VideoPacket) -> &mut Option<i64>; 2] = [|packet| &mut packet.pts, |packet| &mut packet.dts];
    for clock in clocks {
        let mut end = None;
        for bounds in starts.windows(2) {
            let [start, stop] = bounds else { continue };
            let Some(stretch) = packets.get_mut(*start..*stop) else { continue };
            let mut times: Vec<(i64, i64)> =
                stretch.iter_mut().filter_map(|packet| Some(((*clock(packet))?, packet.duration))).collect();
            times.sort_unstable();
            let delay = end.zip(times.first()).map_or(0, |(end, &(first, _))| i64::saturating_sub(end, first));
            for packet in &mut *stretch {
                let time = clock(packet);
                *time = time.map(|time| time.saturating_add(delay));
            }
            end = end_of(&times).map(|end| end.saturating_add(delay)).or(end);
        }
    }
    starts.len() > 2
}

/// Positions of the packets that start a stretch: the first, and those whose decoding time jumps.
fn starts_of_stretches(packets: &[VideoPacket], longest_step: i64) -> Vec<usize> {
    let mut last: Option<i64> = None;
    let mut starts = vec![0];
    for (position, packet) in packets.iter().enumerate() {
        let Some(time) = packet.dts else { continue };
        let jumps = |last| time < last || time.saturating_sub(last) > longest_step;
        if last.replace(time).is_some_and(jumps) {
            starts.push(position);
        }
    }
    starts
}

/// The median of the steps forward in decoding time; 0 if there are none.
fn usual_step(packets: &[VideoPacket]) -> i64 {
    let times: Vec<i64> = packets.iter().filter_map(|packet| packet.dts).collect();
    let steps = times.array_windows().map(|[time, next]| next.saturating_sub(*time));
    let mut steps: Vec<i64> = steps.filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// When the last frame of a stretch ends. Times have durations, and ascend.
fn end_of(times: &[(i64, i64)]) -> Option<i64> {
    let (&(first, _), &(last, duration)) = (times.first()?, times.last()?);
    let num_steps = i64::try_from(times.len()).unwrap_or(i64::MAX).saturating_sub(1).max(1);
    let average = last.saturating_sub(first) / num_steps;
    Some(last.saturating_add(if duration > 0 { duration } else { average.max(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets with these times of decoding and presentation, each shown for 10 ticks.
    fn packets(times: &[(i64, i64)]) -> Vec<VideoPacket> {
        let packet =
            |&(dts, pts)| VideoPacket { pts: Some(pts), dts: Some(dts), duration: 10, ..VideoPacket::default() };
        times.iter().map(packet).collect()
    }

    fn joined(times: &[(i64, i64)]) -> Vec<i64> {
        let mut packets = packets(times);
        let is_joined = join_stretches(&mut packets, 100);
        assert_eq!(is_joined, packets.iter().zip(times).any(|(packet, &(_, before))| packet.pts != Some(before)));
        packets.iter().filter_map(|packet| packet.pts).collect()
    }

    #[test]
    fn a_stretch_starts_where_the_one_before_ends() {
        let first = [(50, 60), (60, 80), (70, 70)];
        assert_eq!(joined(&first), [60, 80, 70]);
        assert_eq!(joined(&[first, first].concat()), [60, 80, 70, 90, 110, 100]);
        assert_eq!(joined(&[first, first, first].concat())[6..], [120, 140, 130]);
    }

    #[test]
    fn a_long_step_starts_a_stretch_and_a_pause_does_not() {
        assert_eq!(joined(&[(0, 0), (10, 10), (900, 900)]), [0, 10, 900]);
        assert_eq!(joined(&[(0, 0), (10, 10), (2000, 2000)]), [0, 10, 20]);
        assert_eq!(joined(&[(0, 0), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)]).len(), 3);
    }

    #[test]
    fn frames_that_are_all_far_apart_are_one_stretch() {
        let slow = [(0, 1500), (1500, 4500), (3000, 3000), (4500, 7500), (6000, 6000)];
        assert_eq!(joined(&slow), [1500, 4500, 3000, 7500, 6000]);
        // A pause among them is one, too, and going back is none.
        assert_eq!(joined(&[(0, 0), (1500, 1500), (3000, 3000), (9000, 9000)]), [0, 1500, 3000, 9000]);
        assert_eq!(joined(&[(0, 0), (1500, 1500), (3000, 3000), (0, 0)]), [0, 1500, 3000, 3010]);
    }

    #[test]
    fn packets_without_times_keep_none() {
        let mut none = vec![VideoPacket::default(); 3];
        join_stretches(&mut none, 100);
        assert_eq!(none, vec![VideoPacket::default(); 3]);
        join_stretches(&mut [], 100);
    }
}
