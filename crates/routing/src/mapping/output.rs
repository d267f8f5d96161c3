//! From the interpreter's values to JSON text.
//!
//! The interpreter's own writer also writes what is no JSON: bytes, NaN, keys that are no strings.

use std::fmt::Write as _;

use bytes::Bytes;
use jaq_json::{Num, Val};

use super::error::{MappingError, MappingLimit};
use super::meter::charge_bytes;

/// Writes the value without white space.
pub(super) fn write(value: &Val, max_bytes: usize) -> Result<Bytes, MappingError> {
    let mut writer = Writer { out: String::new(), max_bytes };
    writer.value(value)?;
    Ok(writer.out.into())
}

struct Writer {
    out: String,
    max_bytes: usize,
}

impl Writer {
    /// The recursion is as deep as the value, which is bounded.
    fn value(&mut self, value: &Val) -> Result<(), MappingError> {
        match value {
            Val::Null => self.out.push_str("null"),
            Val::Bool(true) => self.out.push_str("true"),
            Val::Bool(false) => self.out.push_str("false"),
            Val::Num(number) => self.number(number),
            Val::TStr(text) => self.string(text),
            Val::BStr(_) => return Err(MappingError::NotJson("there are bytes in it that are no text")),
            Val::Arr(elements) => {
                self.out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.value(element)?;
                }
                self.out.push(']');
            }
            Val::Obj(members) => {
                self.out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    let Val::TStr(name) = name else {
                        return Err(MappingError::NotJson("a member's name is no string; use tostring on it"));
                    };
                    self.string(name);
                    self.out.push(':');
                    self.value(value)?;
                }
                self.out.push('}');
            }
        }
        if self.out.len() > self.max_bytes {
            return Err(MappingError::Limit(MappingLimit::Output { max_bytes: self.max_bytes }));
        }
        Ok(())
    }

    fn number(&mut self, number: &Num) {
        match number {
            // As jq has it: what is not a number becomes null, what is infinite the largest number.
            Num::Float(float) if float.is_nan() => self.out.push_str("null"),
            Num::Float(float) if float.is_infinite() => {
                self.out.push_str(if *float > 0.0 { "1.7976931348623157e308" } else { "-1.7976931348623157e308" });
            }
            number => {
                // Writing to a string cannot fail.
                let _ = write!(self.out, "{number}");
            }
        }
    }

    fn string(&mut self, text: &[u8]) {
        charge_bytes(text.len() as u64);
        let text = String::from_utf8_lossy(text);
        let mut rest = &*text;
        self.out.push('"');
        while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            let (plain, tail) = rest.split_at(at);
            self.out.push_str(plain);
            let mut characters = tail.chars();
            match characters.next() {
                Some('\n') => self.out.push_str("\\n"),
                Some('\r') => self.out.push_str("\\r"),
                Some('\t') => self.out.push_str("\\t"),
                Some(special @ ('"' | '\\')) => {
                    self.out.push('\\');
                    self.out.push(special);
                }
                Some(control) => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(control));
                }
                None => {}
            }
            rest = characters.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }
}
