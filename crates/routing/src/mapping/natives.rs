//! The functions that mappings have, and those of our own among them.

use jaq_core::native::{Filter, Fun, bome, run, unary, v};
use jaq_core::{Error, RunPtr, ValR};
use jaq_json::{Num, Val};

use super::error::MappingLimit;
use super::meter::{charge, charge_bytes, exhaust};
use super::value::Value;
use super::{Metered, input, output};
use crate::limits::{MAX_REGEX_BYTES, MAX_VALUE_BYTES};

/// Functions of jq that a mapping does not get, and why.
pub(super) const REFUSED: [(&str, &str); 17] = [
    ("now", "a mapping must give the same payload every time; use `$event.received`"),
    ("localtime", "a mapping must give the same payload everywhere; use `gmtime`"),
    ("strflocaltime", "a mapping must give the same payload everywhere; use `strftime`"),
    ("env", "a mapping cannot see the environment"),
    ("$ENV", "a mapping cannot see the environment"),
    ("input", "a mapping gets one event, which is `.`"),
    ("inputs", "a mapping gets one event, which is `.`"),
    ("input_filename", "a mapping gets one event, which is `.`"),
    ("halt", "a mapping cannot stop Aftercall; use `error`"),
    ("halt_error", "a mapping cannot stop Aftercall; use `error`"),
    ("debug", "a mapping cannot write to the log"),
    ("debug_empty", "a mapping cannot write to the log"),
    ("stderr", "a mapping cannot write to the log"),
    ("stderr_empty", "a mapping cannot write to the log"),
    ("tobytes", "a payload is JSON, which has no bytes; use `@base64`"),
    ("jn", "it takes time without bound"),
    ("yn", "it takes time without bound"),
];

/// The functions of the library that take a regular expression and flags, and what they are called here: no name in
/// jq, so that only their metered forms can be called.
pub(super) const REGEX_FUNCTIONS: [(&str, &str); 3] =
    [("matches", "unmetered matches"), ("split_matches", "unmetered split_matches"), ("split_", "unmetered split_")];

/// Looks at a regular expression before it is compiled; gives its input.
pub(super) const CHECK_REGEX: &str = "unmetered check_regex";

/// All functions that are not written in jq.
pub(super) fn functions() -> impl Iterator<Item = Fun<Metered>> {
    let library = jaq_core::funs::<Metered>().chain(jaq_std::funs::<Metered>());
    let offered = library.filter(|(name, ..)| REFUSED.iter().all(|(refused, _)| refused != name));
    let renamed = offered.map(|(name, arguments, function)| {
        let hidden = REGEX_FUNCTIONS.iter().find(|(open, _)| *open == name);
        (hidden.map_or(name, |(_, hidden)| hidden), arguments, function)
    });
    renamed.chain(own().into_iter().map(run::<Metered>))
}

fn own() -> [Filter<RunPtr<Metered>>; 9] {
    [
        ("outcome", v(0), |cv| bome(cv.0.data().outcome.value())),
        ("fromjson", v(0), |cv| bome(from_json(cv.1))),
        ("tojson", v(0), |cv| bome(to_json(&cv.1))),
        ("length", v(0), |cv| bome(length(cv.1))),
        ("contains", v(1), |cv| unary(cv, |value, part| Ok(contains(value.json(), part.json()).into()))),
        ("has", v(1), |cv| unary(cv, has)),
        ("indices", v(1), |cv| unary(cv, indices)),
        ("bsearch", v(1), |cv| unary(cv, binary_search)),
        (CHECK_REGEX, v(1), |mut cv| {
            let regex = cv.0.pop_var();
            check_regex(regex.json(), cv.1.size().bytes);
            bome(Ok(cv.1))
        }),
    ]
}

fn from_json(value: Value) -> ValR<Value> {
    let Val::TStr(text) = value.json() else { return Err(Error::typ(value, "string")) };
    input::read(text).map(Value::from_json).map_err(|error| Error::str(format!("not valid JSON: {error}")))
}

fn to_json(value: &Value) -> ValR<Value> {
    charge_bytes(value.size().bytes);
    let text = output::write(value.json(), MAX_VALUE_BYTES as usize).map_err(Error::str)?;
    Ok(Value::from_json(Val::utf8_str(text)))
}

fn length(value: Value) -> ValR<Value> {
    Ok(match value.json() {
        Val::Null => 0_usize.into(),
        Val::Num(Num::Int(number)) => Value::from_json(Val::Num(Num::from_integral(number.unsigned_abs() as u64))),
        Val::Num(_) => jaq_std::ValT::as_f64(&value).map_or(f64::NAN, f64::abs).into(),
        Val::TStr(text) => {
            charge_bytes(text.len() as u64);
            String::from_utf8_lossy(text).chars().count().into()
        }
        Val::BStr(bytes) => bytes.len().into(),
        Val::Arr(elements) => elements.len().into(),
        Val::Obj(members) => members.len().into(),
        Val::Bool(_) => return Err(Error::typ(value, "value with a length")),
    })
}

fn contains(value: &Val, part: &Val) -> bool {
    charge(1);
    match (value, part) {
        (Val::TStr(text), Val::TStr(part)) => {
            charge_bytes(text.len() as u64 + part.len() as u64);
            memchr::memmem::find(text, part).is_some()
        }
        (Val::Arr(elements), Val::Arr(parts)) => {
            parts.iter().all(|part| elements.iter().any(|element| contains(element, part)))
        }
        (Val::Obj(members), Val::Obj(parts)) => {
            parts.iter().all(|(name, part)| members.get(name).is_some_and(|value| contains(value, part)))
        }
        (value, part) => value == part,
    }
}

fn has(value: Value, key: Value) -> ValR<Value> {
    match (value.json(), key.json()) {
        (Val::Obj(members), name) => Ok(members.contains_key(name).into()),
        (Val::Arr(elements), Val::Num(number)) => {
            let place = number.as_isize().and_then(|place| usize::try_from(place).ok());
            Ok(place.is_some_and(|place| place < elements.len()).into())
        }
        _ => Err(Error::index(value, key)),
    }
}

fn indices(value: Value, part: Value) -> ValR<Value> {
    let work = value.size().bytes.saturating_mul(part.size().bytes) / 256;
    charge_bytes(work.saturating_add(value.size().bytes));
    let found: Vec<usize> = match (value.json(), part.json()) {
        (Val::TStr(text), Val::TStr(part)) => {
            let starts = String::from_utf8_lossy(text).char_indices().map(|(at, _)| at).collect::<Vec<_>>();
            let begins = |at: &usize| !part.is_empty() && text.get(*at..).is_some_and(|rest| rest.starts_with(part));
            starts.iter().enumerate().filter(|(_, at)| begins(at)).map(|(place, _)| place).collect()
        }
        (Val::Arr(_), Val::Arr(part)) if part.is_empty() => Vec::new(),
        (Val::Arr(elements), Val::Arr(part)) => places(elements.windows(part.len()).map(|window| *window == ***part)),
        (Val::Arr(elements), element) => places(elements.iter().map(|other| other == element)),
        (Val::Null, _) => return Ok(Value::from_json(Val::Null)),
        _ => return Err(Error::index(value, part)),
    };
    Ok(found.into_iter().map(Value::from).collect())
}

fn places(matching: impl Iterator<Item = bool>) -> Vec<usize> {
    matching.enumerate().filter(|(_, matches)| *matches).map(|(place, _)| place).collect()
}

fn binary_search(value: Value, wanted: Value) -> ValR<Value> {
    let Val::Arr(elements) = value.json() else { return Err(Error::typ(value, "array")) };
    charge_bytes(value.size().bytes.saturating_add(wanted.size().bytes.saturating_mul(32)));
    let place = match elements.binary_search(wanted.json()) {
        Ok(place) => place as isize,
        Err(place) => -1 - place as isize,
    };
    Ok(place.into())
}

/// Matching takes time with the product of the text's length and the expression's, once its counted repetitions are
/// written out. Takes the steps for that, or stops the mapping.
fn check_regex(regex: &Val, text_bytes: u64) {
    // Anything else fails by itself.
    let Val::TStr(regex) = regex else { return };
    let counts = regex.split(|byte| *byte == b'{').skip(1).filter_map(|rest| {
        let inside = rest.split(|byte| *byte == b'}').next()?;
        let numbers = inside.split(|byte| *byte == b',').filter_map(|number| std::str::from_utf8(number).ok());
        numbers.filter_map(|number| number.trim().parse::<u64>().ok()).max()
    });
    // Repetitions may stand inside of each other, so all their counts are multiplied.
    let expanded = counts.fold(regex.len() as u64, |bytes, count| bytes.saturating_mul(count.max(1)));
    if expanded > MAX_REGEX_BYTES as u64 {
        exhaust(MappingLimit::Regex);
    }
    // Measured: 0.7 µs for each byte of a text where every byte matches, 5 ns for each byte of text and expression.
    charge(1 + expanded + text_bytes.saturating_mul(4 + expanded / 16));
}
