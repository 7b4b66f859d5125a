//! Messages with the placeholders that a reader knows, in place of what the model's template has for images and videos.

use manyframe_core::{Message, Sample, SampleVisual, VisualKind};

/// What readers take for an image.
pub(crate) const IMAGE: &str = "<image>";

/// Whether a visual is a video.
pub(crate) fn is_video(visual: &SampleVisual) -> bool {
    visual.kind == VisualKind::Video
}

/// What replaces the text of a visual: a placeholder for each of its images, unless that is what it has. A newline that follows
/// them stays.
pub(crate) fn image_placeholders(visual: &SampleVisual, text: &str) -> Option<String> {
    (text.matches(IMAGE).count() != visual.num_images).then(|| with_newline_of(text, IMAGE.repeat(visual.num_images)))
}

/// A text that ends with a newline if another one does.
pub(crate) fn with_newline_of(text: &str, mut replacement: String) -> String {
    if text.ends_with('\n') {
        replacement.push('\n');
    }
    replacement
}

/// The messages of a sample with the texts of visuals replaced; `None` leaves one as it is. Without any change, nothing.
pub(crate) fn replaced(
    sample: &Sample,
    replacement: impl Fn(&SampleVisual, &str) -> Option<String>,
) -> Option<Vec<Message>> {
    let mut is_changed = false;
    let mut replaced_in = |(number, message): (usize, &Message)| {
        let (mut content, mut end) = (String::new(), 0);
        let chars = |start: usize, end: usize| message.content.chars().skip(start).take(end.saturating_sub(start));
        for visual in sample.visuals.iter().filter(|visual| visual.message == number) {
            content.extend(chars(end, visual.start));
            let text: String = chars(visual.start, visual.end).collect();
            let new = replacement(visual, &text);
            is_changed |= new.is_some();
            content.push_str(&new.unwrap_or(text));
            end = visual.end;
        }
        content.extend(chars(end, usize::MAX));
        Message { content, ..message.clone() }
    };
    let messages = sample.messages.iter().enumerate().map(&mut replaced_in).collect();
    is_changed.then_some(messages)
}
