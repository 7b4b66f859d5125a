//! Tries a formatter with records of each kind, before any record is read.

use manyframe_core::{FrameChoice, Part, Rejection, Role, Turn, Visual, VisualShape};

use crate::formatter::Formatter;
use crate::template::special_markers;

/// What a formatter makes of records of each kind.
#[derive(Debug)]
pub struct TryOut {
    /// A conversation of texts, with two questions and answers.
    pub conversation: Result<(), Rejection>,
    /// The same with a system turn.
    pub system: Result<(), Rejection>,
    /// The same with an image.
    pub image: Result<(), Rejection>,
    /// The same with a video. `None` if the model family reads none.
    pub video: Option<Result<(), Rejection>>,
    /// A document.
    pub document: Result<(), Rejection>,
    /// Whether what ends an answer is trained, so that a model learns to end.
    pub trains_ends: bool,
    /// What looks like a special token in the template, but is not one of the tokenizer's.
    pub unknown_markers: Vec<String>,
    /// What looks like a special token in the text written for visuals, but is not one of the tokenizer's. Empty for families
    /// whose published checkpoints read it as text.
    pub unknown_media_tokens: Vec<String>,
}

const ROUNDS: [Role; 4] = [Role::User, Role::Assistant, Role::User, Role::Assistant];
const SIZE_PX: (u32, u32) = (640, 480);
const NUM_FRAMES: u32 = 64;
const FPS: f64 = 8.0;

impl Formatter {
    /// Formats a record of each kind.
    pub fn try_out(&self) -> TryOut {
        let image = VisualShape::Image { size_px: SIZE_PX };
        let video = self.video_shape();
        let unknown = |markers: Vec<String>| markers.into_iter().filter(|marker| !self.is_one_token(marker)).collect();
        let is_text = self.family().constant().is_some();
        let shown = [Some(&image).filter(|_| !is_text), video.as_ref().filter(|_| !is_text)];
        let markups: Vec<String> = shown.into_iter().flatten().filter_map(|shape| self.markup(shape)).collect();
        TryOut {
            conversation: self.try_turns(&ROUNDS, &[]),
            system: self.try_turns(&[&[Role::System], &ROUNDS[..]].concat(), &[]),
            image: self.try_turns(&ROUNDS, &[image]),
            video: video.map(|shape| self.try_turns(&ROUNDS, &[shape])),
            document: self.try_turns(&[Role::Assistant], &[]),
            trains_ends: self.trains_ends(),
            unknown_markers: unknown(self.special_markers()),
            unknown_media_tokens: unknown(special_markers(markups.iter().map(String::as_str))),
        }
    }

    /// A video as the family's processor takes it, if it takes any.
    fn video_shape(&self) -> Option<VisualShape> {
        let frames = if self.family().constant().is_some() {
            FrameChoice::unknown(NUM_FRAMES as usize)
        } else {
            let whole = FrameChoice { num_frames: NUM_FRAMES, fps: FPS, taken: Vec::new() };
            FrameChoice { taken: self.frames_by_law(SIZE_PX, &whole).ok()?, ..whole }
        };
        Some(VisualShape::Video { size_px: SIZE_PX, frames })
    }

    fn markup(&self, shape: &VisualShape) -> Option<String> {
        let mut text = String::new();
        self.resolve(std::slice::from_ref(shape)).ok()?.first()?.plan.write(&mut text);
        Some(text)
    }

    /// Formats a record with these roles, whose first turn shows these visuals.
    fn try_turns(&self, roles: &[Role], shapes: &[VisualShape]) -> Result<(), Rejection> {
        let visual = |(media, shape): (usize, &VisualShape)| Part::Visual(Visual { kind: shape.kind(), media });
        let visuals = shapes.iter().enumerate().map(visual);
        let turn = |(index, &role): (usize, &Role)| {
            let shown = visuals.clone().filter(|_| index == 0);
            Turn { role, parts: shown.chain([Part::Text("Text.".to_owned())]).collect() }
        };
        let turns: Vec<Turn> = roles.iter().enumerate().map(turn).collect();
        self.format(&turns, &self.resolve(shapes)?).map(drop)
    }
}
