//! Questions about needles in haystacks: what a sample of an evaluation set asks, and where its answer is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked about needles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeedleTask {
    /// V-NIAH (LongVA, LongVILA): one image in a video, at each depth, and the question about it.
    VNiah,
    /// VNBench: a text is written on a frame of a video, and the question is about it.
    RetrievalEdit,
    /// VNBench: an image is put into a video, and the question is about it.
    RetrievalInsert,
    /// An image and a text are in a video, and the question is about one of them.
    RetrievalBoth,
    /// VNBench: the order of texts that are written on frames.
    OrderingEdit,
    /// VNBench: the order of images that are put into a video.
    OrderingInsert,
    /// The order of texts and images.
    OrderingBoth,
    /// VNBench: how often a text is written on a frame.
    CountingEdit,
    /// VNBench: how often an image is put into a video.
    CountingInsert,
    /// How often a text is written and an image is put in, together.
    CountingBoth,
    /// VNBench, its second counting by editing: how often an image is on a few frames, small, up to four times on each.
    CountingPaste,
    /// Which of many images shows the needle, at each depth.
    ImageRetrieval,
    /// In which order needles are among many images.
    ImageOrdering,
    /// How often a needle is among many images.
    ImageCounting,
}

impl NeedleTask {
    /// Every task, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::VNiah,
        Self::RetrievalEdit,
        Self::RetrievalInsert,
        Self::RetrievalBoth,
        Self::OrderingEdit,
        Self::OrderingInsert,
        Self::OrderingBoth,
        Self::CountingEdit,
        Self::CountingInsert,
        Self::CountingBoth,
        Self::CountingPaste,
        Self::ImageRetrieval,
        Self::ImageOrdering,
        Self::ImageCounting,
    ];

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VNiah => "v_niah",
            Self::RetrievalEdit => "retrieval_edit",
            Self::RetrievalInsert => "retrieval_insert",
            Self::RetrievalBoth => "retrieval_both",
            Self::OrderingEdit => "ordering_edit",
            Self::OrderingInsert => "ordering_insert",
            Self::OrderingBoth => "ordering_both",
            Self::CountingEdit => "counting_edit",
            Self::CountingInsert => "counting_insert",
            Self::CountingBoth => "counting_both",
            Self::CountingPaste => "counting_paste",
            Self::ImageRetrieval => "image_retrieval",
            Self::ImageOrdering => "image_ordering",
            Self::ImageCounting => "image_counting",
        }
    }

    /// Whether the haystack is many images, and not the frames of a video.
    pub fn is_of_images(self) -> bool {
        matches!(self, Self::ImageRetrieval | Self::ImageOrdering | Self::ImageCounting)
    }

    /// Whether the order of needles is asked for, in which options list their names.
    pub fn is_about_order(self) -> bool {
        matches!(self, Self::OrderingEdit | Self::OrderingInsert | Self::OrderingBoth | Self::ImageOrdering)
    }

    /// Whether there is one needle, at a depth that is asked for; the others are at several places.
    pub fn has_depth(self) -> bool {
        matches!(self, Self::VNiah | Self::ImageRetrieval)
    }
}

/// What a sample asks, and what is known of the right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleQuestion {
    /// What is asked.
    pub task: NeedleTask,
    /// Number of frames or images of the haystack: with `depth`, a cell of the grid.
    pub length: u32,
    /// How deep in the haystack the needle is, in thousandths of `length`; null if needles are at several places.
    pub depth: Option<u32>,
    /// Position of the needle among the frames or images that are shown, from 0, of a clip that of its first frame; null where `depth`
    /// is.
    pub index: Option<u32>,
    /// Number of frames or images that are shown: `length`, and those that are inserted.
    pub num_shown: u32,
    /// The needles, and where each is.
    pub needles: Vec<PlacedNeedle>,
    /// 16 hexadecimal digits: equal for the same haystack, whatever the needles.
    pub haystack: String,
    /// 16 hexadecimal digits: equal if the same frames or images are shown, so that prompts are equal up to the question.
    pub visuals: String,
    /// 16 hexadecimal digits: equal for one question whose options are permuted. It counts as answered if all of them are.
    pub group: String,
    /// Which permutation of its group it is: its option `i` is the option `(i + permutation) mod k` of the first.
    pub permutation: u32,
    /// Number of permutations of its group.
    pub num_permutations: u32,
    /// The question, without options and instructions.
    pub question: String,
    /// The options in the order in which they are shown; none if the answer is free.
    pub options: Vec<NeedleOption>,
    /// The answer as the sample has it: the letter of the right option, or the free answer.
    pub answer: String,
    /// The text of the right option, or the free answer.
    pub answer_text: String,
}

/// An option of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleOption {
    /// `A`, `B` and so on.
    pub letter: String,
    /// What it says.
    pub text: String,
}

/// A needle in a haystack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlacedNeedle {
    /// What it is called in questions.
    pub name: String,
    /// What it is.
    pub kind: NeedleKind,
    /// Its positions among the frames or images that are shown, from 0, ascending; of a clip, those of all of its frames.
    pub indices: Vec<u32>,
    /// Number of frames, one after the other, that a clip takes each time it is shown; absent of images and texts, which take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_frames: Option<u32>,
    /// How often it is on each of the frames at `indices`, if it is small and put on frames; absent if it is the frame, or written on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Vec<u32>>,
}

/// What a needle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeedleKind {
    /// An image.
    Image,
    /// A text on a frame.
    Text,
    /// A short part of a video.
    Clip,
}
