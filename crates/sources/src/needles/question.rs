//! A question: its needles and their places, its options, and the record that is made of it.

use std::ops::RangeInclusive;

use manyframe_core::{ComposedVideo, NeedleOption, NeedleQuestion, NeedleTask};
use serde::Serialize;

use super::chance::Chance;
use super::definition::{Needle, Pool};
use super::grid::{Cell, index_at};
use super::numbers::{other_places, right_and_wrong};
use super::options::{NeedleOptions, NeedlePlace};
use super::scene::{Placed, Scene, short_digest, task_chance};

const CHOOSE: &str = "Answer with the option's letter from the given choices directly.";
/// Quarters of a frame, each of which can have an image.
const QUARTERS: u32 = 4;
/// How often places are drawn until no needle follows itself.
const MOST_DRAWS: u32 = 32;
const ANSWER: &str = "Answer the question using a single word or phrase.";

/// The n-th record, as the text of its JSON object.
#[derive(Serialize)]
struct Row {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<ComposedVideo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<String>>,
    human: String,
    gpt: String,
    needle: NeedleQuestion,
}

/// What makes the questions of a set.
pub(crate) struct Questions<'a> {
    pub(crate) options: &'a NeedleOptions,
    pub(crate) needles: &'a [Needle],
}

/// A question, before its options are in an order.
struct Draft<'a> {
    placed: Vec<Placed<'a>>,
    question: String,
    answer: String,
    wrong: Vec<String>,
}

impl<'a> Questions<'a> {
    /// The record of a cell. The error says what it lacks.
    pub(crate) fn record(&self, cell: &Cell) -> Result<Vec<u8>, String> {
        let key = cell.key();
        let chance = Chance::new(self.options.seed, key.as_str());
        let draft = self.draft(cell, &chance)?;
        let shown = Scene::of(self.options, cell, &draft.placed)?;
        let (options, answer) = self.ordered(cell, &draft, &chance);
        let index = cell.depth.and_then(|_| draft.placed.first()?.starts.first().copied());
        let group = short_digest(&(&key, &shown.visuals, &draft.question, &draft.answer))?;
        let human = prompt(&draft.question, &options);
        let needle = NeedleQuestion {
            task: cell.task,
            length: cell.length,
            depth: cell.depth,
            index,
            num_shown: shown.num_shown,
            needles: draft.placed.iter().map(Placed::described).collect(),
            haystack: shown.haystack,
            visuals: shown.visuals,
            group,
            permutation: cell.permutation,
            num_permutations: self.options.num_permutations(),
            question: draft.question,
            options,
            answer: answer.clone(),
            answer_text: draft.answer,
        };
        let id = format!("{key}/{}", cell.permutation);
        let row = Row { id, video: shown.video, images: shown.images, human, gpt: answer, needle };
        serde_json::to_vec(&row).map_err(|error| error.to_string())
    }

    fn draft(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        use NeedleTask as Task;
        match cell.task {
            Task::VNiah | Task::RetrievalInsert => self.retrieval(cell, chance, &[Pool::Pictures]),
            Task::RetrievalEdit => self.retrieval(cell, chance, &[Pool::Texts]),
            Task::RetrievalBoth => self.retrieval(cell, chance, &[Pool::Pictures, Pool::Texts]),
            Task::OrderingInsert => self.ordering(cell, chance, &[Pool::Pictures]),
            Task::OrderingEdit => self.ordering(cell, chance, &[Pool::Texts]),
            Task::OrderingBoth => self.ordering(cell, chance, &[Pool::Pictures, Pool::Texts]),
            Task::CountingInsert => self.counting(cell, chance, &[Pool::Pictures]),
            Task::CountingEdit => self.counting(cell, chance, &[Pool::Texts]),
            Task::CountingBoth => self.counting(cell, chance, &[Pool::Pictures, Pool::Texts]),
            Task::CountingPaste => self.pasting(cell, chance),
            Task::ImageRetrieval => self.which_image(cell, chance),
            Task::ImageOrdering => self.ordering(cell, chance, &[Pool::Images]),
            Task::ImageCounting => self.counting(cell, chance, &[Pool::Images]),
        }
    }

    /// Needles of a pool, in an order of chance.
    fn of_pool(&self, pool: Pool, chance: &Chance, is_asked: bool) -> Vec<&'a Needle> {
        let found: Vec<&Needle> =
            self.needles.iter().filter(|it| pool.has(it) && (it.asked.is_some() || !is_asked)).collect();
        let order = chance.order("needle", found.len()).into_iter();
        order.filter_map(|number| found.get(number).copied()).collect()
    }

    /// The needle of a question about one. Questions of the same number have the same in all cells, so that cells can be compared.
    fn one(&self, cell: &Cell, pool: Pool, is_asked: bool) -> Result<&'a Needle, String> {
        let found = self.of_pool(pool, &task_chance(self.options, cell), is_asked);
        let chosen = found.get((cell.number as usize).checked_rem(found.len()).unwrap_or(0));
        chosen.copied().ok_or_else(|| format!("{} has no needle", cell.task.as_str()))
    }

    /// Number of frames or images that are shown with these needles, each as often as it is there.
    fn num_shown(&self, cell: &Cell, showings: &[&Needle]) -> u32 {
        let inserted = |needle: &&Needle| match self.options.place {
            NeedlePlace::Insert if Pool::Pictures.has(needle) => needle.num_frames(),
            _ => 0,
        };
        showings.iter().map(inserted).fold(cell.length, u32::saturating_add)
    }

    /// Number of places at which needles can begin: each takes one, its other frames none.
    fn num_places(&self, cell: &Cell, showings: &[&Needle]) -> u32 {
        let others = showings.iter().map(|needle| needle.num_frames() - 1).fold(0, u32::saturating_add);
        self.num_shown(cell, showings).saturating_sub(others)
    }

    /// Where several needles begin, which are in this order. In a video, no needle follows itself: it would seem to be there once, longer.
    fn starts(&self, cell: &Cell, chance: &Chance, showings: &[&Needle]) -> Result<Vec<u32>, String> {
        let (number, below) = (showings.len(), self.num_places(cell, showings));
        let is_same = |pair: &[&Needle]| matches!(pair, [one, other] if one.name == other.name);
        let is_apart = |places: &[u32]| {
            let mut pairs = places.windows(2).zip(showings.windows(2));
            cell.task.is_of_images() || pairs.all(|(places, needles)| !is_same(needles) || !are_neighbours(places))
        };
        let drawn = (0..MOST_DRAWS).map(|draw| {
            let purpose = if draw == 0 { "places".to_owned() } else { format!("places {draw}") };
            chance.places(&purpose, number, below)
        });
        // Where there is hardly any room, the first frames.
        let dense = std::iter::once_with(|| {
            let gaps = showings.windows(2).scan(0, |place, pair| {
                *place += if is_same(pair) { 2 } else { 1 };
                Some(*place)
            });
            [0].into_iter().chain(gaps).filter(|&place| place < below).collect()
        });
        let places = drawn.chain(dense).find(|places| places.len() == number && is_apart(places));
        let places = places.filter(|_| number <= cell.length as usize).ok_or_else(|| {
            format!("{} puts {number} needles into {} frames, apart from each other", cell.task.as_str(), cell.length)
        })?;
        let mut before = 0;
        let starts = places.into_iter().zip(showings).map(|(place, needle)| {
            let start = place + before;
            before += needle.num_frames() - 1;
            start
        });
        Ok(starts.collect())
    }

    /// Where the needle at a depth begins.
    fn start_at(&self, depth: u32, cell: &Cell, showings: &[&Needle]) -> Result<u32, String> {
        match self.num_places(cell, showings) {
            0 => Err(format!("{} puts a clip of more frames into {} frames", cell.task.as_str(), cell.length)),
            num_places => Ok(index_at(depth, cell.length, num_places)),
        }
    }

    fn retrieval(&self, cell: &Cell, chance: &Chance, pools: &[Pool]) -> Result<Draft<'a>, String> {
        let needles = pools.iter().map(|&pool| self.one(cell, pool, true)).collect::<Result<Vec<_>, _>>()?;
        let order = chance.order("order", needles.len());
        let showings: Vec<&'a Needle> = order.into_iter().filter_map(|number| needles.get(number).copied()).collect();
        let starts = match cell.depth {
            Some(depth) => vec![self.start_at(depth, cell, &showings)?],
            None => self.starts(cell, chance, &showings)?,
        };
        let placed = showings.into_iter().zip(starts).map(|(needle, start)| Placed::once(needle, start)).collect();
        let asked = needles.get(chance.number("asked", needles.len() as u32) as usize).and_then(|it| it.asked.as_ref());
        let asked = asked.ok_or("a needle has no question")?;
        let num_wrong = self.options.num_options.saturating_sub(1) as usize;
        let wrong = asked.wrong.iter().take(num_wrong).cloned().collect();
        Ok(Draft { placed, question: asked.question.clone(), answer: asked.answer.clone(), wrong })
    }

    fn ordering(&self, cell: &Cell, chance: &Chance, pools: &[Pool]) -> Result<Draft<'a>, String> {
        // Of two kinds, one more of the first if their number is odd.
        let each = |kind: usize| (self.options.num_needles as usize + pools.len() - 1 - kind) / pools.len();
        let of_kind = |(kind, &pool)| self.of_pool(pool, chance, false).into_iter().take(each(kind));
        let needles: Vec<&Needle> = pools.iter().enumerate().flat_map(of_kind).collect();
        let in_order = |order: &[usize]| -> Vec<&'a Needle> {
            order.iter().filter_map(|&number| needles.get(number).copied()).collect()
        };
        let right = in_order(&chance.order("order", needles.len()));
        let starts = self.starts(cell, chance, &right)?;
        let named = |needles: &[&Needle]| needles.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        let answer = named(&right);
        let mut wrong = Vec::new();
        // Few of so many orders are drawn twice.
        for attempt in 0..10_000 {
            if wrong.len() + 1 >= self.options.num_options as usize {
                break;
            }
            let other = named(&in_order(&chance.order(&format!("wrong {attempt}"), needles.len())));
            if other != answer && !wrong.contains(&other) {
                wrong.push(other);
            }
        }
        let listed = named(&in_order(&chance.order("listed", needles.len())));
        let among = if cell.task.is_of_images() { "among the images" } else { "in the video" };
        let question = format!("In which order do these appear {among}: {listed}?");
        let placed = right.into_iter().zip(starts).map(|(needle, start)| Placed::once(needle, start));
        Ok(Draft { placed: placed.collect(), question, answer, wrong })
    }

    fn counting(&self, cell: &Cell, chance: &Chance, pools: &[Pool]) -> Result<Draft<'a>, String> {
        let needles = pools.iter().map(|&pool| self.one(cell, pool, false)).collect::<Result<Vec<_>, _>>()?;
        let (number, wrong) = self.number(cell, chance, 1..=self.options.num_needles)?;
        // Needles take turns, and each may be the first.
        let first = chance.number("first needle", needles.len() as u32) as usize;
        let turns: Vec<usize> = (first..first + number as usize).map(|turn| turn % needles.len()).collect();
        let order = chance.order("turns", turns.len()).into_iter().filter_map(|turn| turns.get(turn).copied());
        let order: Vec<usize> = order.collect();
        let showings: Vec<&Needle> = order.iter().filter_map(|&number| needles.get(number).copied()).collect();
        let mut placed: Vec<Placed<'a>> =
            needles.iter().map(|&needle| Placed { needle, starts: Vec::new(), quarters: Vec::new() }).collect();
        for (needle, start) in order.into_iter().zip(self.starts(cell, chance, &showings)?) {
            if let Some(needle) = placed.get_mut(needle) {
                needle.starts.push(start);
            }
        }
        placed.retain(|needle| !needle.starts.is_empty());
        let names: Vec<&str> = needles.iter().map(|needle| needle.name.as_str()).collect();
        let question = match (names.as_slice(), pools) {
            ([name], _) if cell.task.is_of_images() => format!("How many of the images show {name}?"),
            ([name], [Pool::Pictures]) => format!("How many times is {name} shown in the video?"),
            ([name], _) => format!("How many times is {name} written in the video?"),
            (names, _) => format!("How many times in all are {} shown or written in the video?", names.join(" and ")),
        };
        Ok(Draft { placed, question, answer: number.to_string(), wrong })
    }

    /// The number that is asked for, and wrong ones.
    fn number(
        &self,
        cell: &Cell,
        chance: &Chance,
        possible: RangeInclusive<u32>,
    ) -> Result<(u32, Vec<String>), String> {
        let numbers = right_and_wrong(chance, possible, self.options.num_options);
        let (number, wrong) =
            numbers.ok_or_else(|| format!("{} has fewer answers than options", cell.task.as_str()))?;
        Ok((number, wrong.iter().map(ToString::to_string).collect()))
    }

    /// An image on a few frames, in some of their quarters.
    fn pasting(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        let needle = self.one(cell, Pool::Images, false)?;
        let num_frames = self.options.num_needles;
        if num_frames > cell.length {
            return Err(format!("{} edits {num_frames} of {} frames", cell.task.as_str(), cell.length));
        }
        let starts = chance.places("places", num_frames as usize, cell.length);
        let (number, wrong) = self.number(cell, chance, num_frames..=num_frames * QUARTERS)?;
        // Each frame has it once; where it is more often, is drawn among all other quarters.
        let others = chance.places("times", (number - num_frames) as usize, num_frames * (QUARTERS - 1));
        let of_frame = |frame: u32| -> Vec<u8> {
            let times = 1 + others.iter().filter(|&other| other / (QUARTERS - 1) == frame).count();
            let quarters = chance.places(&format!("quarters {frame}"), times, QUARTERS);
            quarters.into_iter().map(|quarter| quarter as u8).collect()
        };
        let quarters: Vec<Vec<u8>> = (0..num_frames).map(of_frame).collect();
        let question = format!(
            "On {num_frames} frames of the video is {}, small, once or several times on each. How many times in all?",
            needle.name
        );
        Ok(Draft { placed: vec![Placed { needle, starts, quarters }], question, answer: number.to_string(), wrong })
    }

    /// Which of many images shows the needle.
    fn which_image(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        let needle = self.one(cell, Pool::Images, false)?;
        let num_places = self.num_places(cell, &[needle]);
        let index = self.start_at(cell.depth.unwrap_or(0), cell, &[needle])?;
        let of_depth = |&depth: &u32| index_at(depth, cell.length, num_places);
        let of_grid: Vec<u32> = self.options.depths.iter().map(of_depth).collect();
        let others = other_places(chance, (&of_grid, index), self.options.num_options)
            .map_err(|lacking| format!("{} among {} images {lacking}", cell.task.as_str(), cell.length))?;
        let name = |place: u32| format!("Image {}", place + 1);
        let wrong = others.into_iter().map(name).collect();
        let question = format!("Which of the images, counted from 1, shows {}?", needle.name);
        let placed = vec![Placed::once(needle, index)];
        Ok(Draft { placed, question, answer: name(index), wrong })
    }

    /// The options in the order of a permutation, and what the sample answers.
    fn ordered(&self, cell: &Cell, draft: &Draft<'_>, chance: &Chance) -> (Vec<NeedleOption>, String) {
        if self.options.num_options == 0 {
            return (Vec::new(), draft.answer.clone());
        }
        let texts: Vec<&String> = [&draft.answer].into_iter().chain(&draft.wrong).collect();
        let mut order = chance.order("options", texts.len());
        let shift = (cell.permutation as usize).checked_rem(order.len()).unwrap_or(0);
        order.rotate_left(shift);
        let letters = ('A'..='Z').map(String::from);
        let in_order = order.iter().filter_map(|&number| Some((number, (*texts.get(number)?).clone())));
        let mut answer = String::new();
        let options = letters.zip(in_order).map(|(letter, (number, text))| {
            if number == 0 {
                answer.clone_from(&letter);
            }
            NeedleOption { letter, text }
        });
        (options.collect(), answer)
    }
}

fn are_neighbours(places: &[u32]) -> bool {
    matches!(places, [one, other] if one + 1 == *other)
}

/// What the user says after the frames or images.
fn prompt(question: &str, options: &[NeedleOption]) -> String {
    let mut text = format!("\n{question}\n");
    for NeedleOption { letter, text: option } in options {
        text.push_str(&format!("{letter}. {option}\n"));
    }
    text.push_str(if options.is_empty() { ANSWER } else { CHOOSE });
    text
}
