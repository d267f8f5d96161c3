//! What a mapping reads of an event, found in its text: whether it looks at the body at all, and at which members of the
//! outcome.
//!
//! What it does not read is not loaded, so it cannot fail by it either: a route to the quality team that sends a few members
//! of the outcome takes an event of any size and depth. Where the text does not say for sure, everything is read.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

/// What must be loaded before a mapping runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// The body.
    pub(super) body: bool,
    /// Members of the outcome; none: all of them.
    pub(super) outcome: Option<BTreeSet<String>>,
    /// The mapping is `outcome`, and nothing else.
    pub(super) is_outcome: bool,
}

/// What a value is, as far as the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Body,
    Outcome,
    /// Made of what has been read already.
    Other,
}

impl Default for Needs {
    /// Everything.
    fn default() -> Self {
        Self { body: true, outcome: None, is_outcome: false }
    }
}

impl Needs {
    /// Those of a program; everything, if it has definitions of its own or is none.
    pub(super) fn of(source: &str) -> Self {
        let Some(program) = jaq_core::load::parse(source, |parser| parser.term()) else { return Self::default() };
        let mut needs = Self { body: false, outcome: Some(BTreeSet::new()), is_outcome: is_outcome(&program) };
        needs.read_from(&program, Of::Body);
        needs
    }

    /// Reads all of what a term gives.
    fn read_from(&mut self, term: &Term<&str>, input: Of) {
        let of = self.flow(term, input);
        self.read(of);
    }

    fn read(&mut self, of: Of) {
        match of {
            Of::Body => self.body = true,
            Of::Outcome => self.outcome = None,
            Of::Other => {}
        }
    }

    fn read_member(&mut self, of: Of, name: String) {
        match (of, &mut self.outcome) {
            (Of::Outcome, Some(members)) => {
                members.insert(name);
            }
            _ => self.read(of),
        }
    }

    /// What comes out of a term; what it looks at on the way is read.
    fn flow(&mut self, term: &Term<&str>, input: Of) -> Of {
        match term {
            Term::Id => return input,
            Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => {}
            Term::Str(_, parts) => self.parts(parts, input),
            Term::Arr(Some(term)) | Term::Neg(term) => self.read_from(term, input),
            Term::Obj(entries) => entries.iter().for_each(|(key, value)| self.entry(key, value.as_ref(), input)),
            Term::BinOp(left, operator, right) => return self.operation(left, operator, right, input),
            Term::Label(_, term) => return self.flow(term, input),
            Term::TryCatch(tried, caught) => {
                let tried = self.flow(tried, input);
                return match caught {
                    Some(caught) => self.either(tried, caught, Of::Other),
                    None => tried,
                };
            }
            Term::IfThenElse(branches, or) => {
                let mut all = or.as_ref().map_or(input, |or| self.flow(or, input));
                for (condition, then) in branches {
                    self.read_from(condition, input);
                    all = self.either(all, then, input);
                }
                return all;
            }
            Term::Call("outcome", arguments) if arguments.is_empty() => return Of::Outcome,
            Term::Call("empty", arguments) if arguments.is_empty() => {}
            // What a function does with its input is not known here.
            Term::Call(_, arguments) => {
                self.read(input);
                arguments.iter().for_each(|argument| self.read_from(argument, input));
            }
            Term::Path(base, path) => return self.path(base, &path.0, input),
            // A definition may be called `outcome`, and look at anything.
            Term::Recurse | Term::Fold(..) | Term::Def(..) => *self = Self::default(),
        }
        Of::Other
    }

    fn operation(&mut self, left: &Term<&str>, operator: &BinaryOp<&str>, right: &Term<&str>, input: Of) -> Of {
        match operator {
            BinaryOp::Pipe(None) => {
                let between = self.flow(left, input);
                return self.flow(right, between);
            }
            BinaryOp::Pipe(Some(pattern)) => {
                self.read_from(left, input);
                if !matches!(pattern, Pattern::Var(_)) {
                    self.read(input);
                }
                return self.flow(right, input);
            }
            BinaryOp::Comma | BinaryOp::Alt => {
                let left = self.flow(left, input);
                return self.either(left, right, input);
            }
            BinaryOp::Or | BinaryOp::And | BinaryOp::Math(_) | BinaryOp::Cmp(_) => {}
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => self.read(input),
        }
        self.read_from(left, input);
        self.read_from(right, input);
        Of::Other
    }

    /// What is one of two things is read, unless both are the same.
    fn either(&mut self, one: Of, other: &Term<&str>, input: Of) -> Of {
        let other = self.flow(other, input);
        if one == other {
            return one;
        }
        self.read(one);
        self.read(other);
        Of::Other
    }

    fn path(&mut self, base: &Term<&str>, parts: &[(Part<Term<&str>>, jaq_core::path::Opt)], input: Of) -> Of {
        let base = self.flow(base, input);
        for (part, _) in parts {
            match part {
                Part::Index(index) => self.read_from(index, input),
                Part::Range(from, to) => from.iter().chain(to).for_each(|bound| self.read_from(bound, input)),
            }
        }
        match parts.first() {
            None => return base,
            Some((Part::Index(index), _)) => match constant(index) {
                Some(name) => self.read_member(base, name),
                None => self.read(base),
            },
            Some(_) => self.read(base),
        }
        Of::Other
    }

    fn entry(&mut self, key: &Term<&str>, value: Option<&Term<&str>>, input: Of) {
        match (value, constant(key)) {
            (Some(value), _) => {
                self.read_from(key, input);
                self.read_from(value, input);
            }
            // `{$name}` is a variable's value, `{name}` that of a member.
            (None, _) if matches!(key, Term::Var(_)) => {}
            (None, Some(name)) => self.read_member(input, name),
            (None, None) => self.read(input),
        }
    }

    fn parts(&mut self, parts: &[StrPart<&str, Term<&str>>], input: Of) {
        for part in parts {
            if let StrPart::Term(term) = part {
                self.read_from(term, input);
            }
        }
    }
}

fn is_outcome(term: &Term<&str>) -> bool {
    matches!(term, Term::Call("outcome", arguments) if arguments.is_empty())
}

/// The text of a term that is one, without anything put in.
fn constant(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, parts) = term else { return None };
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(piece) => text.push_str(piece),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_found_in_the_text() {
        let all = None;
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
        for (source, body, outcome) in [
            ("outcome", false, all.clone()),
            (" ( outcome ) # all", false, all.clone()),
            ("outcome | {event_id, compliance}", false, some(&["compliance", "event_id"])),
            (
                "outcome | {id: .event_id, n: .compliance.count, c: [.codes[]]}",
                false,
                some(&["codes", "compliance", "event_id"]),
            ),
            ("outcome.compliance.count", false, some(&["compliance"])),
            ("outcome.\"a\\u0062\"", false, some(&["ab"])),
            ("outcome[\"a\"][.b]", true, some(&["a"])),
            ("{a: outcome.a, b: $event.id, $event}", false, some(&["a"])),
            ("1", false, some(&[])),
            (".", true, some(&[])),
            (".a", true, some(&[])),
            ("{a}", true, some(&[])),
            ("outcome | if .a > 1 then {a} else empty end", false, some(&["a"])),
            ("outcome | if .a > 1 then {a} end", false, all.clone()),
            ("outcome | .a // .b", false, some(&["a", "b"])),
            ("outcome | del(.extra)", false, all.clone()),
            ("outcome | .extra", false, some(&["extra"])),
            ("outcome as $o | {a: $o.a}", false, all.clone()),
            ("outcome as {a: $a} | $a", true, all.clone()),
            ("[outcome]", false, all.clone()),
            ("\"\\(outcome.a) \\(.b)\"", true, some(&["a"])),
            ("outcome | .a = 1", false, all.clone()),
            ("outcome + .", true, all.clone()),
            ("outcome, .", true, all.clone()),
            ("try outcome catch .", false, all.clone()),
            ("outcome | ..", true, all.clone()),
            ("def outcome: .; outcome", true, all.clone()),
            ("def f: .; 1", true, all.clone()),
            ("outcome | keys", false, all.clone()),
            ("outcome | [.a[] | select(.b)]", false, some(&["a"])),
            ("reduce outcome.a as $x (.; .)", true, all.clone()),
            ("outcome | {\"a\\(.b)\": 1}", false, some(&["b"])),
            ("outcome | {(.a): .b}", false, some(&["a", "b"])),
            ("outcome | {\"a\"}", false, some(&["a"])),
            ("outcome |", true, all),
        ] {
            let needs = Needs::of(source);
            assert_eq!((needs.body, needs.outcome), (body, outcome), "{source}");
        }
        assert!(Needs::of("outcome").is_outcome && !Needs::of("outcome | .").is_outcome);
    }
}
