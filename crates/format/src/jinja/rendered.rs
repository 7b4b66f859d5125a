//! What a template wrote, read again: where it shows visuals, and what is trained.

use aho_corasick::{AhoCorasick, MatchKind};
use manyframe_core::VisualKind;
use manyframe_vision::MediaMarks;

use super::environment::{SPAN_END, SPAN_START};
use crate::error::FormatError;
use crate::prompt::Prompt;

/// Finds in a text what a template writes for visuals, and the marks of spans.
#[derive(Debug)]
pub(super) struct MarkFinder {
    matcher: AhoCorasick,
    /// By pattern of the matcher.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Image,
    Video,
    SpanStart,
    SpanEnd,
}

/// A conversation as a template wrote it, without its visuals.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// The text with the marks of visuals, and without those of spans.
    pub(super) text: String,
    /// What is trained: bytes (first, one past last) of the text, in order and disjoint.
    pub(super) spans: Vec<(usize, usize)>,
    /// The mark of each visual, in order: bytes of the text.
    visuals: Vec<(usize, usize)>,
    /// What takes the place of each mark.
    pub(super) markups: Vec<String>,
}

impl MarkFinder {
    pub(super) fn new(marks: &MediaMarks) -> Result<Self, FormatError> {
        let (start, end) = (SPAN_START.to_string(), SPAN_END.to_string());
        let images = marks.image.iter().map(|text| (&**text, Mark::Image));
        let videos = marks.video.iter().map(|text| (&**text, Mark::Video));
        let spans = [(start.as_str(), Mark::SpanStart), (end.as_str(), Mark::SpanEnd)];
        let patterns: Vec<(&str, Mark)> = images.chain(videos).chain(spans).collect();
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(patterns.iter().map(|(text, _)| text))
            .map_err(|source| FormatError::BuildMatcher { num_literals: patterns.len(), source })?;
        Ok(Self { matcher, marks: patterns.iter().map(|(_, mark)| *mark).collect() })
    }

    /// Reads what a template wrote of a conversation with these visuals, in order.
    ///
    /// # Errors
    /// If it does not show every visual once and in order, or if spans are in each other.
    #[expect(
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "there is a mark for each pattern; strings match strings"
    )]
    pub(super) fn read(&self, written: &str, kinds: &[VisualKind]) -> Result<Rendered, String> {
        let mut rendered = Rendered { text: String::with_capacity(written.len()), ..Rendered::default() };
        let mut shown = Vec::new();
        let mut span_start = None;
        let mut end_of_last = 0;
        for found in self.matcher.find_iter(written) {
            rendered.text.push_str(&written[end_of_last..found.start()]);
            end_of_last = found.end();
            let position = rendered.text.len();
            match self.marks[found.pattern().as_usize()] {
                Mark::SpanStart => {
                    if span_start.replace(position).is_some() {
                        return Err("answers begin inside of each other".to_owned());
                    }
                }
                Mark::SpanEnd => {
                    let start = span_start.take().ok_or("an answer ends that did not begin")?;
                    rendered.spans.push((start, position));
                }
                mark @ (Mark::Image | Mark::Video) => {
                    rendered.text.push_str(&written[found.range()]);
                    rendered.visuals.push((position, rendered.text.len()));
                    shown.push(mark);
                }
            }
        }
        rendered.text.push_str(&written[end_of_last..]);
        if span_start.is_some() {
            return Err("an answer does not end".to_owned());
        }
        ensure_shown(&shown, kinds)?;
        Ok(rendered)
    }
}

/// That a template shows each visual once, and in order.
fn ensure_shown(shown: &[Mark], kinds: &[VisualKind]) -> Result<(), String> {
    let expected: Vec<Mark> = kinds
        .iter()
        .map(|kind| match kind {
            VisualKind::Image | VisualKind::Tiled => Mark::Image,
            VisualKind::Video => Mark::Video,
        })
        .collect();
    for (mark, name) in [(Mark::Image, "images"), (Mark::Video, "videos")] {
        let count = |marks: &[Mark]| marks.iter().filter(|one| **one == mark).count();
        let (found, wanted) = (count(shown), count(&expected));
        if found != wanted {
            return Err(format!("the template shows {found} {name}, expected {wanted}"));
        }
    }
    if shown == expected { Ok(()) } else { Err("the template shows images and videos in another order".to_owned()) }
}

impl Rendered {
    /// Trains everything but the visuals.
    pub(super) fn train_texts(&mut self) {
        let starts = std::iter::once(0).chain(self.visuals.iter().map(|(_, end)| *end));
        let ends = self.visuals.iter().map(|(start, _)| *start).chain([self.text.len()]);
        self.spans = starts.zip(ends).filter(|(start, end)| start < end).collect();
    }

    /// The prompt, and what of it is trained.
    pub(crate) fn prompt(&self) -> Prompt {
        self.filled(self.markups.iter().map(String::as_str))
    }

    /// The text of the prompt with the same text in place of each visual.
    pub(crate) fn bare(&self, placeholder: &str) -> String {
        self.filled(std::iter::repeat(placeholder)).text
    }

    #[expect(clippy::string_slice, reason = "marks begin and end between characters, in order")]
    fn filled<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Prompt {
        let mut prompt = Prompt::default();
        let mut moved = Moved::default();
        let mut spans = self.spans.iter().flat_map(|(start, end)| [*start, *end]).peekable();
        let mut ends = Vec::with_capacity(2 * self.spans.len());
        let mut end_of_last = 0;
        for (&(start, end), text) in self.visuals.iter().zip(texts) {
            // A span that ends where a visual begins does not contain it; one that begins there does.
            while let Some(position) = spans.next_if(|position| *position <= start) {
                ends.push(moved.position(position));
            }
            prompt.text.push_str(&self.text[end_of_last..start]);
            prompt.text.push_str(text);
            moved.replace(end - start, text.len());
            end_of_last = end;
        }
        prompt.text.push_str(&self.text[end_of_last..]);
        ends.extend(spans.map(|position| moved.position(position)));
        let spans = ends.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        prompt.set_label_spans(spans.filter(|(start, end)| start < end));
        prompt
    }
}

/// How far positions are moved by what was replaced before them.
#[derive(Default)]
struct Moved {
    removed: usize,
    added: usize,
}

impl Moved {
    fn replace(&mut self, num_removed: usize, num_added: usize) {
        self.removed += num_removed;
        self.added += num_added;
    }

    fn position(&self, position: usize) -> usize {
        (position + self.added).saturating_sub(self.removed)
    }
}
