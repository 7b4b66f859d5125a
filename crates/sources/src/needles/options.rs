//! The table `[source.needles]`.

use std::collections::BTreeSet;

use manyframe_core::NeedleTask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an evaluation set is made of, besides its needles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NeedleOptions {
    /// Videos, or directories of frames, in which needles are hidden: paths below `media`. In one with a wildcard, such as `films/*.mp4`, all
    /// files that match below directories of `media`, in order. A question has one of them, and the next ones after it, as far as
    /// there are frames needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub haystacks: Vec<String>,
    /// Images among which needles are hidden by the tasks that begin with `image_`: paths below `media`, as in `haystacks`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Other sources of this file, of any kind: their videos, as far as they are files, also those of a dataset, or directories of frames, are haystacks,
    /// too. Of a record about a part of a video, that part. `take = 0` lets a source deliver no samples of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub haystack_sources: Vec<String>,
    /// Other sources of this file, of any kind, whose images are among `images`, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_sources: Vec<String>,
    /// Media that are taken from each of `haystack_sources` and `image_sources`: as many of lowest rank.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = NUM_FROM_SOURCE))]
    #[serde(skip_serializing_if = "is_default_number")]
    pub num_from_source: u32,
    /// What is asked. Default: `["v_niah"]`.
    pub tasks: Vec<NeedleTask>,
    /// Numbers of frames or images of a haystack, without those that are inserted: the columns of the grid.
    pub lengths: Vec<u32>,
    /// Where needles are, in thousandths of the length: the rows of the grid. The needle is at `floor(depth × length ÷ 1000)`, or at
    /// the last place. Default: 0, 250, 500, 750 and 1000.
    pub depths: Vec<u32>,
    /// Questions in each cell of the grid; of tasks whose needles are at several places, questions of each length. Default: 1.
    #[schemars(range(min = 1, max = 100_000))]
    pub questions_per_cell: u32,
    /// Seconds from one frame of a haystack to the next. Default: 1.
    #[schemars(range(min = 0.001))]
    pub interval_s: f64,
    /// Whether images are shown besides all frames, or in place of some. Default: `insert`.
    pub place: NeedlePlace,
    /// Number of options of a question; 0 asks for a free answer. Default: 4.
    #[schemars(range(min = 0, max = 26))]
    pub num_options: u32,
    /// In how many orders the options of a question are shown, each as a sample. Default: `circular`.
    pub permutations: Permutations,
    /// Number of needles whose order is asked for, and the largest number that is to be counted: at least as many as a question about
    /// numbers has options. Default: 4.
    #[schemars(range(min = 2, max = 64))]
    pub num_needles: u32,
    /// An image is no needle in a haystack with a frame from which it differs in at most so many of 64 bits of a perceptual hash:
    /// such questions are rejected as `needle_in_haystack`. Default: 10.
    #[schemars(range(min = 0, max = 64))]
    pub max_distance: u32,
    /// What happens if the length of options tells the right one. Default: `refuse`.
    pub unequal_options: UnequalOptions,
    /// Decides which needles and haystacks are together, where several needles are, and which option is first. Default: 0.
    pub seed: u64,
}

/// Where the images of needles are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeedlePlace {
    /// Between frames: of a haystack of N frames and one needle, N + 1 are shown.
    #[default]
    Insert,
    /// In place of frames: N are shown.
    Replace,
}

/// In how many orders options are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permutations {
    /// As many as there are options: each is the one before with its first option moved to the end, so that the right one is once at each place.
    #[default]
    Circular,
    /// One.
    One,
}

/// What happens if the length of options tells the right one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnequalOptions {
    /// It is an error.
    #[default]
    Refuse,
    /// Nothing.
    Allow,
}

/// Media that are taken from another source by default.
const NUM_FROM_SOURCE: u32 = 1000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_default_number(number: &u32) -> bool {
    *number == NUM_FROM_SOURCE
}

impl Default for NeedleOptions {
    fn default() -> Self {
        Self {
            haystacks: Vec::new(),
            images: Vec::new(),
            haystack_sources: Vec::new(),
            image_sources: Vec::new(),
            num_from_source: NUM_FROM_SOURCE,
            tasks: vec![NeedleTask::VNiah],
            lengths: Vec::new(),
            depths: vec![0, 250, 500, 750, 1000],
            questions_per_cell: 1,
            interval_s: 1.0,
            place: NeedlePlace::default(),
            num_options: 4,
            permutations: Permutations::default(),
            num_needles: 4,
            max_distance: 10,
            unequal_options: UnequalOptions::default(),
            seed: 0,
        }
    }
}

impl NeedleOptions {
    /// What cannot be, each to be read after the name of the table. Empty if a set can be made.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut problem = |is_broken: bool, text: &str| problems.extend(is_broken.then(|| text.to_owned()));
        let (of_images, of_videos): (Vec<&NeedleTask>, Vec<&NeedleTask>) =
            self.tasks.iter().partition(|task| task.is_of_images());
        problem(self.tasks.is_empty(), "has no tasks");
        problem(
            !of_videos.is_empty() && self.haystacks.is_empty() && self.haystack_sources.is_empty(),
            "has no haystacks: videos in which needles are hidden",
        );
        problem(
            !of_images.is_empty() && self.images.is_empty() && self.image_sources.is_empty(),
            "has no images among which needles are hidden",
        );
        problem(
            !(1..=1_000_000).contains(&self.num_from_source),
            "takes 0 media from each source, or more than a million",
        );
        problem(self.lengths.is_empty(), "has no lengths: numbers of frames, such as [64, 128]");
        problem(self.lengths.contains(&0), "has a length of 0 frames");
        problem(self.lengths.iter().any(|&length| length > 1 << 16), "has a length of more than 65536 frames");
        problem(self.depths.is_empty(), "has no depths: thousandths, such as [0, 500, 1000]");
        problem(self.depths.iter().any(|&depth| depth > 1000), "has a depth of more than 1000 thousandths");
        problem(!(1..=100_000).contains(&self.questions_per_cell), "has no questions per cell, or more than 100000");
        problem(self.max_distance > 64, "has a max_distance of more than 64 bits");
        problem(!(self.interval_s.is_finite() && self.interval_s > 0.0), "has an interval that is not above 0");
        problem(self.num_options == 1 || self.num_options > 26, "has 1 option, or more than 26; 0 is a free answer");
        let has_two = |list: &[u32]| list.iter().collect::<BTreeSet<_>>().len() < list.len();
        let has_two_tasks = self.tasks.iter().collect::<BTreeSet<_>>().len() < self.tasks.len();
        problem(!(2..=64).contains(&self.num_needles), "has num_needles that are not from 2 to 64");
        problem(has_two(&self.lengths) || has_two(&self.depths) || has_two_tasks, "has a task, length or depth twice");
        problems.extend(self.few_answers());
        problems
    }

    /// Tasks that do not have as many answers as a question is to have options.
    fn few_answers(&self) -> impl Iterator<Item = String> {
        let num_options = self.num_options;
        let few = move |&task: &NeedleTask| {
            let (num_answers, cure) = self.num_answers(task)?;
            let has_few = num_answers < num_options && num_answers > 0;
            let name = task.as_str();
            has_few.then(|| format!("has num_options = {num_options}, and {name} has {num_answers} answers: {cure}"))
        };
        self.tasks.iter().filter_map(few)
    }

    /// How many answers a task has, and what gives it more. `None` if its needles have the options.
    fn num_answers(&self, task: NeedleTask) -> Option<(u32, &'static str)> {
        use NeedleTask as Task;
        let more_needles = "raise `num_needles`";
        match task {
            Task::VNiah | Task::RetrievalEdit | Task::RetrievalInsert | Task::RetrievalBoth => None,
            Task::OrderingEdit | Task::OrderingInsert | Task::OrderingBoth | Task::ImageOrdering => {
                Some(((1..=self.num_needles).fold(1, u32::saturating_mul), more_needles))
            }
            Task::CountingEdit | Task::CountingInsert | Task::CountingBoth | Task::ImageCounting => {
                Some((self.num_needles, more_needles))
            }
            Task::CountingPaste => Some((self.num_needles.saturating_mul(3).saturating_add(1), more_needles)),
            Task::ImageRetrieval => Some((u32::try_from(self.depths.len()).unwrap_or(u32::MAX), "add `depths`")),
        }
    }

    /// Number of permutations of a question.
    pub(crate) fn num_permutations(&self) -> u32 {
        match self.permutations {
            Permutations::Circular => self.num_options.max(1),
            Permutations::One => 1,
        }
    }
}
