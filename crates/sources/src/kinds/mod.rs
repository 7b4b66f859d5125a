//! The kinds of sources: one file per upstream dataset, which knows its fields and what they mean.
//!
//! A reader makes a draft from the fields of a record. What datasets share (shapes of conversations, placement of
//! visuals, checks) is outside this directory.
//!
//! **To add a dataset:** a file here with a `READER`, its `mod`, and its line in the list below. The pipeline schema
//! follows.

mod allava;
mod auto;
mod llava;
mod llava_video;
mod m4_instruct;
mod mantis;
mod names;
mod needles;
mod sharegpt4v;
mod sharegpt4video;
mod text;
mod videochat2;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::{OptionProblem, SourceOptions};
use crate::reader::KindReader;

macro_rules! source_kinds {
    ($($(#[$doc:meta])* $name:ident = $module:ident,)*) => {
        /// Which reader parses a dataset. The text form is the `kind` of a pipeline file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum SourceKind { $($(#[$doc])* $name,)* }

        impl SourceKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text form.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($module),)* }
            }

            /// The reader of its records.
            pub(crate) fn reader(self) -> &'static KindReader {
                match self { $(Self::$name => &$module::READER,)* }
            }
        }
    };
}

// NAME = FILE, which is also the text form.
source_kinds! {
    /// ALLaVA-4V: captions, instructions and text; one image per record.
    Allava = allava,
    /// ShareGPT4V: captions; one image per record, its placeholder often last.
    Sharegpt4v = sharegpt4v,
    /// LLaVA-1.5 mix, LLaVA-Pretrain, LLaVA-NeXT, and other files in LLaVA's format.
    Llava = llava,
    /// Mantis-Instruct: several images anywhere in the conversation.
    Mantis = mantis,
    /// VideoChat2-IT: questions and answers about a video or image, without placeholders and ids.
    Videochat2 = videochat2,
    /// ShareGPT4Video: captions of videos, and the mix in LLaVA's format.
    Sharegpt4video = sharegpt4video,
    /// LLaVA-Video-178K and the LongVILA set: conversations about a video.
    LlavaVideo = llava_video,
    /// M4-Instruct: interleaved images of many datasets.
    M4Instruct = m4_instruct,
    /// Conversations without any image or video, in every commonly used shape; and documents.
    Text = text,
    /// Your own data: the fields of each record decide how it is read. Conversations, questions and answers, captions, documents.
    Auto = auto,
    /// Evaluation sets that are made here: questions about needles, which are the annotations, in videos or among images.
    Needles = needles,
}

impl SourceKind {
    /// Every problem with options for this kind: values out of range, and options that are set although the kind does
    /// not read them. Empty if they can be used.
    pub fn option_problems(self, options: &SourceOptions) -> Vec<OptionProblem> {
        let mut problems = options.value_problems();
        for option in options.set_options() {
            let readers: Vec<_> = Self::ALL.iter().filter(|kind| kind.reader().own_options.contains(&option)).collect();
            if !readers.is_empty() && !readers.contains(&&self) {
                let readers: Vec<_> = readers.iter().map(|kind| format!("{:?}", kind.as_str())).collect();
                let problem = format!("is not read by kind {:?}, only by {}", self.as_str(), readers.join(", "));
                problems.push(OptionProblem { option, problem });
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_a_kind_is_its_serialized_form() {
        for &kind in SourceKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.as_str()));
        }
    }

    #[test]
    fn every_kind_accepts_the_defaults() {
        for &kind in SourceKind::ALL {
            assert_eq!(kind.option_problems(&SourceOptions::default()), []);
        }
    }

    #[test]
    fn readers_name_options_that_exist() {
        let needles = Some(crate::needles::NeedleOptions::default());
        let options = serde_json::to_value(SourceOptions { needles, ..SourceOptions::default() }).unwrap();
        for option in SourceKind::ALL.iter().flat_map(|kind| kind.reader().own_options) {
            assert!(options.get(option).is_some(), "{option}");
        }
    }

    #[test]
    fn all_problems_are_named_together() {
        let options = SourceOptions {
            fps: Some(f64::NAN),
            artefacts: vec!["x".into(), "x".into()],
            questions: vec![" ".into()],
            ..SourceOptions::default()
        };
        let named: Vec<_> = SourceKind::Llava.option_problems(&options).iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "option \"fps\" is NaN, expected a number above 0",
                "option \"questions\" has an empty text",
                "option \"artefacts\" has the same text twice",
                "option \"questions\" is not read by kind \"llava\", only by \"sharegpt4video\", \"auto\"",
            ]
        );
    }
}
