//! Whether one choice of array elements satisfies all fields of a combination.
//!
//! Fields choose one after the other, in the order of their paths. A field chooses a value that passes its tests and
//! lies in no other place of an array than the values chosen before; `exists: false` holds if no value is left to
//! choose. The order matters for the latter, and is Event Ruler's.

use crate::extract::{Element, Extraction, Found, MatchError, NONE};
use crate::limits::MAX_CONSISTENCY_STEPS;
use crate::pattern::Field;

/// One event's values ordered by path, and the shape of its arrays.
pub(crate) struct Search<'a> {
    extraction: &'a Extraction<'a>,
    /// Ordered by path, then by element.
    by_path: Vec<Found>,
    spans: Vec<Span>,
}

/// Elements are numbered as they open, so those inside an element, and those of an array, follow each other.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// One past the last element inside the array that this element belongs to.
    array_end: u32,
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is a choice for every field.
    Satisfied,
    /// The field with this index was the last that a choice could be tried for, and none was left.
    Stuck(usize),
}

impl<'a> Search<'a> {
    pub(crate) fn new(extraction: &'a Extraction<'a>) -> Self {
        let mut by_path = extraction.found().to_vec();
        by_path.sort_by_key(|found| (found.path, found.element));
        Self { extraction, by_path, spans: spans(extraction.elements()) }
    }

    /// The values at a path.
    pub(crate) fn values(&self, path: u32) -> &[Found] {
        let from = self.by_path.partition_point(|found| found.path < path);
        let to = self.by_path.partition_point(|found| found.path <= path);
        &self.by_path[from..to]
    }

    /// Whether some value at the path lies in an array element; values outside of any come last.
    pub(crate) fn has_elements(&self, path: u32) -> bool {
        self.values(path).first().is_some_and(|found| found.element != NONE)
    }

    /// Looks for a choice. `fields` are in the order of their paths.
    ///
    /// # Errors
    /// [`MatchError::TooManyChoices`] after [`MAX_CONSISTENCY_STEPS`] steps.
    pub(crate) fn run<'f>(&self, fields: impl Iterator<Item = (u32, &'f Field)>) -> Result<Answer, MatchError> {
        let choices: Vec<Choices> = fields.map(|(path, field)| self.choices(path, field)).collect();
        let mut attempt = Attempt { search: self, choices: &choices, chosen: Vec::new(), steps: 0, furthest: 0 };
        let satisfied = attempt.choose(0)?;
        Ok(if satisfied { Answer::Satisfied } else { Answer::Stuck(attempt.furthest) })
    }

    fn choices(&self, path: u32, field: &Field) -> Choices {
        let values = self.values(path);
        let mut passing: Vec<u32> = values
            .iter()
            .filter(|found| field.accepts(self.extraction.value(found)))
            .map(|found| found.element)
            .collect();
        passing.dedup();
        let absence = field.allows_absence().then(|| {
            let mut all: Vec<u32> = values.iter().map(|found| found.element).collect();
            all.dedup();
            all
        });
        Choices { passing, absence }
    }
}

/// What a field can choose from: elements in ascending order, each once, [`NONE`] last.
struct Choices {
    passing: Vec<u32>,
    /// All elements with a value, if the field may be absent.
    absence: Option<Vec<u32>>,
}

struct Attempt<'s> {
    search: &'s Search<'s>,
    choices: &'s [Choices],
    chosen: Vec<u32>,
    steps: u64,
    furthest: usize,
}

impl Attempt<'_> {
    /// Chooses for the fields from `index` on. The recursion is as deep as a combination has fields.
    fn choose(&mut self, index: usize) -> Result<bool, MatchError> {
        let choices: &[Choices] = self.choices;
        let Some(here) = choices.get(index) else { return Ok(true) };
        self.furthest = self.furthest.max(index);
        let mut from = 0;
        while let Some((at, element)) = self.next_consistent(&here.passing, from)? {
            from = at + 1;
            self.chosen.push(element);
            let done = self.choose(index + 1)?;
            self.chosen.pop();
            if done {
                return Ok(true);
            }
        }
        match &here.absence {
            Some(all) if self.next_consistent(all, 0)?.is_none() => self.choose(index + 1),
            _ => Ok(false),
        }
    }

    /// The first of `elements`, from an index on, that goes together with everything chosen.
    fn next_consistent(&mut self, elements: &[u32], mut from: usize) -> Result<Option<(usize, u32)>, MatchError> {
        while let Some(element) = elements.get(from) {
            match self.first_conflict(*element)? {
                None => return Ok(Some((from, *element))),
                // Everything up to there lies in the same wrong places.
                Some(resume) => from += elements[from..].partition_point(|element| *element < resume).max(1),
            }
        }
        Ok(None)
    }

    /// If the element conflicts with a chosen one: the first element that does not conflict in the same array.
    fn first_conflict(&mut self, element: u32) -> Result<Option<u32>, MatchError> {
        self.steps += 1;
        for index in 0..self.chosen.len() {
            if let Some((wrong, right)) = self.parting(element, self.chosen[index])? {
                let resume = if wrong < right { right } else { self.search.spans[right as usize].array_end };
                return Ok(Some(resume));
            }
        }
        Ok(None)
    }

    /// The two different elements of one array that the given elements lie in, if there is such an array.
    fn parting(&mut self, mut left: u32, mut right: u32) -> Result<Option<(u32, u32)>, MatchError> {
        let elements = self.search.extraction.elements();
        while left != right && left != NONE && right != NONE {
            self.steps += 1;
            if self.steps > MAX_CONSISTENCY_STEPS {
                return Err(MatchError::TooManyChoices);
            }
            let (a, b) = (elements[left as usize], elements[right as usize]);
            if a.depth == b.depth && a.outer == b.outer {
                return Ok((a.array == b.array).then_some((left, right)));
            }
            if a.depth >= b.depth {
                left = a.outer;
            }
            if b.depth >= a.depth {
                right = b.outer;
            }
        }
        Ok(None)
    }
}

fn spans(elements: &[Element]) -> Vec<Span> {
    let mut spans = vec![Span::default(); elements.len()];
    // The elements whose array is still open, at most one for each array and level.
    let mut open: Vec<u32> = Vec::new();
    for (index, element) in (0_u32..).zip(elements) {
        while let Some(last) = open.last().map(|last| elements[*last as usize]) {
            if last.depth < element.depth || last.array == element.array {
                break;
            }
            close(&mut open, &mut spans, elements, index);
        }
        open.push(index);
    }
    while !open.is_empty() {
        close(&mut open, &mut spans, elements, elements.len() as u32);
    }
    spans
}

/// Ends the array of the last open element, and all that is open inside of it.
fn close(open: &mut Vec<u32>, spans: &mut [Span], elements: &[Element], end: u32) {
    let Some(array) = open.last().map(|last| elements[*last as usize].array) else { return };
    while let Some(last) = open.pop_if(|last| elements[*last as usize].array == array) {
        spans[last as usize].array_end = end;
    }
}
