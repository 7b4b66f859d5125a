//! From turns to messages: the position of each visual in its turn, and the text around it.
//!
//! * Texts without a visual between them become one text. Literal tags are neutralised afterwards, so that no two texts
//!   can join into a tag.
//! * **A record with exactly one visual** shows it first: the visual moves to the front of its turn, and the text of
//!   the turn is trimmed at both ends, as in LLaVA's preprocessing. Where the placeholder was cut out of the middle of
//!   a text, the white space around it becomes one newline if it contained one, otherwise one space if there was any.
//!   `…in the photo.↵<image>` becomes `<Image>↵…in the photo.`
//! * **A record with several visuals** keeps each of them where it is in the conversation. The newline that the dialect
//!   writes after a visual replaces *one* newline there: `<image>↵What…` becomes `<Image>↵What…`, and `<image><image>`
//!   becomes `<Image>↵<Image>↵`. A dialect that writes no newline after a video drops that newline.
//! * **A turn with visuals** neither starts nor ends with white space: LongLLaVA's trainer removes it from the turns of an
//!   exported record that contain a placeholder. That includes the newline of the dialect, if a visual ends the turn, and
//!   white space at the start of a system text, which such a record has at the start of its first turn.
//!
//! * **A document** keeps each visual where it is, and its white space.
//!
//! Families with chat templates of their own keep texts as they are, but for one newline after a visual, which LLaVA's data
//! have there; their templates put visuals where they stand, or before the text of the turn (`placement`).
//!
//! Sources: LongLLaVA (arXiv 2409.02889), figure 2; the released inference code; `preprocess_multimodal` of LLaVA.

use std::borrow::Cow;

use manyframe_core::{Message, Part, RejectCode, Rejection, Role, Turn, VisualKind, is_document};

use crate::literals::{LiteralTags, Literals};
use crate::messages::VisualRange;
use crate::placement::Placement;
use crate::python_text::is_python_space;
use crate::resolved::ResolvedVisual;

/// Maximum number of images of a sample. More are a mistake in the settings: they would be 9.4 million tokens at 144
/// each.
const MAX_IMAGES: u64 = 1 << 16;

/// How turns are written.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) placement: Placement,
    pub(crate) literals: Literals,
    pub(crate) literal_tags: LiteralTags,
}

/// Where a visual is in the messages, and which images it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisualSpan {
    /// How it is shown.
    pub kind: VisualKind,
    /// Position of its message.
    pub message: usize,
    /// First character of its text in the message.
    pub start: usize,
    /// One past the last character, including the newline that the dialect wrote after it.
    pub end: usize,
    /// Position of its first image among the images of the record.
    pub first_image: usize,
    /// How many images it shows.
    pub num_images: usize,
}

/// The messages of a record, and where its visuals are in them.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) messages: Vec<Message>,
    pub(crate) visual_spans: Vec<VisualSpan>,
}

/// A part of a turn, with visuals resolved and neighbouring texts joined.
enum ResolvedPart<'t> {
    Text(Cow<'t, str>),
    Visual(&'t ResolvedVisual),
}

/// Writes the contents of the turns of a record, one after another: each turn takes the next of the visuals.
pub(crate) struct TurnWriter<'a> {
    composer: &'a Composer,
    turns: &'a [Turn],
    visuals: std::slice::Iter<'a, ResolvedVisual>,
    has_one_visual: bool,
    is_document: bool,
}

impl VisualSpan {
    /// Where the visual is.
    pub fn range(&self) -> VisualRange {
        VisualRange { kind: self.kind, message: self.message, start: self.start, end: self.end }
    }
}

impl Composed {
    /// Where the visuals are, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = VisualRange> {
        self.visual_spans.iter().map(VisualSpan::range)
    }
}

impl Composer {
    #[expect(clippy::string_slice, reason = "a visual starts and ends between characters, after the one before it")]
    pub(crate) fn compose(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<Composed, Rejection> {
        let mut writer = self.writer(turns, visuals)?;
        let mut composed = Composed { messages: Vec::with_capacity(turns.len()), visual_spans: Vec::new() };
        for (index, turn) in turns.iter().enumerate() {
            let mut content = String::new();
            // Characters are counted up to the last visual; most turns have none.
            let (mut num_chars, mut num_bytes_counted) = (0, 0);
            let spans = &mut composed.visual_spans;
            writer.write(index, &mut content, |written, start_byte, visual| {
                let mut chars_to = |end: usize| {
                    num_chars += written[num_bytes_counted..end].chars().count();
                    num_bytes_counted = end;
                    num_chars
                };
                let (start, end) = (chars_to(start_byte), chars_to(written.len()));
                let first_image = spans.last().map_or(0, |span: &VisualSpan| span.first_image + span.num_images);
                let num_images = usize::try_from(visual.num_images).unwrap_or(usize::MAX);
                spans.push(VisualSpan { kind: visual.kind, message: index, start, end, first_image, num_images });
            })?;
            composed.messages.push(Message { role: turn.role, content });
        }
        Ok(composed)
    }

    /// A writer of these turns, with these visuals.
    pub(crate) fn writer<'a>(
        &'a self,
        turns: &'a [Turn],
        visuals: &'a [ResolvedVisual],
    ) -> Result<TurnWriter<'a>, Rejection> {
        let num_visuals = turns.iter().map(num_visuals).sum::<usize>();
        if num_visuals != visuals.len() {
            let detail = format!("{num_visuals} visuals in the turns, {} resolved", visuals.len());
            return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
        }
        check_num_images(visuals)?;
        let has_one_visual = num_visuals == 1;
        let is_document = is_document(turns.iter().map(|turn| turn.role));
        Ok(TurnWriter { composer: self, turns, visuals: visuals.iter(), has_one_visual, is_document })
    }

    fn write_text(&self, text: &str, message: usize, content: &mut String) -> Result<(), Rejection> {
        let refuse = |literal: &str| {
            Rejection::new(RejectCode::LiteralTag, format!("the text of turn {message} contains {literal:?}"))
        };
        match self.literal_tags {
            LiteralTags::Reject => {
                if let Some(literal) = self.literals.find(text) {
                    return Err(refuse(literal));
                }
                content.push_str(text);
            }
            LiteralTags::Uppercase => {
                content.push_str(&self.literals.neutralise(text).map_err(|literal| refuse(&literal))?);
            }
        }
        Ok(())
    }
}

impl<'a> TurnWriter<'a> {
    /// Appends the content of the turn at a position to `text`. `on_visual` is called for each visual, with the content so
    /// far, and the byte at which the visual starts.
    #[expect(clippy::indexing_slicing, clippy::string_slice, reason = "callers write each turn once; text only grows")]
    pub(crate) fn write(
        &mut self,
        index: usize,
        text: &mut String,
        mut on_visual: impl FnMut(&str, usize, &ResolvedVisual),
    ) -> Result<(), Rejection> {
        let turn = &self.turns[index];
        let opens_visuals = turn.role == Role::System && self.turns.get(index + 1).is_some_and(has_visual);
        if let ([Part::Text(only)], false) = (turn.parts.as_slice(), opens_visuals) {
            let is_trimmed = self.composer.placement == Placement::Trimmed;
            let only = if is_trimmed { only.trim_matches(is_python_space) } else { only };
            return self.composer.write_text(only, index, text);
        }
        let start = text.len();
        let parts = self.parts(turn, opens_visuals);
        let last = parts.len().saturating_sub(1);
        let mut follows_visual = false;
        for (position, part) in parts.iter().enumerate() {
            match part {
                ResolvedPart::Text(of_turn) => {
                    let of_turn = if follows_visual { without_newline(of_turn) } else { of_turn };
                    self.composer.write_text(of_turn, index, text)?;
                }
                ResolvedPart::Visual(visual) => {
                    let start_of_visual = text.len();
                    visual.plan.write(text);
                    match self.composer.placement {
                        // The newline after it would be the end of the turn.
                        Placement::Llava if position == last && !self.is_document => {
                            text.truncate(text.trim_end().len());
                        }
                        Placement::Llava | Placement::Trimmed => {}
                        Placement::InPlace(separator) => text.push_str(separator),
                        Placement::First(_) => text.push('\n'),
                    }
                    on_visual(&text[start..], start_of_visual - start, visual);
                }
            }
            follows_visual = matches!(part, ResolvedPart::Visual(_));
        }
        Ok(())
    }

    /// The parts of a turn in the order in which they are written.
    fn parts(&mut self, turn: &'a Turn, opens_visuals: bool) -> Vec<ResolvedPart<'a>> {
        let mut parts = resolved_parts(turn, &mut self.visuals);
        match self.composer.placement {
            Placement::Llava | Placement::First(_) if self.is_document => {}
            Placement::Trimmed => {
                trim_end(&mut parts);
                trim_start(&mut parts);
            }
            Placement::First(between) if has_visual(turn) => parts = with_moved_visuals(parts, between),
            Placement::InPlace(_) | Placement::First(_) => {}
            Placement::Llava => {
                if has_visual(turn) {
                    if self.has_one_visual {
                        parts = with_visual_first(parts);
                    }
                    trim_end(&mut parts);
                }
                if has_visual(turn) || opens_visuals {
                    trim_start(&mut parts);
                }
            }
        }
        parts
    }
}

fn num_visuals(turn: &Turn) -> usize {
    turn.parts.iter().filter(|part| matches!(part, Part::Visual(_))).count()
}

fn has_visual(turn: &Turn) -> bool {
    num_visuals(turn) > 0
}

fn check_num_images(visuals: &[ResolvedVisual]) -> Result<(), Rejection> {
    if visuals.iter().any(|visual| visual.num_images == 0) {
        return Err(Rejection::new(RejectCode::NoFrames, "a video without frames"));
    }
    let num_images = visuals.iter().fold(0_u64, |sum, visual| sum.saturating_add(visual.num_images));
    if num_images > MAX_IMAGES {
        let detail = format!("{num_images} images, at most {MAX_IMAGES} are possible");
        return Err(Rejection::new(RejectCode::TooLong, detail));
    }
    Ok(())
}

fn resolved_parts<'t>(turn: &'t Turn, visuals: &mut std::slice::Iter<'t, ResolvedVisual>) -> Vec<ResolvedPart<'t>> {
    let mut parts: Vec<ResolvedPart<'t>> = Vec::with_capacity(turn.parts.len());
    for part in &turn.parts {
        match (part, parts.last_mut()) {
            (Part::Text(text), Some(ResolvedPart::Text(joined))) => joined.to_mut().push_str(text),
            (Part::Text(text), _) => parts.push(ResolvedPart::Text(Cow::Borrowed(text))),
            (Part::Visual(_), _) => {
                #[expect(
                    clippy::expect_used,
                    reason = "there is one for each visual in the turns, and each visual is written once"
                )]
                let visual = visuals.next().expect("a resolved visual for each visual");
                parts.push(ResolvedPart::Visual(visual));
            }
        }
    }
    parts
}

/// The parts of a turn with its only visual first, and its text trimmed.
fn with_visual_first(parts: Vec<ResolvedPart<'_>>) -> Vec<ResolvedPart<'_>> {
    let mut reordered = Vec::with_capacity(2);
    let mut text = Cow::Borrowed("");
    for part in parts {
        match part {
            ResolvedPart::Visual(_) => reordered.push(part),
            ResolvedPart::Text(after) if text.is_empty() => text = after,
            ResolvedPart::Text(after) => text = Cow::Owned(joined(&text, &after)),
        }
    }
    // A newline that upstream wrote after the visual is not the one that the dialect writes.
    trim(&mut text, |text| text.trim_matches(is_python_space));
    reordered.push(ResolvedPart::Text(text));
    reordered
}

/// The parts of a turn with its visuals first, and its text as it is.
fn with_moved_visuals<'t>(parts: Vec<ResolvedPart<'t>>, between: &str) -> Vec<ResolvedPart<'t>> {
    let (mut visuals, mut texts) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            ResolvedPart::Visual(_) => visuals.push(part),
            ResolvedPart::Text(text) => texts.push(text),
        }
    }
    if !texts.is_empty() {
        visuals.push(ResolvedPart::Text(Cow::Owned(texts.join(between))));
    }
    visuals
}

/// Removes white space at the start of a turn.
fn trim_start(parts: &mut Vec<ResolvedPart<'_>>) {
    while let Some(ResolvedPart::Text(text)) = parts.first_mut() {
        trim(text, |text| text.trim_start_matches(is_python_space));
        if !text.is_empty() {
            break;
        }
        parts.remove(0);
    }
}

/// Removes white space at the end of a turn, except what a visual writes there.
fn trim_end(parts: &mut Vec<ResolvedPart<'_>>) {
    while let Some(ResolvedPart::Text(text)) = parts.last_mut() {
        trim(text, |text| text.trim_end_matches(is_python_space));
        if !text.is_empty() {
            break;
        }
        parts.pop();
    }
}

fn trim(text: &mut Cow<'_, str>, trimmed: fn(&str) -> &str) {
    match text {
        Cow::Borrowed(text) => *text = trimmed(text),
        Cow::Owned(text) => *text = trimmed(text).to_owned(),
    }
}

/// Joins two texts between which a placeholder was cut out.
fn joined(before: &str, after: &str) -> String {
    let (kept, rest) = (before.trim_end(), after.trim_start());
    let is_gap = |c: &char| c.is_whitespace();
    let gap: String = before.chars().rev().take_while(is_gap).chain(after.chars().take_while(is_gap)).collect();
    let between = match gap.as_str() {
        "" => "",
        gap if gap.contains('\n') => "\n",
        _ => " ",
    };
    [kept, between, rest].concat()
}

fn without_newline(text: &str) -> &str {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text)
}
