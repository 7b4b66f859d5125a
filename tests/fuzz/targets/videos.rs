//! Videos of any bytes: what is indexed has times in order, and its frames are decoded, delivered as a file, or rejected.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manyframe_base::InputFile;
use manyframe_fuzz::file_of;
use manyframe_media::video::{
    ClipRequest, FrameSelection, check_clip, choose_frames, decode_frames, deliver_clip, index_video, open_range,
};
use manyframe_media::{ImagePolicy, MediaLimits, Sampling};

fuzz_target!(|bytes: &[u8]| {
    let limits = MediaLimits { max_pixels: 1 << 18, max_bytes: 1 << 20, ..MediaLimits::default() };
    let file = file_of(bytes);
    let input = open_range(&InputFile::open(file.path()).expect("a file"), 0, bytes.len() as u64).expect("it was written");
    let Ok(index) = index_video(&input, &limits, None) else { return };
    assert!(index.num_frames() > 0 && index.duration_s().is_finite() && index.fps().is_finite());
    let times: Vec<f64> = (0..index.num_frames()).map(|frame| index.time_s(frame)).collect();
    assert!(times.iter().all(|time| time.is_finite()) && times.is_sorted(), "{times:?}");
    let sampling = Sampling::Uniform { num_frames: 3 };
    let Ok(positions) = choose_frames(&index, None, &sampling) else { return };
    assert!(!positions.is_empty() && positions.len() <= 3 && positions.iter().all(|&frame| frame < times.len()));
    let policy = ImagePolicy { limits, ..ImagePolicy::default() };
    let selection = FrameSelection { index: &index, positions: &positions };
    let Ok(video) = decode_frames(&input, selection, &policy, &mut ()) else { return };
    assert!(!video.frames.is_empty() && video.frames.iter().all(|frame| positions.contains(&frame.index)));
    // The part from the second to the last frame that is shown.
    let shown = &positions[positions.len().min(2) - 1..];
    let part = (shown[0], shown[shown.len() - 1] + 1);
    let request = ClipRequest { index: &index, part, positions: shown };
    if let Ok(Some(delivered)) = deliver_clip(&input, request, &policy.limits, &mut ()) {
        check_clip(&delivered.clip, &delivered.frames, &policy.limits).expect("it was decoded");
    }
});
