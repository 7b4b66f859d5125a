//! Samples of several files with one name, such as `1.jpg` and `1.txt`: in a tar, or in a directory.
//!
//! | files | become |
//! |---|---|
//! | `1.json` | its fields; with anything else than an object in it, the field `json` |
//! | `1.txt`, `1.text`, `1.caption` | a field of that name |
//! | `1.question.txt` | the field `question` |
//! | `1.jpg`, `1.0.png` …, `1.mp4` … | `image` or `images`, `video` or `videos`, in their order, or in that of the JSON if it has their names; names that it has for as many are left out |
//! | `1.wav` … | `audio`, so that the record is rejected |
//! | others, such as `1.cls` | nothing |
//!
//! In a tar, several images or videos have numbers, or names in the JSON, or reject the sample: `1.jpg` beside `1.mask.png`.
//! Two files that have a field, with different values, reject the sample, and so does one with zeros in place of text.

use std::collections::BTreeMap;

use manyframe_core::{MediaKind, RejectCode, Rejection};
use serde_json::value::RawValue;

use crate::fields::kind_of_path;
use crate::json;
use crate::reject::unexpected_schema;

/// The field with what the files of a sample share of their names.
const KEY: &str = "__key__";

/// What a file of a sample is, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SamplePart<'n> {
    Json,
    /// Text, and the field that it becomes.
    Text(&'n str),
    Medium(MediaKind),
    Audio,
    Other,
}

impl<'n> SamplePart<'n> {
    /// The part with this ending: all of its name behind the first dot.
    pub(crate) fn of_ending(ending: &'n str) -> Self {
        let (before, last) = ending.rsplit_once('.').unwrap_or(("", ending));
        match last.to_ascii_lowercase().as_str() {
            "json" if before.is_empty() => Self::Json,
            "txt" if !before.is_empty() => Self::Text(before),
            "txt" if before.is_empty() => Self::Text("txt"),
            "text" if before.is_empty() => Self::Text("text"),
            "caption" if before.is_empty() => Self::Text("caption"),
            "wav" | "mp3" | "flac" | "ogg" | "opus" | "m4a" => Self::Audio,
            last => kind_of_path(&format!("x.{last}")).map_or(Self::Other, Self::Medium),
        }
    }
}

/// The media of a sample, of one kind.
#[derive(Debug, Default)]
pub(crate) struct NamedMedia {
    /// The field that they are in.
    pub(crate) field: &'static str,
    /// Their names in the JSON, if it has as many.
    pub(crate) names: Vec<String>,
}

/// A sample while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    fields: BTreeMap<String, Box<RawValue>>,
    images: Vec<String>,
    videos: Vec<String>,
}

impl Sample {
    /// A sample of this name.
    pub(crate) fn new(key: &str) -> Result<Self, Rejection> {
        let mut sample = Self::default();
        sample.set(KEY, serde_json::Value::from(key).to_string())?;
        Ok(sample)
    }

    /// What is kept of a sample that cannot be read: its name, as the sample itself would have it.
    pub(crate) fn head_of(key: &str) -> Vec<u8> {
        serde_json::json!({ KEY: key }).to_string().into_bytes()
    }

    fn set(&mut self, name: &str, json: String) -> Result<(), Rejection> {
        let value = RawValue::from_string(json).map_err(|error| malformed(format!("not valid JSON: {error}")))?;
        self.add_field(name.to_owned(), value)
    }

    /// Adds a field, which other files of the sample do not have; or have with this value.
    fn add_field(&mut self, name: String, value: Box<RawValue>) -> Result<(), Rejection> {
        // Texts are compared without white space at their end, which files of texts have.
        let parsed = |value: &RawValue| match serde_json::from_str(value.get()) {
            Ok(serde_json::Value::String(text)) => Some(serde_json::Value::from(text.trim_end())),
            parsed => parsed.ok(),
        };
        match self.fields.get(&name) {
            Some(known) if known.get() != value.get() && parsed(known) != parsed(&value) => {
                Err(unexpected_schema(format!("two files of the sample have {name:?}, and say different things")))
            }
            _ => {
                self.fields.insert(name, value);
                Ok(())
            }
        }
    }

    /// Adds the contents of a file that is text or JSON.
    pub(crate) fn add_content(&mut self, part: SamplePart<'_>, content: Vec<u8>) -> Result<(), Rejection> {
        if has_zeros(&content) {
            return Err(malformed("a file of it has zeros in place of text".to_owned()));
        }
        let text = String::from_utf8(content)
            .map_err(|error| malformed(format!("a file of it is not valid UTF-8: {error}")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        match part {
            SamplePart::Json => match serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text) {
                Ok(fields) => {
                    let mut fields = fields.into_iter().filter(|(name, _)| name != KEY);
                    fields.try_for_each(|(name, value)| self.add_field(name, value))
                }
                Err(_) => self.set("json", text.trim().to_owned()),
            },
            SamplePart::Text(name) => self.set(name, serde_json::Value::from(text.trim_end()).to_string()),
            SamplePart::Audio => self.set("audio", "true".to_owned()),
            SamplePart::Medium(_) | SamplePart::Other => Ok(()),
        }
    }

    /// Adds a medium: its path as JSON, or `true` for bytes in the container.
    pub(crate) fn add_medium(&mut self, kind: MediaKind, json: String) {
        match kind {
            MediaKind::Image => self.images.push(json),
            MediaKind::Video => self.videos.push(json),
        }
    }

    /// The text of the JSON object, and what it says of its images and of its videos.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, [NamedMedia; 2]), Rejection> {
        let (images, videos) = (std::mem::take(&mut self.images), std::mem::take(&mut self.videos));
        let images = self.set_media(["image", "images"], &images)?;
        let videos = self.set_media(["video", "videos"], &videos)?;
        let text = serde_json::to_vec(&self.fields).map_err(|error| malformed(error.to_string()))?;
        Ok((text, [images, videos]))
    }

    fn set_media(&mut self, [one, several]: [&'static str; 2], media: &[String]) -> Result<NamedMedia, Rejection> {
        if media.is_empty() {
            return Ok(NamedMedia { field: one, names: Vec::new() });
        }
        let mut names = Vec::new();
        let mut names_as_many = |value: &RawValue| match serde_json::from_str(value.get()) {
            Ok(serde_json::Value::Array(stated)) if stated.len() == media.len() => {
                names = stated.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
                true
            }
            Ok(serde_json::Value::Array(_)) | Err(_) => false,
            Ok(serde_json::Value::Null) => true,
            Ok(_) => media.len() == 1,
        };
        self.fields.retain(|name, value| !([one, several].contains(&name.as_str()) && names_as_many(value)));
        // Beside a field with other media it is the second one, which rejects the record.
        let (field, json) = match media {
            [medium] if !self.fields.contains_key(one) => (one, medium.clone()),
            media => (several, format!("[{}]", media.join(","))),
        };
        self.set(field, json)?;
        Ok(NamedMedia { field, names })
    }
}

/// Whether a file was not written to its end, as by a crash: zeros are no text, and nor is UTF-16.
fn has_zeros(content: &[u8]) -> bool {
    json::unwritten(content).is_some() || content.trim_ascii_end().ends_with(&[0])
}

fn malformed(detail: String) -> Rejection {
    Rejection::new(RejectCode::MalformedRecord, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(files: &[(&str, &str)]) -> String {
        try_sample(files).unwrap()
    }

    fn try_sample(files: &[(&str, &str)]) -> Result<String, Rejection> {
        let mut sample = Sample::new("1").unwrap();
        for (ending, content) in files {
            match SamplePart::of_ending(ending) {
                SamplePart::Medium(kind) => sample.add_medium(kind, "true".to_owned()),
                part => sample.add_content(part, content.as_bytes().to_vec())?,
            }
        }
        Ok(String::from_utf8(sample.finish()?.0).unwrap())
    }

    #[test]
    fn an_image_that_cannot_be_decoded_is_one_nevertheless() {
        for ending in ["avif", "heic", "0.JXL", "ppm"] {
            assert!(sample(&[(ending, ""), ("text", "A cat.")]).contains(r#""image":true"#), "{ending}");
        }
        assert!(!sample(&[("cls", "7"), ("text", "A cat.")]).contains("image"));
    }

    #[test]
    fn two_files_with_a_field_say_the_same_or_are_no_sample() {
        let json = r#"{"caption":"A b\u00e9ach."}"#;
        for files in [[("caption", "A béach.\n"), ("json", json)], [("json", json), ("caption", "A béach.")]] {
            assert_eq!(sample(&files).matches("caption").count(), 1);
        }
        for files in [
            &[("caption", "A cat."), ("json", json)][..],
            &[("json", json), ("caption", "A cat.")],
            &[("txt", "a"), ("txt", "b")],
            &[("0.jpg", ""), ("1.jpg", ""), ("json", r#"{"images":["a.jpg","b.jpg","c.jpg"]}"#)],
        ] {
            let rejection = try_sample(files).unwrap_err();
            assert_eq!(rejection.code, RejectCode::UnexpectedSchema, "{files:?}");
            assert!(rejection.detail.starts_with("two files of the sample have "), "{}", rejection.detail);
        }
    }

    #[test]
    fn zeros_in_place_of_text_are_no_sample() {
        let zeros = "\0".repeat(4000);
        for content in [&zeros[..20], &format!("a caption{zeros}"), &format!("a{zeros}b"), "\0", "A\0 \0c\0\n\0"] {
            for ending in ["txt", "caption", "json"] {
                let rejection = try_sample(&[("jpg", ""), (ending, content)]).unwrap_err();
                assert_eq!(rejection.detail, "a file of it has zeros in place of text", "{ending} {content:?}");
            }
        }
        assert_eq!(sample(&[("txt", "a\0b")]), r#"{"__key__":"1","txt":"a\u0000b"}"#, "as in a CSV");
    }

    #[test]
    fn files_become_fields() {
        assert_eq!(
            sample(&[("jpg", ""), ("TXT", "A beach.\n"), ("cls", "3")]),
            r#"{"__key__":"1","image":true,"txt":"A beach."}"#
        );
        assert_eq!(
            sample(&[("0.jpg", ""), ("1.PNG", ""), ("question.txt", "q"), ("answer.txt", "a")]),
            r#"{"__key__":"1","answer":"a","images":[true,true],"question":"q"}"#
        );
        assert_eq!(
            sample(&[("json", r#"{"n":12345678901234567890123}"#)]),
            r#"{"__key__":"1","n":12345678901234567890123}"#
        );
        assert_eq!(sample(&[("json", "[1]")]), r#"{"__key__":"1","json":[1]}"#);
    }

    #[test]
    fn names_of_the_media_themselves_are_left_out_and_others_stay() {
        for names in [r#"{"image":"a/b.jpg"}"#, r#"{"images":["a/b.jpg"]}"#, r#"{"image":null}"#] {
            assert_eq!(sample(&[("jpg", ""), ("json", names)]), r#"{"__key__":"1","image":true}"#);
        }
        let others = sample(&[("jpg", ""), ("json", r#"{"image":["a.jpg","b.jpg"]}"#)]);
        assert_eq!(others, r#"{"__key__":"1","image":["a.jpg","b.jpg"],"images":[true]}"#);
    }
}
