//! Turns to messages: where each visual stands in its turn, and what becomes of the text around it.
//!
//! * Texts that touch are one text. Then literal tags are neutralised, so that no two pieces of text join into one.
//! * **A record with exactly one visual** shows it first: the visual goes to the front of its turn, and the turn's text
//!   is trimmed at both ends, as LLaVA's preprocessing does. Where the placeholder was cut out of the middle of a text,
//!   the white space around it becomes one newline if it had one, else one space if it had any.
//!   `…in the photo.↵<image>` gives `<Image>↵…in the photo.`
//! * **A record with several visuals** keeps each where it is in the conversation. The newline that the dialect puts
//!   after a visual takes the place of *one* newline there: `<image>↵What…` gives `<Image>↵What…`, and
//!   `<image><image>` gives `<Image>↵<Image>↵`. A dialect that puts none after a video drops the newline.
//!
//! Sources: LongLLaVA (arXiv 2409.02889), figure 2; the released inference code; `preprocess_multimodal` of LLaVA.

use std::borrow::Cow;

use manyframe_core::{Message, Part, RejectCode, Rejection, Turn};

use crate::literals::Literals;
use crate::{Dialect, LiteralTags, ResolvedVisual, VisualSpan};

/// More images than this in one sample are a mistake in the settings, not a sample: 9.4 million tokens at 144 each.
const MAX_IMAGES: u64 = 1 << 16;

/// How turns are written.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) dialect: Dialect,
    pub(crate) literals: Literals,
    pub(crate) literal_tags: LiteralTags,
}

/// The messages of a record, and where its visuals stand in them.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) messages: Vec<Message>,
    pub(crate) visual_spans: Vec<VisualSpan>,
}

/// A part of a turn, its visuals resolved and its neighbouring texts joined.
enum Piece<'t> {
    Text(Cow<'t, str>),
    Visual(ResolvedVisual),
}

/// Writes the contents of a record's turns, in the order of its visuals.
pub(crate) struct TurnWriter<'a> {
    composer: &'a Composer,
    turns: &'a [Turn],
    visuals: std::slice::Iter<'a, ResolvedVisual>,
    has_one_visual: bool,
}

impl Composer {
    pub(crate) fn compose(&self, turns: &[Turn], visuals: &[ResolvedVisual]) -> Result<Composed, Rejection> {
        let mut writer = self.writer(turns, visuals)?;
        let mut composed = Composed { messages: Vec::with_capacity(turns.len()), visual_spans: Vec::new() };
        for (index, turn) in turns.iter().enumerate() {
            let mut content = String::new();
            // Characters are counted as far as the last visual; most turns have none.
            let (mut num_chars, mut num_bytes_counted) = (0, 0);
            let spans = &mut composed.visual_spans;
            writer.write(index, &mut content, |written, start_byte, num_images| {
                let mut chars_to = |end: usize| {
                    num_chars += written.get(num_bytes_counted..end).map_or(0, |text| text.chars().count());
                    num_bytes_counted = end;
                    num_chars
                };
                let (start, end) = (chars_to(start_byte), chars_to(written.len()));
                let first_image = spans.last().map_or(0, |span: &VisualSpan| span.first_image + span.num_images);
                spans.push(VisualSpan { message: index, start, end, first_image, num_images });
            })?;
            composed.messages.push(Message { role: turn.role, content });
        }
        Ok(composed)
    }

    /// A writer of these turns with these visuals.
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
        Ok(TurnWriter { composer: self, turns, visuals: visuals.iter(), has_one_visual })
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

impl TurnWriter<'_> {
    /// Appends the content of a turn to `text`. `on_visual` is told of each visual: the content so far, the byte at which the
    /// visual starts, and its number of images.
    pub(crate) fn write(
        &mut self,
        index: usize,
        text: &mut String,
        mut on_visual: impl FnMut(&str, usize, usize),
    ) -> Result<(), Rejection> {
        let Some(turn) = self.turns.get(index) else { return Ok(()) };
        if let [Part::Text(only)] = turn.parts.as_slice() {
            return self.composer.write_text(only, index, text);
        }
        let start = text.len();
        let mut pieces = pieces_of(turn, &mut self.visuals);
        if self.has_one_visual && pieces.iter().any(|piece| matches!(piece, Piece::Visual(_))) {
            pieces = front(pieces);
        }
        let mut follows_visual = false;
        for piece in &pieces {
            match piece {
                Piece::Text(piece) => {
                    let piece = if follows_visual { without_newline(piece) } else { piece };
                    self.composer.write_text(piece, index, text)?;
                }
                Piece::Visual(visual) => {
                    let start_of_visual = text.len();
                    self.composer.dialect.write(*visual, text);
                    let written = text.get(start..).unwrap_or_default();
                    on_visual(
                        written,
                        start_of_visual - start,
                        usize::try_from(visual.num_images()).unwrap_or(usize::MAX),
                    );
                }
            }
            follows_visual = matches!(piece, Piece::Visual(_));
        }
        Ok(())
    }
}

fn num_visuals(turn: &Turn) -> usize {
    turn.parts.iter().filter(|part| matches!(part, Part::Visual(_))).count()
}

fn check_num_images(visuals: &[ResolvedVisual]) -> Result<(), Rejection> {
    if visuals.iter().any(|visual| visual.num_images() == 0) {
        return Err(Rejection::new(RejectCode::NoFrames, "a video without frames"));
    }
    let num_images = visuals.iter().fold(0_u64, |sum, visual| sum.saturating_add(visual.num_images()));
    if num_images > MAX_IMAGES {
        let detail = format!("{num_images} images, at most {MAX_IMAGES} are possible");
        return Err(Rejection::new(RejectCode::TooLong, detail));
    }
    Ok(())
}

fn pieces_of<'t>(turn: &'t Turn, visuals: &mut std::slice::Iter<'_, ResolvedVisual>) -> Vec<Piece<'t>> {
    let mut pieces: Vec<Piece<'t>> = Vec::with_capacity(turn.parts.len());
    for part in &turn.parts {
        match (part, pieces.last_mut()) {
            (Part::Text(text), Some(Piece::Text(joined))) => joined.to_mut().push_str(text),
            (Part::Text(text), _) => pieces.push(Piece::Text(Cow::Borrowed(text))),
            (Part::Visual(_), _) => pieces.extend(visuals.next().copied().map(Piece::Visual)),
        }
    }
    pieces
}

/// The turn with its only visual first, and its text trimmed.
fn front(pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let mut visuals = Vec::with_capacity(2);
    let mut text = Cow::Borrowed("");
    for piece in pieces {
        match piece {
            Piece::Visual(_) => visuals.push(piece),
            Piece::Text(after) if text.is_empty() => text = after,
            Piece::Text(after) => text = Cow::Owned(joined(&text, &after)),
        }
    }
    visuals.push(Piece::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }));
    visuals
}

/// Two texts between which a placeholder was cut out.
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
