//! What surrounds the array of a large batch, copied without the array's items.
//!
//! The copy is what the batch lends its items from. It is walked along the path to the array; everything beside the path
//! is copied as it is, and of the array itself only the items that a setting points into.

use super::Splitter;
use super::items::Wrapping;
use super::large::{LargeError, Portion, portion};
use super::stored::{Stored, Window};
use crate::BodyError;
use crate::json::{Container, Kind};

/// The copy.
pub(super) struct Around {
    text: String,
    max: usize,
    piece: usize,
}

/// An array in the place where the batch is looked for.
pub(super) struct Candidate {
    /// Where it begins in the body.
    pub(super) at: u64,
    /// How many items it has, and what is wrong with them.
    pub(super) portion: Portion,
}

/// A walk through an object, to its end.
pub(super) struct Walk<'w, S> {
    pub(super) window: &'w mut Window<S>,
    pub(super) splitter: &'w Splitter,
    /// The names on the way to the array.
    pub(super) path: Vec<String>,
    pub(super) around: Around,
    /// The last one counts, as the last member of a name does.
    pub(super) candidate: Option<Candidate>,
}

impl Around {
    pub(super) fn new(max: usize, piece: usize) -> Self {
        Self { text: String::new(), max, piece }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), BodyError> {
        if self.text.len() + text.len() > self.max {
            return Err(BodyError::NoLargeBatch { max: self.piece, around: self.max });
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl<S: Stored> Walk<'_, S> {
    /// Takes the next value, which lies `depth` names down the path. Recurses once per name.
    pub(super) fn value(&mut self, depth: usize) -> Result<(), LargeError> {
        let kind = self.window.peek()?.map(Kind::of);
        match (kind, self.path.get(depth)) {
            (Some(Kind::Array), None) => self.array(),
            (Some(Kind::Object), Some(_)) => self.object(depth),
            (Some(Kind::Array), Some(name)) => match place(name) {
                Some(place) => self.elements(depth, place),
                None => self.copy(),
            },
            _ => self.copy(),
        }
    }

    fn copy(&mut self) -> Result<(), LargeError> {
        let around = &mut self.around;
        self.window.take(|text| around.push(text), |scanner| scanner.skip().map(drop))
    }

    fn object(&mut self, depth: usize) -> Result<(), LargeError> {
        let around = &mut self.around;
        let mut more = self.window.take(|text| around.push(text), |scanner| Ok(scanner.enter_object()))?;
        let name = self.path.get(depth).cloned().unwrap_or_default().into_bytes();
        while more {
            let around = &mut self.around;
            let fits = self.window.take(|text| around.push(text), |scanner| Ok(*scanner.key()?.bytes() == *name))?;
            self.child(fits, depth)?;
            let around = &mut self.around;
            more = self.window.take(|text| around.push(text), |scanner| scanner.more(Container::Object))?;
        }
        Ok(())
    }

    fn elements(&mut self, depth: usize, place: usize) -> Result<(), LargeError> {
        let around = &mut self.around;
        let mut more = self.window.take(|text| around.push(text), |scanner| Ok(scanner.enter_array()))?;
        let mut index = 0;
        while more {
            self.child(index == place, depth)?;
            index += 1;
            let around = &mut self.around;
            more = self.window.take(|text| around.push(text), |scanner| scanner.next_element())?;
        }
        Ok(())
    }

    fn child(&mut self, on_path: bool, depth: usize) -> Result<(), LargeError> {
        if !on_path {
            return self.copy();
        }
        // An earlier member of the same name does not count, nor does anything inside it.
        self.candidate = None;
        self.value(depth + 1)
    }

    fn array(&mut self) -> Result<(), LargeError> {
        let at = self.window.place();
        self.around.push("[")?;
        let mut found = Portion::checking(Wrapping::None);
        found.more = self.window.take(|_| Ok(()), |scanner| Ok(scanner.enter_array()))?;
        while found.more {
            portion(self.window, self.splitter, &mut found, Some(&mut self.around))?;
        }
        self.around.push("]")?;
        self.candidate = Some(Candidate { at, portion: found });
        Ok(())
    }
}

/// A name read as a place in an array.
pub(super) fn place(name: &str) -> Option<usize> {
    let canonical = name == "0" || name.starts_with(|first: char| matches!(first, '1'..='9'));
    name.parse().ok().filter(|_| canonical)
}
