//! From JSON text to the interpreter's values, bounded in depth.
//!
//! The interpreter's own reader would overflow the stack on deep text and fail on a lone surrogate.

use std::collections::BTreeSet;

use bytes::Bytes;
use jaq_json::{Map, Num, Val};

use super::meter::charge_bytes;
use crate::json::{JsonError, Scalar, Scanner, Text, unescape, without_bom};
use crate::limits::MAX_VALUE_DEPTH;

/// Reads one value; a byte order mark in front is passed over. Texts share the memory of what they are read from.
/// Integers that fit in 64 bits become integers, all other numbers keep their writing until they are
/// calculated with. Of members with the same name the last one counts.
pub(super) fn read(text: &Bytes) -> Result<Val, JsonError> {
    read_members(text, None)
}

/// Like [`read`]; of the outermost object only these `members`, if some are named. The others are passed over: they may be
/// of any size and depth.
pub(super) fn read_members(text: &Bytes, members: Option<&BTreeSet<String>>) -> Result<Val, JsonError> {
    let text = text.slice_ref(without_bom(text));
    if let Err(error) = std::str::from_utf8(&text) {
        return Err(JsonError { offset: error.valid_up_to(), what: "invalid UTF-8" });
    }
    if members.is_none() {
        charge_bytes(text.len() as u64);
    }
    let mut reader = Reader { text: &text, scanner: Scanner::new(&text), members };
    let value = reader.value(0)?;
    reader.scanner.expect_end()?;
    Ok(value)
}

struct Reader<'a> {
    text: &'a Bytes,
    scanner: Scanner<'a>,
    members: Option<&'a BTreeSet<String>>,
}

impl Reader<'_> {
    fn value(&mut self, depth: u32) -> Result<Val, JsonError> {
        match self.scanner.peek_token() {
            b'{' | b'[' if depth == MAX_VALUE_DEPTH => {
                Err(self.scanner.error("the body is nested deeper than the 256 levels that a mapping can read,"))
            }
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            _ => Ok(match self.scanner.scalar()? {
                Scalar::Text(text) => self.string(text),
                Scalar::Number(start, end) => number(&self.text[start..end]),
                Scalar::True => Val::Bool(true),
                Scalar::False => Val::Bool(false),
                Scalar::Null => Val::Null,
            }),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Val, JsonError> {
        self.scanner.advance();
        let mut members = Map::default();
        if self.scanner.peek_token() != b'}' {
            loop {
                let name = self.scanner.member_name()?;
                let name = self.string(name);
                match self.wants(&name, depth) {
                    true => {
                        self.charge_member(depth)?;
                        let value = self.value(depth + 1)?;
                        members.insert(name, value);
                    }
                    false => self.scanner.skip_value(&mut Vec::new())?,
                }
                if self.scanner.peek_token() != b',' {
                    break;
                }
                self.scanner.advance();
            }
        }
        self.scanner.expect(b'}', "expected a comma or the end of the object")?;
        Ok(Val::obj(members))
    }

    fn array(&mut self, depth: u32) -> Result<Val, JsonError> {
        self.scanner.advance();
        let mut elements = Vec::new();
        if self.scanner.peek_token() != b']' {
            loop {
                elements.push(self.value(depth + 1)?);
                if self.scanner.peek_token() != b',' {
                    break;
                }
                self.scanner.advance();
            }
        }
        self.scanner.expect(b']', "expected a comma or the end of the array")?;
        Ok(elements.into_iter().collect())
    }

    /// If only some members are read, each is charged by itself, before it is read.
    fn charge_member(&self, depth: u32) -> Result<(), JsonError> {
        if self.members.is_some() && depth == 0 {
            let mut behind = self.scanner.clone();
            behind.skip_value(&mut Vec::new())?;
            charge_bytes((behind.offset() - self.scanner.offset()) as u64);
        }
        Ok(())
    }

    fn wants(&self, name: &Val, depth: u32) -> bool {
        match (self.members, name) {
            (Some(members), Val::TStr(name)) if depth == 0 => {
                std::str::from_utf8(name).is_ok_and(|name| members.contains(name))
            }
            _ => true,
        }
    }

    fn string(&self, text: Text) -> Val {
        let content = text.start..text.end;
        if !text.escaped {
            return Val::utf8_str(self.text.slice(content));
        }
        let mut out = Vec::with_capacity(content.len());
        unescape(&self.text[content], &mut out);
        Val::utf8_str(out)
    }
}

fn number(literal: &[u8]) -> Val {
    let literal = String::from_utf8_lossy(literal);
    Val::Num(match literal.parse() {
        // JSON has a negative zero, integers have not.
        Ok(integer) if literal != "-0" => Num::Int(integer),
        _ => Num::Dec(literal.into_owned().into()),
    })
}
