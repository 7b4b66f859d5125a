//! A question: its needles and their places, its options, and the record that is made of it.

use manyframe_core::{ComposedVideo, NeedleOption, NeedleQuestion, NeedleTask};
use serde::Serialize;

use super::chance::Chance;
use super::definition::{Needle, Pool};
use super::grid::{Cell, index_at};
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
        let each = (self.options.num_needles as usize).div_ceil(pools.len());
        let needles: Vec<&Needle> =
            pools.iter().flat_map(|&pool| self.of_pool(pool, chance, false).into_iter().take(each)).collect();
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
        // Each needle is there at least once.
        let least = needles.len() as u32;
        let most = self.options.num_needles.max(least);
        let number = least + chance.number("number", most - least + 1);
        let turns: Vec<usize> = (0..number as usize).map(|turn| turn % needles.len()).collect();
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
        let names: Vec<&str> = needles.iter().map(|needle| needle.name.as_str()).collect();
        let question = match (names.as_slice(), pools) {
            ([name], _) if cell.task.is_of_images() => format!("How many of the images show {name}?"),
            ([name], [Pool::Pictures]) => format!("How many times is {name} shown in the video?"),
            ([name], _) => format!("How many times is {name} written in the video?"),
            (names, _) => format!("How many times in all are {} shown or written in the video?", names.join(" and ")),
        };
        Ok(Draft { placed, question, answer: number.to_string(), wrong: self.other_numbers(chance, number) })
    }

    /// An image on a few frames, in some of their quarters.
    fn pasting(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        let needle = self.one(cell, Pool::Images, false)?;
        let num_frames = self.options.num_needles;
        if num_frames > cell.length {
            return Err(format!("{} edits {num_frames} of {} frames", cell.task.as_str(), cell.length));
        }
        let starts = chance.places("places", num_frames as usize, cell.length);
        let of_frame = |frame: u32| -> Vec<u8> {
            let number = 1 + chance.number(&format!("times {frame}"), QUARTERS);
            let quarters = chance.places(&format!("quarters {frame}"), number as usize, QUARTERS);
            quarters.into_iter().map(|quarter| quarter as u8).collect()
        };
        let quarters: Vec<Vec<u8>> = (0..num_frames).map(of_frame).collect();
        let number = quarters.iter().map(|quarters| quarters.len() as u32).sum();
        let question = format!(
            "On {num_frames} frames of the video is {}, small, once or several times on each. How many times in all?",
            needle.name
        );
        let wrong = self.other_numbers(chance, number);
        Ok(Draft { placed: vec![Placed { needle, starts, quarters }], question, answer: number.to_string(), wrong })
    }

    /// Wrong numbers: the right one is anywhere among numbers in a row, neither the smallest nor the one in the middle.
    fn other_numbers(&self, chance: &Chance, number: u32) -> Vec<String> {
        let num_options = self.options.num_options.max(1);
        let first = number.saturating_sub(chance.number("first", num_options)).max(1);
        (first..first + num_options).filter(|&other| other != number).map(|other| other.to_string()).collect()
    }

    /// Which of many images shows the needle.
    fn which_image(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        let needle = self.one(cell, Pool::Images, false)?;
        let num_places = self.num_places(cell, &[needle]);
        let index = self.start_at(cell.depth.unwrap_or(0), cell, &[needle])?;
        let num_wrong = self.options.num_options.saturating_sub(1) as usize;
        let name = |place: u32| format!("Image {}", place + 1);
        let num_digits = |place: u32| (place + 1).to_string().len();
        let mut others: Vec<u32> =
            chance.order("others", num_places as usize).into_iter().map(|it| it as u32).collect();
        others.retain(|&place| place != index);
        // Numbers with as many digits first.
        others.sort_by_key(|&place| num_digits(place).abs_diff(num_digits(index)));
        if others.len() < num_wrong {
            return Err(format!("{} asks for one of {num_places} images", cell.task.as_str()));
        }
        let wrong = others.into_iter().take(num_wrong).map(name).collect();
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
