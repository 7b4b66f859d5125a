//! Checks one sample by itself: its placeholders, visuals, label spans and images.

use manyframe_core::{Digest, Layout, Sample, SampleVisual, VisualKind};
use manyframe_media::video::{self, check_clip};
use manyframe_media::{MediaLimits, check_delivered};
use manyframe_shards::SampleJson;

/// What is wrong with a sample, apart from what its turns, formatted again, show.
pub(super) fn sample_faults(sample: &Sample, limits: &MediaLimits) -> Vec<String> {
    let mut faults = Vec::new();
    let num_images = sample.images.len();
    let of_images = sample.visuals.iter().filter(|visual| visual.clip.is_none());
    let covered = of_images.fold(0_usize, |sum, visual| sum.saturating_add(visual.num_images));
    if covered != num_images {
        faults.push(format!("its visuals cover {covered} of {num_images} images"));
    }
    let layout = Layout::of(sample.visuals.iter().map(|visual| visual.shape().kind()));
    if layout != sample.layout {
        faults.push(format!("its layout is {}, expected {}", sample.layout.as_str(), layout.as_str()));
    }
    faults.extend(sample.visuals.iter().enumerate().filter_map(|(index, visual)| visual_fault(index, visual)));
    faults.extend(label_fault(sample));
    faults.extend(image_faults(sample, limits));
    faults.extend(clip_faults(sample, limits));
    faults
}

/// A number for everything that every format stores of a sample: all but its token ids and labels.
pub(super) fn content_digest(sample: &Sample) -> u64 {
    let json = serde_json::json!(SampleJson::from_sample(sample)).to_string();
    let images = sample.images.iter().map(|image| image.bytes.as_slice());
    let clips = sample.clips.iter().map(|clip| clip.bytes.as_slice());
    Digest::of_fields([json.as_bytes()].into_iter().chain(images).chain(clips)).first_bits()
}

fn visual_fault(index: usize, visual: &SampleVisual) -> Option<String> {
    let times = &visual.times_s;
    let num_times = if visual.kind == VisualKind::Video { visual.num_images } else { 0 };
    if !times.is_empty() && times.len() != num_times {
        return Some(format!("visual {index} has {} times, expected {num_times}", times.len()));
    }
    let is_in_order = times.array_windows().all(|[earlier, later]| earlier <= later);
    if !is_in_order || times.iter().any(|time| !time.is_finite() || *time < 0.0) {
        return Some(format!("the times of visual {index} are not in order"));
    }
    None
}

fn label_fault(sample: &Sample) -> Option<String> {
    let num_chars = sample.prompt.chars().count();
    let mut last_end = 0;
    for &(start, end) in &sample.label_spans {
        if start < last_end || start >= end || end > num_chars {
            return Some(format!("label span {start}–{end} does not fit a prompt of {num_chars} characters"));
        }
        last_end = end;
    }
    sample.label_spans.is_empty().then(|| "it has no label spans".to_owned())
}

fn image_faults(sample: &Sample, limits: &MediaLimits) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, image) in sample.images.iter().enumerate() {
        match check_delivered(&image.bytes, limits) {
            Err(error) => faults.push(format!("image {index}: {error}")),
            Ok((width_px, height_px)) if (width_px, height_px) != (image.width_px, image.height_px) => {
                faults.push(format!(
                    "image {index}: {width_px}×{height_px} pixels, {}×{} stated",
                    image.width_px, image.height_px
                ));
            }
            Ok(_) => {}
        }
    }
    faults
}

/// What is wrong with video files. A build without video cannot open them.
fn clip_faults(sample: &Sample, limits: &MediaLimits) -> Vec<String> {
    let with_clip = sample.visuals.iter().filter_map(|visual| Some((visual, visual.clip.as_ref()?)));
    let mut faults = Vec::new();
    for (number, ((visual, frames), clip)) in with_clip.zip(&sample.clips).enumerate() {
        if frames.frame_indices.len() != visual.num_images {
            faults.push(format!(
                "video {number}: {} positions of {} frames",
                frames.frame_indices.len(),
                visual.num_images
            ));
        }
        match check_clip(clip, frames, limits) {
            Err(_) if !video::IS_ENABLED => {}
            Err(error) => faults.push(format!("video {number}: {error}")),
            Ok(found) if found != (visual.width_px, visual.height_px) => faults.push(format!(
                "video {number}: {}×{} pixels, {}×{} stated",
                found.0, found.1, visual.width_px, visual.height_px
            )),
            Ok(_) => {}
        }
    }
    faults
}

#[cfg(test)]
pub(super) mod tests {
    use manyframe_core::{Cost, ImageFormat, Origin, Position, RecordId, SampleImage};

    use super::*;

    /// A sample of text without token ids.
    pub(in crate::verify) fn text_sample() -> Sample {
        Sample {
            id: RecordId::from_digest(Digest::of(b"x")),
            source: "s".into(),
            subset: "".into(),
            upstream_id: String::new(),
            layout: Layout::Text,
            messages: Vec::new(),
            prompt: "red cat".to_owned(),
            label_spans: vec![(4, 7)],
            tokens: None,
            cost: Cost::default(),
            images: Vec::new(),
            clips: Vec::new(),
            visuals: Vec::new(),
            origin: Origin { file: "a.json".into(), position: Position::File },
        }
    }

    #[test]
    fn a_whole_sample_has_no_faults() {
        assert_eq!(sample_faults(&text_sample(), &MediaLimits::default()), Vec::<String>::new());
    }

    #[test]
    fn label_spans_must_lie_in_the_prompt() {
        for label_spans in [vec![], vec![(4, 4)], vec![(0, 3), (4, 8)], vec![(0, 3), (2, 5)]] {
            let faults = sample_faults(&Sample { label_spans, ..text_sample() }, &MediaLimits::default());
            assert!(matches!(faults.as_slice(), [fault] if fault.contains("label span")), "{faults:?}");
        }
    }

    #[test]
    fn an_image_that_cannot_be_decoded_is_a_fault() {
        let image = SampleImage { bytes: b"GIF".to_vec(), format: ImageFormat::Jpeg, width_px: 1, height_px: 1 };
        let faults = image_faults(&Sample { images: vec![image], ..text_sample() }, &MediaLimits::default());
        assert!(matches!(faults.as_slice(), [fault] if fault.starts_with("image 0: ")), "{faults:?}");
    }
}
