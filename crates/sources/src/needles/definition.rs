//! Needles as an annotation file lists them.
//!
//! ```json
//! {"name": "a red apple", "image": "needles/apple.png", "question": "Which fruit is on the plate?", "answer": "an apple",
//!  "wrong": ["a pear", "a plum", "a fig"]}
//! {"name": "SAKURA", "text": "The secret word is SAKURA", "question": "What is the secret word?", "answer": "SAKURA", "wrong": […]}
//! ```

use manyframe_core::NeedleKind;
use serde::Deserialize;

use crate::raw::RawBody;

/// A needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    /// What it is called in questions about order and number.
    pub(crate) name: String,
    pub(crate) kind: NeedleKind,
    /// The path of the image, or the text that is written.
    pub(crate) shown: String,
    /// What is asked about it where it is alone; `None` if it is only ordered and counted.
    pub(crate) asked: Option<Asked>,
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

impl Needle {
    /// Reads one. The error says what is wrong.
    pub(crate) fn read(body: &RawBody) -> Result<Self, String> {
        if let RawBody::Broken { rejection, .. } = body {
            return Err(rejection.to_string());
        }
        let row: Row = serde_json::from_slice(&body.text()).map_err(|error| error.to_string())?;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let name = filled(Some(row.name)).ok_or("its name is empty")?;
        let (kind, shown) = match (filled(row.image), filled(row.text)) {
            (Some(path), None) => (NeedleKind::Image, path),
            (None, Some(text)) => (NeedleKind::Text, text),
            _ => return Err(format!("{name:?} needs either an image or a text")),
        };
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
        Ok(Self { name, kind, shown, asked })
    }
}
