//! A question: its needles and their places, its options, and the record that is made of it.

use manyframe_core::{
    ComposedVideo, Digest, Edit, FrameEdit, NeedleKind, NeedleOption, NeedleQuestion, NeedleTask, PlacedNeedle,
};
use serde::Serialize;

use super::chance::Chance;
use super::definition::Needle;
use super::grid::{Cell, index_at};
use super::options::{NeedleOptions, NeedlePlace};

const CHOOSE: &str = "Answer with the option's letter from the given choices directly.";
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

/// A needle at places among the frames or images that are shown.
struct Placed<'a> {
    needle: &'a Needle,
    indices: Vec<u32>,
}

/// A question, before its options are in an order.
struct Draft<'a> {
    placed: Vec<Placed<'a>>,
    question: String,
    answer: String,
    wrong: Vec<String>,
}

/// What is shown.
struct Scene {
    video: Option<ComposedVideo>,
    images: Option<Vec<String>>,
    num_shown: u32,
    haystack: String,
    visuals: String,
}

impl<'a> Questions<'a> {
    /// The record of a cell. The error says what it lacks.
    pub(crate) fn record(&self, cell: &Cell) -> Result<Vec<u8>, String> {
        let key = cell.key();
        let chance = Chance::new(self.options.seed, key.as_str());
        let draft = self.draft(cell, &chance)?;
        let shown = self.shown(cell, &draft)?;
        let (options, answer) = self.ordered(cell, &draft, &chance);
        let index = cell.depth.and_then(|_| draft.placed.first()?.indices.first().copied());
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
            Task::VNiah | Task::RetrievalInsert => self.retrieval(cell, chance, &[NeedleKind::Image]),
            Task::RetrievalEdit => self.retrieval(cell, chance, &[NeedleKind::Text]),
            Task::RetrievalBoth => self.retrieval(cell, chance, &[NeedleKind::Image, NeedleKind::Text]),
            Task::OrderingInsert | Task::ImageOrdering => self.ordering(cell, chance, &[NeedleKind::Image]),
            Task::OrderingEdit => self.ordering(cell, chance, &[NeedleKind::Text]),
            Task::OrderingBoth => self.ordering(cell, chance, &[NeedleKind::Image, NeedleKind::Text]),
            Task::CountingInsert | Task::ImageCounting => self.counting(cell, chance, &[NeedleKind::Image]),
            Task::CountingEdit => self.counting(cell, chance, &[NeedleKind::Text]),
            Task::CountingBoth => self.counting(cell, chance, &[NeedleKind::Image, NeedleKind::Text]),
            Task::ImageRetrieval => self.which_image(cell, chance),
        }
    }

    /// Needles of a kind, in an order of chance.
    fn of_kind(&self, kind: NeedleKind, chance: &Chance, is_asked: bool) -> Vec<&'a Needle> {
        let found: Vec<&Needle> =
            self.needles.iter().filter(|it| it.kind == kind && (it.asked.is_some() || !is_asked)).collect();
        let order = chance.order("needle", found.len()).into_iter();
        order.filter_map(|number| found.get(number).copied()).collect()
    }

    /// The needle of a question about one. Questions of the same number have the same in all cells, so that cells can be compared.
    fn one(&self, cell: &Cell, kind: NeedleKind, is_asked: bool) -> Result<&'a Needle, String> {
        let found = self.of_kind(kind, &self.task_chance(cell), is_asked);
        let chosen = found.get((cell.number as usize).checked_rem(found.len()).unwrap_or(0));
        chosen.copied().ok_or_else(|| format!("{} has no needle", cell.task.as_str()))
    }

    fn task_chance(&self, cell: &Cell) -> Chance {
        Chance::new(self.options.seed, cell.task.as_str())
    }

    /// Number of places among what is shown if so many images are put in.
    fn num_places(&self, cell: &Cell, num_images: usize) -> u32 {
        match self.options.place {
            NeedlePlace::Insert => cell.length.saturating_add(num_images as u32),
            NeedlePlace::Replace => cell.length,
        }
    }

    /// Places of several needles, of which so many are images.
    fn places(&self, cell: &Cell, chance: &Chance, (number, num_images): (usize, usize)) -> Result<Vec<u32>, String> {
        let below = self.num_places(cell, num_images);
        if number > cell.length as usize {
            return Err(format!("{} puts {number} needles into {} frames", cell.task.as_str(), cell.length));
        }
        Ok(chance.places("places", number, below))
    }

    fn retrieval(&self, cell: &Cell, chance: &Chance, kinds: &[NeedleKind]) -> Result<Draft<'a>, String> {
        let needles = kinds.iter().map(|&kind| self.one(cell, kind, true)).collect::<Result<Vec<_>, _>>()?;
        let num_images = needles.iter().filter(|needle| needle.kind == NeedleKind::Image).count();
        let at = match cell.depth {
            Some(depth) => vec![index_at(depth, cell.length, self.num_places(cell, num_images))],
            None => self.places(cell, chance, (needles.len(), num_images))?,
        };
        let order = chance.order("order", needles.len());
        let placed: Vec<Placed<'a>> = order
            .into_iter()
            .zip(at)
            .filter_map(|(number, index)| Some(Placed { needle: needles.get(number).copied()?, indices: vec![index] }))
            .collect();
        let asked = needles.get(chance.number("asked", needles.len() as u32) as usize).and_then(|it| it.asked.as_ref());
        let asked = asked.ok_or("a needle has no question")?;
        let num_wrong = self.options.num_options.saturating_sub(1) as usize;
        let wrong = asked.wrong.iter().take(num_wrong).cloned().collect();
        Ok(Draft { placed, question: asked.question.clone(), answer: asked.answer.clone(), wrong })
    }

    fn ordering(&self, cell: &Cell, chance: &Chance, kinds: &[NeedleKind]) -> Result<Draft<'a>, String> {
        let each = (self.options.num_needles as usize).div_ceil(kinds.len());
        let needles: Vec<&Needle> =
            kinds.iter().flat_map(|&kind| self.of_kind(kind, chance, false).into_iter().take(each)).collect();
        let num_images = needles.iter().filter(|needle| needle.kind == NeedleKind::Image).count();
        let at = self.places(cell, chance, (needles.len(), num_images))?;
        let in_order = |order: &[usize]| -> Vec<&'a Needle> {
            order.iter().filter_map(|&number| needles.get(number).copied()).collect()
        };
        let right = in_order(&chance.order("order", needles.len()));
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
        let placed = right.into_iter().zip(at).map(|(needle, index)| Placed { needle, indices: vec![index] });
        Ok(Draft { placed: placed.collect(), question, answer, wrong })
    }

    fn counting(&self, cell: &Cell, chance: &Chance, kinds: &[NeedleKind]) -> Result<Draft<'a>, String> {
        let needles = kinds.iter().map(|&kind| self.one(cell, kind, false)).collect::<Result<Vec<_>, _>>()?;
        // Each needle is there at least once.
        let least = needles.len() as u32;
        let most = self.options.num_needles.max(least);
        let number = least + chance.number("number", most - least + 1);
        let turns: Vec<usize> = (0..number as usize).map(|turn| turn % needles.len()).collect();
        let is_image = |turn: &&usize| needles.get(**turn).is_some_and(|needle| needle.kind == NeedleKind::Image);
        let num_images = turns.iter().filter(is_image).count();
        let at = self.places(cell, chance, (turns.len(), num_images))?;
        let mut placed: Vec<Placed<'a>> =
            needles.iter().map(|&needle| Placed { needle, indices: Vec::new() }).collect();
        for (turn, index) in chance.order("turns", turns.len()).into_iter().zip(at) {
            if let Some(needle) = turns.get(turn).and_then(|&turn| placed.get_mut(turn)) {
                needle.indices.push(index);
            }
        }
        let names: Vec<&str> = needles.iter().map(|needle| needle.name.as_str()).collect();
        let question = match (names.as_slice(), kinds) {
            ([name], _) if cell.task.is_of_images() => format!("How many of the images show {name}?"),
            ([name], [NeedleKind::Image]) => format!("How many times is {name} shown in the video?"),
            ([name], _) => format!("How many times is {name} written in the video?"),
            (names, _) => format!("How many times in all are {} shown or written in the video?", names.join(" and ")),
        };
        // The right number is anywhere among numbers in a row: neither the smallest nor the one in the middle.
        let num_options = self.options.num_options.max(1);
        let first = number.saturating_sub(chance.number("first", num_options)).max(1);
        let numbers = (first..first + num_options).filter(|&other| other != number);
        let wrong = numbers.map(|other| other.to_string()).collect();
        Ok(Draft { placed, question, answer: number.to_string(), wrong })
    }

    /// Which of many images shows the needle.
    fn which_image(&self, cell: &Cell, chance: &Chance) -> Result<Draft<'a>, String> {
        let needle = self.one(cell, NeedleKind::Image, false)?;
        let num_places = self.num_places(cell, 1);
        let index = index_at(cell.depth.unwrap_or(0), cell.length, num_places);
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
        let placed = vec![Placed { needle, indices: vec![index] }];
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

    fn shown(&self, cell: &Cell, draft: &Draft<'_>) -> Result<Scene, String> {
        if cell.task.is_of_images() { self.shown_images(cell, draft) } else { self.shown_video(cell, draft) }
    }

    fn shown_video(&self, cell: &Cell, draft: &Draft<'_>) -> Result<Scene, String> {
        let videos = self.haystack(cell, &self.options.haystacks);
        let haystack = short_digest(&(&videos, cell.length, self.options.interval_s))?;
        let edit = |needle: &Needle| match (needle.kind, self.options.place) {
            (NeedleKind::Text, _) => Edit::Write(needle.shown.clone()),
            (_, NeedlePlace::Insert) => Edit::Insert(needle.shown.clone()),
            (_, NeedlePlace::Replace) => Edit::Replace(needle.shown.clone()),
        };
        let edits = draft.at_places().into_iter().map(|(index, needle)| FrameEdit { index, edit: edit(needle) });
        let video = ComposedVideo {
            videos,
            num_frames: cell.length,
            interval_s: self.options.interval_s,
            edits: edits.collect(),
            max_distance: self.options.max_distance,
        };
        let (num_shown, visuals) = (video.num_shown() as u32, short_digest(&video)?);
        Ok(Scene { video: Some(video), images: None, num_shown, haystack, visuals })
    }

    fn shown_images(&self, cell: &Cell, draft: &Draft<'_>) -> Result<Scene, String> {
        let mut images = self.haystack(cell, &self.options.images);
        if images.len() < cell.length as usize {
            let found = images.len();
            return Err(format!("{} needs {} images, there are {found}", cell.task.as_str(), cell.length));
        }
        images.truncate(cell.length as usize);
        let haystack = short_digest(&images)?;
        for (index, needle) in draft.at_places() {
            let (index, shown) = (index as usize, needle.shown.clone());
            match (self.options.place, images.get_mut(index)) {
                (NeedlePlace::Replace, Some(image)) => *image = shown,
                _ => images.insert(index.min(images.len()), shown),
            }
        }
        let (num_shown, visuals) = (images.len() as u32, short_digest(&images)?);
        Ok(Scene { video: None, images: Some(images), num_shown, haystack, visuals })
    }

    /// A haystack and those after it, from the first again after the last. Questions of the same number have the same in all cells.
    fn haystack(&self, cell: &Cell, all: &[String]) -> Vec<String> {
        let order = self.task_chance(cell).order("haystack", all.len());
        let mut all = all.to_vec();
        if let Some(&first) = order.get((cell.number as usize).checked_rem(order.len()).unwrap_or(0)) {
            all.rotate_left(first);
        }
        all
    }
}

impl<'a> Draft<'a> {
    /// What is at each place, in order.
    fn at_places(&self) -> Vec<(u32, &'a Needle)> {
        let of_needle = |placed: &Placed<'a>| {
            let needle = placed.needle;
            placed.indices.iter().map(move |&index| (index, needle)).collect::<Vec<_>>()
        };
        let mut at: Vec<(u32, &Needle)> = self.placed.iter().flat_map(of_needle).collect();
        at.sort_by_key(|(index, _)| *index);
        at
    }
}

impl Placed<'_> {
    fn described(&self) -> PlacedNeedle {
        PlacedNeedle { name: self.needle.name.clone(), kind: self.needle.kind, indices: self.indices.clone() }
    }
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

/// 16 hexadecimal digits that are equal for equal values.
fn short_digest(value: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(format!("{:016x}", Digest::of(&text).first_bits()))
}
