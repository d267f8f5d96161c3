//! Mappings: jq programs that turn an event into a destination's payload.
//!
//! `.` is the event's body, `$event` what Aftercall knows about it: `id`, `source`, `topic`, `conversation`,
//! `received`, and `outcome` the event's [outcome](event::Outcome), which is made when a mapping first asks for it. A mapping
//! must give exactly one value. What it does not read of the body and the outcome is not loaded.
//!
//! A mapping is bounded, whatever it is written to do. Refused when it is compiled: text that is too long, and
//! functions that reach outside (`env`, `input`, `now`, `halt`, `debug`, `import`, local time), so that the same event
//! always gives the same payload and nothing leaks. Refused when it runs: too many steps, values that are too large
//! or too deep, recursion without end. Such a limit cannot be caught by the mapping's own `try`. A panic inside the
//! interpreter is caught and reported as a bug.

mod compile;
mod deep_stack;
mod error;
mod input;
mod meter;
mod natives;
mod needs;
mod ops;
mod outcome;
mod output;
mod size;
mod trace;
mod value;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use event::Event;
use jaq_core::{Ctx, DataT, Exn, Lut, Vars};
use jaq_json::{Map, Val};

pub use error::{MappingError, MappingLimit};

use self::error::failed;
use self::meter::{Exhausted, Meter};
use self::needs::Needs;
use self::outcome::OutcomeOf;
use self::value::Value;
use crate::limits::{
    DEFAULT_MAPPING_OUTPUT_BYTES, DEFAULT_MAPPING_STEPS, MAX_MAPPING_STACK_BYTES, MAX_QUICK_STACK_BYTES,
    MAX_QUICK_STEPS,
};

/// A compiled mapping. Shareable between threads.
pub struct Mapping {
    filter: jaq_core::Filter<Metered>,
    needs: Needs,
    max_steps: u64,
    max_output_bytes: usize,
}

/// What one run may take.
#[derive(Clone, Copy)]
struct Limits {
    steps: u64,
    stack_bytes: usize,
}

/// What the interpreter works with: metered values, and a look-up table that meters each look-up.
pub(crate) struct Metered;

impl DataT for Metered {
    type V<'a> = Value;
    type Data<'a> = Table<'a>;
}

/// The compiled program. The interpreter asks for it once for every term that it evaluates, so no loop gets by.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    lut: &'a Lut<Metered>,
    outcome: &'a OutcomeOf<'a>,
}

impl<'a> jaq_core::data::HasLut<'a, Metered> for Table<'a> {
    fn lut(&self) -> &'a Lut<Metered> {
        meter::step();
        self.lut
    }
}

impl Mapping {
    /// Compiles a jq program.
    ///
    /// # Errors
    /// [`MappingError::Source`] with the place of what is wrong.
    pub fn compile(source: &str) -> Result<Self, MappingError> {
        let (filter, needs) = compile::compile(source)?;
        Ok(Self { filter, needs, max_steps: DEFAULT_MAPPING_STEPS, max_output_bytes: DEFAULT_MAPPING_OUTPUT_BYTES })
    }

    /// The same mapping with other limits: steps for one application, and bytes of its payload.
    #[must_use]
    pub fn with_limits(self, max_steps: u64, max_output_bytes: usize) -> Self {
        Self { max_steps, max_output_bytes, ..self }
    }

    /// Makes the payload of an event, as JSON text.
    ///
    /// # Errors
    /// All but [`MappingError::Source`]. None of them passes by itself: the same event fails again until the mapping
    /// is changed.
    pub fn apply(&self, event: &Event) -> Result<Bytes, MappingError> {
        self.apply_noting(event, &mut false)
    }

    /// Like [`Mapping::apply`]; sets `unrecognised` if the mapping used an outcome in which something was not recognised.
    ///
    /// # Errors
    /// Those of [`Mapping::apply`].
    pub fn apply_noting(&self, event: &Event, unrecognised: &mut bool) -> Result<Bytes, MappingError> {
        if self.needs.is_outcome
            && let Some(text) = outcome::plain(event, unrecognised)
        {
            return Ok(text);
        }
        match self.interpreted(event, unrecognised) {
            // Nothing is to be done with it, so it goes out as it is, however large or deep.
            Err(_) if self.needs.is_outcome => Ok(outcome::text(event, unrecognised)),
            result => result,
        }
    }

    fn interpreted(&self, event: &Event, unrecognised: &mut bool) -> Result<Bytes, MappingError> {
        let quick = Limits { steps: self.max_steps.min(MAX_QUICK_STEPS), stack_bytes: MAX_QUICK_STACK_BYTES };
        match self.metered(event, quick, unrecognised) {
            Err(MappingError::Limit(MappingLimit::Steps | MappingLimit::Recursion)) => {
                let all = Limits { steps: self.max_steps, stack_bytes: MAX_MAPPING_STACK_BYTES };
                deep_stack::run(|| self.metered(event, all, unrecognised))?
            }
            result => result,
        }
    }

    /// Whether it gives the event's outcome as it is, and nothing else.
    pub const fn is_outcome(&self) -> bool {
        self.needs.is_outcome
    }

    /// What the mapping reads last of an event before it fails, as a JSON pointer; none if it does not fail by an error of
    /// its own, or reads nothing.
    pub fn locate(&self, event: &Event) -> Option<String> {
        let quick = Limits { steps: self.max_steps.min(MAX_QUICK_STEPS), stack_bytes: MAX_QUICK_STACK_BYTES };
        let run = || self.metered(event, quick, &mut false);
        let (result, place) = trace::last_read(run);
        place.filter(|_| matches!(result, Err(MappingError::Failed { .. })))
    }

    fn metered(&self, event: &Event, limits: Limits, unrecognised: &mut bool) -> Result<Bytes, MappingError> {
        let meter = Meter::start(limits.steps, limits.stack_bytes);
        let result = catch_unwind(AssertUnwindSafe(|| self.run(event, unrecognised)));
        drop(meter);
        result.unwrap_or_else(|panic| match panic.downcast::<Exhausted>() {
            Ok(exhausted) => Err(MappingError::Limit(exhausted.0)),
            Err(panic) => Err(MappingError::bug(panic.as_ref())),
        })
    }

    fn run(&self, event: &Event, unrecognised: &mut bool) -> Result<Bytes, MappingError> {
        let body = match self.needs.body {
            true => input::read(&event.body).map_err(MappingError::Event)?,
            false => Val::Null,
        };
        trace::root(&body);
        let outcome = OutcomeOf::new(event, self.needs.outcome.as_ref());
        let result = self.output(event, body, &outcome);
        *unrecognised |= outcome.has_unrecognised();
        result
    }

    fn output(&self, event: &Event, body: Val, outcome: &OutcomeOf<'_>) -> Result<Bytes, MappingError> {
        let table = Table { lut: &self.filter.lut, outcome };
        let context = Ctx::<Metered>::new(table, Vars::new([about(event)]));
        let mut outputs = self.filter.id.run((context, Value::from_json(body)));
        let output = match outputs.next() {
            Some(output) => output.map_err(uncaught)?,
            None => return Err(MappingError::NoOutput),
        };
        match outputs.next() {
            None => output::write(output.json(), self.max_output_bytes),
            Some(Ok(_)) => Err(MappingError::SeveralOutputs),
            Some(Err(error)) => Err(uncaught(error)),
        }
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping")
            .field("max_steps", &self.max_steps)
            .field("max_output_bytes", &self.max_output_bytes)
            .finish_non_exhaustive()
    }
}

/// The error that a mapping raised and did not catch.
fn uncaught(error: Exn<'_, Value>) -> MappingError {
    match error.get_err() {
        Ok(error) => match error.into_val().json() {
            Val::TStr(text) => failed(&String::from_utf8_lossy(text)),
            other => failed(&other.to_string()),
        },
        Err(_) => MappingError::Bug("control flow left the mapping".to_owned()),
    }
}

/// `$event`
fn about(event: &Event) -> Value {
    let text = |text: &str| Val::utf8_str(text.to_owned());
    let received = jiff::Timestamp::from_millisecond(event.received.as_millis())
        .map_or_else(|_| Val::from(event.received.as_millis() as isize), |received| text(&format!("{received:.3}")));
    let members = [
        ("id", text(&event.id.to_string())),
        ("source", text(&event.source)),
        ("topic", text(&event.topic)),
        ("conversation", event.conversation.as_deref().map_or(Val::Null, text)),
        ("received", received),
    ];
    let members: Map = members.into_iter().map(|(name, value)| (text(name), value)).collect();
    Value::from_json(Val::obj(members))
}
