//! Needles as an annotation file lists them.
//!
//! ```json
//! {"name": "a red apple", "image": "needles/apple.png", "question": "Which fruit is on the plate?", "answer": "an apple",
//!  "wrong": ["a pear", "a plum", "a fig"]}
//! {"name": "a dive", "clip": "needles/dive.mp4", "start_s": 12.5, "num_frames": 4, "question": …}
//! {"name": "SAKURA", "text": "The secret word is SAKURA", "question": "What is the secret word?", "answer": "SAKURA", "wrong": […]}
//! ```

use manyframe_core::{NeedleClip, NeedleKind};
use serde::Deserialize;

use crate::raw::RawBody;

/// More frames than any clip has that is to be found among others.
const MOST_FRAMES: u32 = 1 << 10;

/// A needle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Needle {
    /// What it is called in questions about order and number.
    pub(crate) name: String,
    pub(crate) shown: Shown,
    /// What is asked about it where it is alone; `None` if it is only ordered and counted.
    pub(crate) asked: Option<Asked>,
}

/// What is shown of a needle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// The image at a path.
    Image(String),
    /// A text on a frame.
    Text(String),
    /// Frames of a video.
    Clip(NeedleClip),
}

/// The needles that one may be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// What can be put between frames: images and clips.
    Pictures,
    /// What can be one of many images.
    Images,
    /// What can be written on a frame.
    Texts,
}

impl Pool {
    pub(crate) fn has(self, needle: &Needle) -> bool {
        match self {
            Self::Pictures => needle.kind() != NeedleKind::Text,
            Self::Images => needle.kind() == NeedleKind::Image,
            Self::Texts => needle.kind() == NeedleKind::Text,
        }
    }
}

/// A question about one needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) question: String,
    pub(crate) answer: String,
    /// Wrong options.
    pub(crate) wrong: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    image: Option<String>,
    text: Option<String>,
    clip: Option<String>,
    start_s: Option<Number>,
    num_frames: Option<Number>,
    question: Option<String>,
    answer: Option<String>,
    wrong: Option<Wrong>,
}

/// A table has the options in one cell.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wrong {
    List(Vec<String>),
    Text(String),
}

/// CSV has numbers as text, and Parquet whole ones as fractions where other needles have none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Number {
    /// What a cell says; `None` if it is empty.
    fn read(cell: Option<Self>, (name, key): (&str, &str)) -> Result<Option<f64>, String> {
        match cell {
            None => Ok(None),
            Some(Self::Number(number)) => Ok(Some(number)),
            Some(Self::Text(text)) if text.trim().is_empty() => Ok(None),
            Some(Self::Text(text)) => match text.trim().parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("`{key}` of {name:?} is {text:?}, expected a number")),
            },
        }
    }
}

impl Needle {
    /// Reads one. The error says what is wrong.
    pub(crate) fn read(body: &RawBody) -> Result<Self, String> {
        if let RawBody::Broken { rejection, .. } = body {
            return Err(rejection.to_string());
        }
        let row: Row = serde_json::from_slice(&body.text()).map_err(|error| error.to_string())?;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let name = filled(Some(row.name)).ok_or("its name is empty")?;
        let start_s = Number::read(row.start_s, (&name, "start_s"))?;
        let num_frames = Number::read(row.num_frames, (&name, "num_frames"))?;
        let is_of_clip = start_s.is_some() || num_frames.is_some();
        let shown = match (filled(row.image), filled(row.text), filled(row.clip)) {
            (Some(path), None, None) => Shown::Image(path),
            (None, Some(text), None) => Shown::Text(text),
            (None, None, Some(path)) => Shown::Clip(clip(&name, path, (start_s, num_frames))?),
            _ => return Err(format!("{name:?} needs either an image, a text or a clip")),
        };
        if !matches!(shown, Shown::Clip(_)) && is_of_clip {
            return Err(format!("{name:?} has `start_s` or `num_frames` without a clip"));
        }
        let wrong = match row.wrong {
            None => Vec::new(),
            Some(Wrong::List(wrong)) => wrong,
            Some(Wrong::Text(text)) => text.split('|').map(|wrong| wrong.trim().to_owned()).collect(),
        };
        let asked = match (filled(row.question), filled(row.answer)) {
            (Some(question), Some(answer)) => Some(Asked { question, answer, wrong }),
            (None, None) => None,
            _ => return Err(format!("{name:?} has a question without an answer, or an answer without a question")),
        };
        Ok(Self { name, shown, asked })
    }

    pub(crate) fn kind(&self) -> NeedleKind {
        match self.shown {
            Shown::Image(_) => NeedleKind::Image,
            Shown::Text(_) => NeedleKind::Text,
            Shown::Clip(_) => NeedleKind::Clip,
        }
    }

    /// Number of frames that it takes each time it is shown.
    pub(crate) fn num_frames(&self) -> u32 {
        if let Shown::Clip(clip) = &self.shown { clip.num_frames } else { 1 }
    }

    /// Identifies what is shown: the text or the path, of a clip with the place in its video.
    pub(crate) fn shown_key(&self) -> String {
        match &self.shown {
            Shown::Image(shown) | Shown::Text(shown) => shown.clone(),
            Shown::Clip(clip) => format!("{} from {} s", clip.path, clip.start_s),
        }
    }
}

/// How many frames a clip has must be stated, because the places of all others follow from it.
fn clip(name: &str, path: String, (start_s, num_frames): (Option<f64>, Option<f64>)) -> Result<NeedleClip, String> {
    let start_s = start_s.unwrap_or(0.0);
    if !(start_s.is_finite() && start_s >= 0.0) {
        return Err(format!("the clip of {name:?} starts at {start_s} s"));
    }
    match num_frames {
        Some(num_frames) if num_frames.fract() == 0.0 && (1.0..=f64::from(MOST_FRAMES)).contains(&num_frames) => {
            Ok(NeedleClip { path, start_s, num_frames: num_frames as u32 })
        }
        Some(num_frames) => Err(format!(
            "the clip of {name:?} has {num_frames} frames, expected a whole number from 1 to {MOST_FRAMES}"
        )),
        None => Err(format!("the clip of {name:?} needs `num_frames`: how many of its frames are shown")),
    }
}
