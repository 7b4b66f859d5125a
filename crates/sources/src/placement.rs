//! Placement of visuals: placeholders in text become visuals, and media are put into their order of appearance.
//!
//! Rules:
//! * In a record without media, `<image>` and `<video>` are text, but for one that is the first or last line of a question:
//!   that is where writers put it, and its image is lost. `<video>` is also text in a record with images only.
//! * Each `<image>` takes the record's next image, each `<video>` its next video. In a record with videos only and
//!   without `<video>`, each `<image>` takes the next video, as in LLaVA-Video.
//! * In a record without these, and with media that no part names, placeholders of other models are read as they are
//!   (`placeholders.rs`), with the tokens around them. What only looks like one rejects the record, unless missing placeholders are
//!   repaired: it would be text.
//! * A placeholder with a number shows the medium of that number, from 0; in texts from 0 or from 1. Then each medium has to be
//!   named once.
//! * More placeholders than media, or fewer, is a mismatch. Fewer can be repaired: [`MissingPlaceholders`].
//! * In some datasets it is normal that there is no placeholder; media then come before the first question: [`Unplaced`].
//! * In a document, which is all answer, visuals are anywhere.
//! * A placeholder in an answer is not repaired, unless all are in answers because roles were swapped: [`SwappedRoles`].
//! * The text around placeholders stays as it is.

use std::collections::VecDeque;

use manyframe_core::{MediaKind, MediaRef, Part, RejectCode, Rejection, Role, Turn, Visual, VisualKind};

use crate::draft::{Draft, DraftMedia, DraftPart, DraftTurn};
use crate::options::{MissingPlaceholders, SwappedRoles};
use crate::placeholders::{Forms, Placeholder, look_alike, next_start, strip_placeholder};
use crate::reject::quoted;

/// Most numbers that a detail lists.
const MAX_NUMBERS: usize = 12;

/// What a record with media and without any placeholder means in a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// Placeholders are missing.
    IsMismatch,
    /// A single image or video is shown before the first question.
    OneComesFirst,
    /// All are shown before the first question, in upstream's order.
    AllComeFirst,
}

/// How placeholders and media are matched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) unplaced: Unplaced,
    pub(crate) missing: MissingPlaceholders,
    pub(crate) swapped: SwappedRoles,
}

/// A turn whose placeholders are found.
struct SlottedTurn<'a> {
    role: Role,
    slots: Vec<Slot<'a>>,
}

enum Slot<'a> {
    Text(&'a str),
    Next(MediaKind),
    Numbered(MediaKind, Number),
    Own(&'a MediaRef),
}

/// The number by which a placeholder names its medium.
#[derive(Debug, Clone, Copy)]
enum Number {
    /// From 0.
    Index(usize),
    /// In a text, from 0 or from 1.
    InText(usize),
}

impl Number {
    fn written(self) -> usize {
        match self {
            Self::Index(number) | Self::InText(number) => number,
        }
    }
}

/// Turns with visuals, and the media in the order in which they appear.
pub(crate) fn place(draft: &Draft<'_>, placement: Placement) -> Result<(Vec<Turn>, Vec<MediaRef>), Rejection> {
    if let Some(turns) = turns_of_text(draft) {
        return match turns.iter().enumerate().find_map(|(index, turn)| Some((index, lonely_placeholder(turn)?))) {
            Some((index, found)) if !draft.is_document => {
                let detail =
                    format!("turn {index} has {found} on a line of its own, but the record has no image and no video");
                Err(Rejection::new(RejectCode::PlaceholderMismatch, detail))
            }
            _ => Ok((turns, Vec::new())),
        };
    }
    let mut turns = slotted_turns(draft);
    if !draft.is_document {
        reject_look_alikes(&turns, &draft.media, placement)?;
        settle_roles(&mut turns, placement.swapped)?;
    }
    let shown = Shown::of(&mut turns, &draft.media)?;
    let missing = count_missing(&turns, &shown, placement)?;
    if let Some(first) = turns.iter_mut().find(|turn| turn.role == Role::User) {
        first.slots.splice(0..0, missing.into_iter().map(Slot::Next));
    }
    fill(turns, shown)
}

/// The media of a record in the order in which its placeholders show them.
struct Shown<'a> {
    images: VecDeque<&'a MediaRef>,
    videos: VecDeque<&'a MediaRef>,
    /// Whether each `<image>` shows a video.
    are_videos_images: bool,
}

impl<'a> Shown<'a> {
    /// Afterwards each placeholder shows the next one.
    fn of(turns: &mut [SlottedTurn<'_>], media: &'a DraftMedia) -> Result<Self, Rejection> {
        let slots = || turns.iter().flat_map(|turn| &turn.slots);
        let are_videos_images =
            media.images.is_empty() && !slots().any(|slot| slot.kind_of_next() == Some(MediaKind::Video));
        if are_videos_images {
            for slot in turns.iter_mut().flat_map(|turn| &mut turn.slots) {
                if let Slot::Next(kind) | Slot::Numbered(kind, _) = slot {
                    *kind = MediaKind::Video;
                }
            }
        }
        Ok(Self {
            images: in_named_order(turns, MediaKind::Image, &media.images)?,
            videos: in_named_order(turns, MediaKind::Video, &media.videos)?,
            are_videos_images,
        })
    }
}

/// Media of one kind in the order of the numbers by which placeholders name them; in upstream's if there are no numbers.
fn in_named_order<'a>(
    turns: &mut [SlottedTurn<'_>],
    kind: MediaKind,
    media: &'a [MediaRef],
) -> Result<VecDeque<&'a MediaRef>, Rejection> {
    let (mut numbers, mut has_others) = (Vec::new(), false);
    for slot in turns.iter_mut().flat_map(|turn| &mut turn.slots) {
        match *slot {
            Slot::Numbered(of, number) if of == kind => {
                numbers.push(number);
                *slot = Slot::Next(kind);
            }
            Slot::Next(of) => has_others |= of == kind,
            _ => {}
        }
    }
    if numbers.is_empty() {
        return Ok(media.iter().collect());
    }
    let mut sorted: Vec<_> = numbers.iter().map(|number: &Number| number.written()).collect();
    sorted.sort_unstable();
    let is_text = numbers.iter().all(|number| matches!(number, Number::InText(_)));
    let first = sorted.first().copied().filter(|first| *first == 1 && is_text).unwrap_or(0);
    if has_others || !sorted.iter().copied().eq(first..first + media.len()) {
        let named: Vec<_> = numbers.iter().take(MAX_NUMBERS).map(|number| number.written().to_string()).collect();
        let thing = if kind == MediaKind::Image { "image" } else { "video" };
        let from = if is_text { "from 0 or 1" } else { "from 0" };
        let others = if has_others { "; there are placeholders without a number, too" } else { "" };
        let detail = format!(
            "placeholders name the numbers {} for {}, expected each once, {from}{others}",
            named.join(", "),
            plural(media.len(), thing)
        );
        return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
    }
    Ok(numbers.into_iter().filter_map(|number| media.get(number.written() - first)).collect())
}

/// The turns of a record without media: whatever their text holds is text.
fn turns_of_text(draft: &Draft<'_>) -> Option<Vec<Turn>> {
    if !draft.media.is_empty() {
        return None;
    }
    let turn_of_text = |turn: &DraftTurn<'_>| {
        let texts = turn.parts.iter().map(|part| if let DraftPart::Text(text) = part { Some(&**text) } else { None });
        let text: String = texts.collect::<Option<_>>()?;
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] };
        Some(Turn { role: turn.role, parts })
    };
    draft.turns.iter().map(turn_of_text).collect()
}

/// The placeholder that is the first or last line of a question.
fn lonely_placeholder(turn: &Turn) -> Option<&'static str> {
    let [Part::Text(text)] = turn.parts.as_slice() else { return None };
    if turn.role != Role::User {
        return None;
    }
    ["<image>", "<video>"].into_iter().find(|&placeholder| {
        let is_first =
            text.strip_prefix(placeholder).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\r', '\n']));
        is_first || text.strip_suffix(placeholder).is_some_and(|rest| rest.ends_with('\n'))
    })
}

/// Placeholders of other models are looked for where nothing else shows the media.
fn slotted_turns<'a>(draft: &'a Draft<'_>) -> Vec<SlottedTurn<'a>> {
    let slotted = |turn: &'a DraftTurn<'_>, forms| {
        let mut search = Search { media: &draft.media, forms, slots: Vec::new() };
        turn.parts.iter().for_each(|part| search.add(part));
        SlottedTurn { role: turn.role, slots: search.slots }
    };
    let turns: Vec<_> = draft.turns.iter().map(|turn| slotted(turn, Forms::Usual)).collect();
    if turns.iter().any(SlottedTurn::has_visual) {
        return turns;
    }
    let forms = |role| match role {
        Role::Assistant if !draft.is_document => Forms::Tokens,
        _ => Forms::TokensAndNumbers,
    };
    draft.turns.iter().map(|turn| slotted(turn, forms(turn.role))).collect()
}

/// A search for what a turn shows.
struct Search<'a> {
    media: &'a DraftMedia,
    forms: Forms,
    slots: Vec<Slot<'a>>,
}

impl<'a> Search<'a> {
    fn add(&mut self, part: &'a DraftPart<'_>) {
        let slot = match part {
            DraftPart::Text(text) => return self.add_text(text),
            DraftPart::Medium(medium) => Slot::Own(medium),
            DraftPart::Placeholder { kind, index: None } => Slot::Next(*kind),
            DraftPart::Placeholder { kind, index: Some(index) } => Slot::Numbered(*kind, Number::Index(*index)),
        };
        self.slots.push(slot);
    }

    fn add_text(&mut self, text: &'a str) {
        let mut rest = text;
        let mut searched = 0;
        while let Some(at) = rest.get(searched..).and_then(next_start) {
            let (before, tag) = rest.split_at(searched + at);
            let Some((slot, after)) = self.slot_at(tag) else {
                searched += at + 1;
                continue;
            };
            self.slots.extend((!before.is_empty()).then_some(Slot::Text(before)));
            self.slots.push(slot);
            (rest, searched) = (after, 0);
        }
        self.slots.extend((!rest.is_empty()).then_some(Slot::Text(rest)));
    }

    /// The placeholder at the start of a text, if the record has a medium for it, and what follows it.
    fn slot_at(&self, text: &'a str) -> Option<(Slot<'a>, &'a str)> {
        if self.media.is_empty() {
            return None;
        }
        let (Placeholder { kind, number }, rest) = strip_placeholder(text, self.forms)?;
        let slot = number.map_or(Slot::Next(kind), |number| Slot::Numbered(kind, Number::InText(number)));
        (kind == MediaKind::Image || !self.media.videos.is_empty()).then_some((slot, rest))
    }
}

/// A question with what looks like a placeholder, in a record that has no other, is not shown its media first.
fn reject_look_alikes(turns: &[SlottedTurn<'_>], media: &DraftMedia, placement: Placement) -> Result<(), Rejection> {
    if placement.missing == MissingPlaceholders::Prepend || turns.iter().any(SlottedTurn::has_visual) {
        return Ok(());
    }
    for (index, turn) in turns.iter().enumerate().filter(|(_, turn)| turn.role == Role::User) {
        let texts = turn.slots.iter().filter_map(|slot| if let Slot::Text(text) = slot { Some(*text) } else { None });
        let has_videos = !media.videos.is_empty();
        if let Some(found) = texts.into_iter().find_map(|text| look_alike(text, has_videos)) {
            let detail = format!(
                "turn {index} has {}, like a placeholder: write <image> or <video>; missing_placeholders = \"prepend\" keeps it as text",
                quoted(found)
            );
            return Err(Rejection::new(RejectCode::PlaceholderMismatch, detail));
        }
    }
    Ok(())
}

impl Slot<'_> {
    /// What it shows of the media beside the turns.
    fn kind_of_next(&self) -> Option<MediaKind> {
        match self {
            Self::Next(kind) | Self::Numbered(kind, _) => Some(*kind),
            Self::Text(_) | Self::Own(_) => None,
        }
    }
}

impl SlottedTurn<'_> {
    fn has_visual(&self) -> bool {
        self.slots.iter().any(|slot| !matches!(slot, Slot::Text(_)))
    }
}

/// Visuals belong in user turns. If all are in answers, an option allows the roles to be swapped.
fn settle_roles(turns: &mut [SlottedTurn<'_>], swapped: SwappedRoles) -> Result<(), Rejection> {
    let Some(outside) = turns.iter().position(|turn| turn.role != Role::User && turn.has_visual()) else {
        return Ok(());
    };
    let are_all_answers = turns.iter().all(|turn| turn.role == Role::Assistant || !turn.has_visual());
    match swapped {
        SwappedRoles::Fix if are_all_answers => {
            for turn in turns {
                turn.role = match turn.role {
                    Role::User => Role::Assistant,
                    Role::Assistant => Role::User,
                    Role::System => Role::System,
                };
            }
            Ok(())
        }
        SwappedRoles::Fix | SwappedRoles::Reject => {
            let detail = format!("turn {outside}, counted from 0, is not the user's, but contains a placeholder");
            Err(Rejection::new(RejectCode::PlaceholderOutsideUserTurn, detail))
        }
    }
}

/// The placeholders to add before the first question, once it is certain that the others are right.
fn count_missing(
    turns: &[SlottedTurn<'_>],
    media: &Shown<'_>,
    placement: Placement,
) -> Result<Vec<MediaKind>, Rejection> {
    let count =
        |kind| turns.iter().flat_map(|turn| &turn.slots).filter(|slot| slot.kind_of_next() == Some(kind)).count();
    let (num_images, num_videos) = (count(MediaKind::Image), count(MediaKind::Video));
    let mismatch = || {
        let detail = match (plural(media.images.len(), "image"), plural(media.videos.len(), "video")) {
            (_, videos) if media.are_videos_images && num_videos > 0 => {
                format!(
                    "{num_videos} <image> for {videos}: where a record has videos only, each <image> shows one of them"
                )
            }
            (images, videos) => format!("{num_images} <image> and {num_videos} <video> for {images} and {videos}"),
        };
        Rejection::new(RejectCode::PlaceholderMismatch, detail)
    };
    let missing_images = media.images.len().checked_sub(num_images).ok_or_else(mismatch)?;
    let missing_videos = media.videos.len().checked_sub(num_videos).ok_or_else(mismatch)?;
    if missing_images + missing_videos > 0 && placement.missing == MissingPlaceholders::Reject {
        let is_unplaced = num_images + num_videos == 0;
        let is_normal = match placement.unplaced {
            Unplaced::IsMismatch => false,
            Unplaced::OneComesFirst => is_unplaced && media.images.len() + media.videos.len() == 1,
            Unplaced::AllComeFirst => is_unplaced,
        };
        if !is_normal {
            return Err(mismatch());
        }
    }
    let images = std::iter::repeat_n(MediaKind::Image, missing_images);
    Ok(images.chain(std::iter::repeat_n(MediaKind::Video, missing_videos)).collect())
}

fn plural(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Puts a medium into every slot. Media without a slot come last, where the record's own check finds them.
fn fill(turns: Vec<SlottedTurn<'_>>, shown: Shown<'_>) -> Result<(Vec<Turn>, Vec<MediaRef>), Rejection> {
    let Shown { mut images, mut videos, .. } = shown;
    let mut placed: Vec<MediaRef> = Vec::with_capacity(images.len() + videos.len());
    let mut filled = Vec::with_capacity(turns.len());
    for turn in turns {
        let mut parts: Vec<Part> = Vec::with_capacity(turn.slots.len());
        for slot in turn.slots {
            let medium = match (slot, parts.last_mut()) {
                (Slot::Text(text), Some(Part::Text(before))) => {
                    before.push_str(text);
                    continue;
                }
                (Slot::Text(text), _) => {
                    parts.push(Part::Text(text.to_owned()));
                    continue;
                }
                (Slot::Own(medium), _) => Some(medium),
                (Slot::Next(MediaKind::Image) | Slot::Numbered(MediaKind::Image, _), _) => images.pop_front(),
                (Slot::Next(MediaKind::Video) | Slot::Numbered(MediaKind::Video, _), _) => videos.pop_front(),
            };
            let medium = medium.ok_or_else(|| {
                Rejection::new(RejectCode::PlaceholderMismatch, "a placeholder is left without an image or video")
            })?;
            let kind = match medium.kind {
                MediaKind::Image => VisualKind::Image,
                MediaKind::Video => VisualKind::Video,
            };
            parts.push(Part::Visual(Visual { kind, media: placed.len() }));
            placed.push(medium.clone());
        }
        filled.push(Turn { role: turn.role, parts });
    }
    placed.extend(images.into_iter().chain(videos).cloned());
    Ok((filled, placed))
}
