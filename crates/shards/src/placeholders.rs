//! Messages with the placeholders that a reader knows, in place of what the model's template has for images and videos.

use manyframe_core::{Message, Sample, SampleVisual, VisualKind};

/// What readers take for an image.
pub(crate) const IMAGE: &str = "<image>";
/// What readers take for a video.
pub(crate) const VIDEO: &str = "<video>";

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

/// The messages of a sample with the texts of visuals replaced; `None` leaves one as it is. Elsewhere nothing looks like a
/// placeholder. Without any change, nothing.
pub(crate) fn replaced(
    sample: &Sample,
    replacement: impl Fn(&SampleVisual, &str) -> Option<String>,
) -> Option<Vec<Message>> {
    let mut is_changed = false;
    let replaced_in = |(number, message): (usize, &Message)| {
        let mut rest = Rest { text: &message.content, position: 0 };
        let mut content = String::new();
        for visual in sample.visuals.iter().filter(|visual| visual.message == number) {
            is_changed |= push_text(&mut content, rest.up_to(visual.start));
            let text = rest.up_to(visual.end);
            let new = replacement(visual, text);
            is_changed |= new.is_some();
            content.push_str(new.as_deref().unwrap_or(text));
        }
        is_changed |= push_text(&mut content, rest.text);
        Message { content, ..message.clone() }
    };
    let messages = sample.messages.iter().enumerate().map(replaced_in).collect();
    is_changed.then_some(messages)
}

/// Appends what somebody said, in which a placeholder would be one too many. Returns whether there was one.
fn push_text(content: &mut String, text: &str) -> bool {
    let has_one = text.contains(IMAGE) || text.contains(VIDEO);
    if has_one {
        content.push_str(&text.replace(IMAGE, "<IMAGE>").replace(VIDEO, "<VIDEO>"));
    } else {
        content.push_str(text);
    }
    has_one
}

/// What is left of a text, and how many characters precede it.
struct Rest<'t> {
    text: &'t str,
    position: usize,
}

impl<'t> Rest<'t> {
    /// Takes the text up to a character; nothing if that is taken already.
    fn up_to(&mut self, end: usize) -> &'t str {
        let num_chars = end.saturating_sub(self.position);
        let at = self.text.char_indices().nth(num_chars).map_or(self.text.len(), |(at, _)| at);
        let (taken, rest) = self.text.split_at(at);
        *self = Self { text: rest, position: self.position.max(end) };
        taken
    }
}
