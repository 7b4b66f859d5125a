//! Checks one sample: its placeholders, visuals, label spans and images.

use manyframe_core::Sample;
use manyframe_media::{MediaLimits, check_delivered};

/// What is wrong with a sample, apart from its token ids and labels.
pub(super) fn sample_faults(sample: &Sample, placeholder: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let count = |text: &str| text.matches(placeholder).count();
    let in_messages: usize = sample.messages.iter().map(|message| count(&message.content)).sum();
    let (in_prompt, num_images) = (count(&sample.prompt), sample.images.len());
    if in_messages != num_images || in_prompt != num_images {
        faults.push(format!("{in_messages} placeholders, {in_prompt} in the prompt, for {num_images} images"));
    }
    let covered: usize = sample.visuals.iter().map(|visual| visual.num_images).sum();
    if covered != num_images {
        faults.push(format!("its visuals cover {covered} of {num_images} images"));
    }
    let num_chars = sample.prompt.chars().count();
    if sample.label_spans.is_empty() || sample.label_spans.iter().any(|&(start, end)| start >= end || end > num_chars) {
        faults.push(format!("label spans {:?} do not fit a prompt of {num_chars} characters", sample.label_spans));
    }
    faults.extend(image_faults(sample));
    faults
}

fn image_faults(sample: &Sample) -> Vec<String> {
    // Images were within the limits of their pipeline; none may be refused here for its size.
    let limits =
        MediaLimits { max_pixels: u64::MAX >> 1, min_edge_px: 1, max_aspect_ratio: f64::MAX, ..MediaLimits::default() };
    let mut faults = Vec::new();
    for (index, image) in sample.images.iter().enumerate() {
        match check_delivered(&image.bytes, &limits) {
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

#[cfg(test)]
pub(super) mod tests {
    use manyframe_core::{Cost, Digest, ImageFormat, Layout, Origin, Position, RecordId, SampleImage};

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
            visuals: Vec::new(),
            origin: Origin { file: "a.json".into(), position: Position::File },
        }
    }

    #[test]
    fn a_whole_sample_has_no_faults() {
        assert_eq!(sample_faults(&text_sample(), "<image>"), Vec::<String>::new());
    }

    #[test]
    fn label_spans_must_lie_in_the_prompt() {
        for label_spans in [vec![], vec![(4, 4)], vec![(0, 3), (4, 8)]] {
            let faults = sample_faults(&Sample { label_spans, ..text_sample() }, "<image>");
            assert!(matches!(faults.as_slice(), [fault] if fault.starts_with("label spans")), "{faults:?}");
        }
    }

    #[test]
    fn a_placeholder_without_an_image_is_a_fault() {
        let prompt = "<image> cat".to_owned();
        let faults = sample_faults(&Sample { prompt, ..text_sample() }, "<image>");
        assert_eq!(faults, ["0 placeholders, 1 in the prompt, for 0 images"]);
    }

    #[test]
    fn an_image_that_cannot_be_decoded_is_a_fault() {
        let image = SampleImage { bytes: b"GIF".to_vec(), format: ImageFormat::Jpeg, width_px: 1, height_px: 1 };
        let faults = image_faults(&Sample { images: vec![image], ..text_sample() });
        assert!(matches!(faults.as_slice(), [fault] if fault.starts_with("image 0: ")), "{faults:?}");
    }
}
