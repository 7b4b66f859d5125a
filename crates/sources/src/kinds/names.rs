//! The names of fields that the readers know, for the option `fields`.

use crate::condition::Condition;
use crate::conversation::{ANSWERS, LISTS, QUESTIONS};
use crate::fields::{FILES, IMAGES, VIDEOS};
use crate::kinds::SourceKind;
use crate::options::SourceOptions;
use crate::question::CAPTIONS;

/// Names besides those of media, texts and ids.
const OTHERS: &[&str] = &[
    "QA",
    "texts",
    "text_list",
    "image_info",
    "history",
    "system",
    "system_prompt",
    "input",
    "options",
    "choices",
    "start",
    "end",
    "start_time",
    "end_time",
    "fps",
    "source",
    "data_source",
    "metadata",
    "meta",
];

impl SourceKind {
    /// The names of fields that are read of records of this kind or of others, best known first.
    pub fn field_names(self) -> impl Iterator<Item = &'static str> {
        let of_all = [IMAGES, VIDEOS, FILES, LISTS, QUESTIONS, ANSWERS, CAPTIONS, OTHERS];
        of_all.into_iter().chain([self.reader().ids]).flatten().copied()
    }

    /// The names on the left of the option `fields` that nothing reads: no reader, and not the option `where`.
    pub fn unread_fields(self, options: &SourceOptions) -> Vec<&str> {
        let condition = options.condition();
        let compared = condition.as_ref().map(Condition::fields).unwrap_or_default();
        let is_compared = |name: &str| {
            compared.iter().any(|field| {
                field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        let is_read = |name: &str| {
            let names_files = name.ends_with("_file_name") || name.ends_with("_file_names");
            names_files || self.field_names().any(|known| known == name) || is_compared(name)
        };
        options.fields.keys().map(String::as_str).filter(|name| !name.is_empty() && !is_read(name)).collect()
    }
}
