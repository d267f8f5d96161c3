//! From a pattern's JSON to its fields and combinations, refusing what is not in the language.

use super::folded::Folded;
use super::network::{Network, parse_address};
use super::number::{NumberRange, comparable};
use super::test::{Alternative, Test};
use super::wildcard::Wildcard;
use super::{Field, Pattern, PatternError, compare_paths};
use crate::json::Node;
use crate::limits::{MAX_COMBINATIONS, MAX_PATTERN_FIELDS};

const OR: &str = "$or";

/// Names that cannot be fields inside a `$or`, so that an array of tests is not taken for one of patterns.
const RESERVED_INSIDE_OR: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// Compiles the tree of a whole pattern.
pub(super) fn compile(tree: &Node) -> Result<Pattern, PatternError> {
    let mut compiler = Compiler::new(true);
    compiler.whole(tree).map(|combinations| compiler.finish(combinations)).or_else(|error| {
        // `$or` may still be meant as a member name.
        if !names_or(tree) {
            return Err(error);
        }
        let mut compiler = Compiler::new(false);
        compiler.whole(tree).map(|combinations| compiler.finish(combinations)).map_err(|_| error)
    })
}

fn names_or(node: &Node) -> bool {
    match node {
        Node::Object(members) => members.iter().any(|(name, value)| name == OR || names_or(value)),
        _ => false,
    }
}

/// Indexes into the fields, in the order written.
type Combination = Vec<usize>;

struct Compiler {
    /// Whether `$or` is an operator.
    or_is_operator: bool,
    fields: Vec<Field>,
    path: Vec<String>,
}

impl Compiler {
    fn new(or_is_operator: bool) -> Self {
        Self { or_is_operator, fields: Vec::new(), path: Vec::new() }
    }

    fn whole(&mut self, tree: &Node) -> Result<Vec<Combination>, PatternError> {
        let Node::Object(members) = tree else {
            return Err(self.error("a pattern must be a JSON object"));
        };
        let mut combinations = Vec::new();
        self.object(members, &mut combinations, false)?;
        Ok(combinations)
    }

    fn finish(self, mut combinations: Vec<Combination>) -> Pattern {
        for combination in &mut combinations {
            combination.sort_by(|left, right| compare_paths(&self.fields[*left].path, &self.fields[*right].path));
        }
        Pattern { fields: self.fields, combinations }
    }

    /// Adds an object's fields to every combination there is so far.
    fn object(
        &mut self,
        members: &[(String, Node)],
        combinations: &mut Vec<Combination>,
        inside_or: bool,
    ) -> Result<(), PatternError> {
        if members.is_empty() {
            return Err(self.error("an object needs at least one field"));
        }
        for (name, value) in members {
            if self.or_is_operator && name == OR {
                self.branches(value, combinations)?;
                continue;
            }
            if inside_or && RESERVED_INSIDE_OR.contains(&name.as_str()) {
                return Err(self.error(format!("`{name}` is reserved; it cannot name a field inside `$or`")));
            }
            self.path.push(name.clone());
            match value {
                Node::Object(members) => self.object(members, combinations, inside_or)?,
                Node::Array(values) => self.field(values, combinations)?,
                _ => return Err(self.error("needs an array of accepted values, or an object of fields")),
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Multiplies the combinations so far by the branches of a `$or`.
    fn branches(&mut self, value: &Node, combinations: &mut Vec<Combination>) -> Result<(), PatternError> {
        let Node::Array(branches) = value else {
            return Err(self.error("`$or` needs an array of objects"));
        };
        if branches.len() < 2 {
            return Err(self.error("`$or` needs at least two objects"));
        }
        let before = std::mem::take(combinations);
        for branch in branches {
            let Node::Object(members) = branch else {
                return Err(self.error("`$or` needs an array of objects"));
            };
            let mut with_branch = if before.is_empty() { vec![Vec::new()] } else { before.clone() };
            self.object(members, &mut with_branch, true)?;
            combinations.append(&mut with_branch);
            if combinations.len() > MAX_COMBINATIONS {
                return Err(self.error(format!(
                    "the `$or`s multiply to more than {MAX_COMBINATIONS} combinations; split the pattern into several"
                )));
            }
        }
        Ok(())
    }

    fn field(&mut self, values: &[Node], combinations: &mut Vec<Combination>) -> Result<(), PatternError> {
        if values.is_empty() {
            return Err(self.error("an array needs at least one accepted value"));
        }
        let mut alternatives = Vec::with_capacity(values.len());
        for value in values {
            self.alternative(value, &mut alternatives)?;
        }
        let field = Field { path: self.joined_path(), alternatives };
        if combinations.is_empty() {
            combinations.push(Vec::new());
        }
        let index = self.fields.len();
        for combination in combinations {
            match combination.iter().position(|earlier| self.fields[*earlier].path == field.path) {
                Some(earlier) => combination[earlier] = index,
                None if combination.len() == MAX_PATTERN_FIELDS => {
                    return Err(self.error(format!("a pattern may name at most {MAX_PATTERN_FIELDS} fields at once")));
                }
                None => combination.push(index),
            }
        }
        self.fields.push(field);
        Ok(())
    }

    fn alternative(&self, value: &Node, out: &mut Vec<Alternative>) -> Result<(), PatternError> {
        let test = match value {
            Node::Object(members) => return self.expression(members, out),
            Node::Text(text) => match parse_address(text) {
                Some(address) => Test::Network(Network::single(address)),
                None => Test::Text(text.as_str().into()),
            },
            Node::Number(literal) => match comparable(literal.as_bytes()) {
                Some(number) => Test::Number(number),
                None => Test::NumberAsWritten(literal.as_str().into()),
            },
            Node::True => Test::True,
            Node::False => Test::False,
            Node::Null => Test::Null,
            Node::Array(_) => return Err(self.error("an accepted value cannot be an array")),
        };
        out.push(Alternative::Is(test));
        Ok(())
    }

    /// `{"operator": argument}`
    fn expression(&self, members: &[(String, Node)], out: &mut Vec<Alternative>) -> Result<(), PatternError> {
        let (operator, argument) = self.only_member(members, "a test")?;
        let test = match operator {
            "exactly" => Test::Text(self.text(operator, argument)?.into()),
            "equals-ignore-case" => Test::IgnoreCase(Folded::new(self.text(operator, argument)?)),
            "prefix" => match argument {
                Node::Object(inner) => Test::PrefixIgnoreCase(self.ignore_case(operator, inner)?),
                _ => Test::Prefix(self.text(operator, argument)?.into()),
            },
            "suffix" => match argument {
                Node::Object(inner) => Test::SuffixIgnoreCase(self.ignore_case(operator, inner)?),
                _ => Test::Suffix(self.text(operator, argument)?.into()),
            },
            "wildcard" => self.wildcard(self.text(operator, argument)?)?,
            "cidr" => Test::Network(Network::parse(self.text(operator, argument)?).map_err(|why| self.error(why))?),
            "numeric" => self.numeric(argument)?,
            "anything-but" => {
                let tests = self.anything_but(argument)?;
                let closed: Vec<Test> = tests.iter().filter_map(up_to_the_quote).collect();
                out.push(Alternative::AnythingBut(tests.into_iter().chain(closed).collect()));
                return Ok(());
            }
            "exists" => {
                out.push(match argument {
                    Node::True => Alternative::Present,
                    Node::False => Alternative::Absent,
                    _ => return Err(self.error("exists needs true or false")),
                });
                return Ok(());
            }
            unknown => return Err(self.error(format!("unknown operator `{unknown}`"))),
        };
        let closed = up_to_the_quote(&test);
        out.extend([test].into_iter().chain(closed).map(Alternative::Is));
        Ok(())
    }

    fn anything_but(&self, argument: &Node) -> Result<Vec<Test>, PatternError> {
        match argument {
            Node::Object(members) => self.anything_but_operator(members),
            Node::Array(values) => self.anything_but_values(values),
            single => self.anything_but_values(std::slice::from_ref(single)),
        }
    }

    fn anything_but_values(&self, values: &[Node]) -> Result<Vec<Test>, PatternError> {
        let mixed = "anything-but needs a text, a number, or a list of only texts or only numbers";
        let all_texts = values.iter().all(|value| matches!(value, Node::Text(_)));
        let all_numbers = values.iter().all(|value| matches!(value, Node::Number(_)));
        if values.is_empty() || !(all_texts || all_numbers) {
            return Err(self.error(mixed));
        }
        values
            .iter()
            .map(|value| match value {
                Node::Text(text) => Ok(Test::Text(text.as_str().into())),
                Node::Number(literal) => self.number("anything-but", literal).map(Test::Number),
                _ => Err(self.error(mixed)),
            })
            .collect()
    }

    /// `{"anything-but": {"operator": text or texts}}`
    fn anything_but_operator(&self, members: &[(String, Node)]) -> Result<Vec<Test>, PatternError> {
        let (operator, argument) = self.only_member(members, "anything-but")?;
        let texts = match argument {
            Node::Array(_) if !self.or_is_operator && operator != "equals-ignore-case" => {
                return Err(self.error(format!("anything-but {operator} needs a text")));
            }
            Node::Array(texts) if texts.is_empty() => {
                return Err(self.error(format!("anything-but {operator} needs at least one text")));
            }
            Node::Array(texts) => texts.as_slice(),
            single => std::slice::from_ref(single),
        };
        let test = |text: &str| match operator {
            "equals-ignore-case" => Ok(Test::IgnoreCase(Folded::new(text))),
            "prefix" | "suffix" if text.is_empty() => {
                Err(self.error(format!("anything-but {operator} needs a text that is not empty")))
            }
            "prefix" => Ok(Test::Prefix(text.into())),
            "suffix" => Ok(Test::Suffix(text.into())),
            "wildcard" if self.or_is_operator => self.wildcard(text),
            unknown => Err(self.error(format!("anything-but does not know the operator `{unknown}`"))),
        };
        texts.iter().map(|text| self.text(&format!("anything-but {operator}"), text).and_then(test)).collect()
    }

    fn numeric(&self, argument: &Node) -> Result<Test, PatternError> {
        let needs = "numeric needs [comparison, number] or [\">\" or \">=\", number, \"<\" or \"<=\", number]";
        let Node::Array(parts) = argument else { return Err(self.error(needs)) };
        let mut range = NumberRange::ALL;
        match parts.as_slice() {
            [Node::Text(comparison), Node::Number(literal)] => {
                let number = self.number("numeric", literal)?;
                match comparison.as_str() {
                    "=" => Ok(Test::Number(number)),
                    ">" | ">=" => {
                        (range.low, range.low_open) = (number, comparison == ">");
                        Ok(Test::Range(range))
                    }
                    "<" | "<=" => {
                        (range.high, range.high_open) = (number, comparison == "<");
                        Ok(Test::Range(range))
                    }
                    unknown => Err(self.error(format!("numeric does not know `{unknown}`; {needs}"))),
                }
            }
            [Node::Text(lower), Node::Number(low), Node::Text(upper), Node::Number(high)] => {
                if !matches!(lower.as_str(), ">" | ">=") || !matches!(upper.as_str(), "<" | "<=") {
                    return Err(self.error(needs));
                }
                (range.low, range.low_open) = (self.number("numeric", low)?, lower == ">");
                (range.high, range.high_open) = (self.number("numeric", high)?, upper == "<");
                if range.low >= range.high {
                    return Err(self
                        .error(format!("numeric needs a lower bound below the upper one; {low} is not below {high}")));
                }
                Ok(Test::Range(range))
            }
            _ => Err(self.error(needs)),
        }
    }

    fn wildcard(&self, text: &str) -> Result<Test, PatternError> {
        Wildcard::parse(text).map(Test::Wildcard).map_err(|why| self.error(why))
    }

    fn ignore_case(&self, operator: &str, members: &[(String, Node)]) -> Result<Folded, PatternError> {
        match self.only_member(members, operator)? {
            ("equals-ignore-case", argument) => {
                Ok(Folded::new(self.text(&format!("{operator} equals-ignore-case"), argument)?))
            }
            (unknown, _) => Err(self.error(format!("{operator} needs a text or equals-ignore-case, not `{unknown}`"))),
        }
    }

    fn only_member<'n>(&self, members: &'n [(String, Node)], what: &str) -> Result<(&'n str, &'n Node), PatternError> {
        match members {
            [(name, value)] => Ok((name, value)),
            _ => Err(self.error(format!("{what} needs exactly one operator; it has {}", members.len()))),
        }
    }

    fn text<'n>(&self, operator: &str, node: &'n Node) -> Result<&'n str, PatternError> {
        match node {
            Node::Text(text) => Ok(text),
            _ => Err(self.error(format!("{operator} needs a text"))),
        }
    }

    fn number(&self, operator: &str, literal: &str) -> Result<f64, PatternError> {
        comparable(literal.as_bytes()).ok_or_else(|| {
            self.error(format!("{operator} needs numbers that a 64-bit float holds exactly; {literal} is not"))
        })
    }

    /// The path of the field in hand. Names joined by dots, but for an empty path in front, which adds no dot.
    fn joined_path(&self) -> String {
        match self.path.split_last() {
            Some((last, rest)) if rest.iter().all(String::is_empty) && rest.len() <= 1 => last.clone(),
            _ => self.path.join("."),
        }
    }

    fn error(&self, message: impl Into<String>) -> PatternError {
        PatternError { path: self.path.join("."), message: message.into() }
    }
}

/// Event Ruler keeps the quotes around a text, so a prefix that ends in a quote also accepts the text that ends there,
/// and a suffix that begins with one the text that begins there. This is the test for that text.
fn up_to_the_quote(test: &Test) -> Option<Test> {
    match test {
        Test::Prefix(text) => text.strip_suffix('"').map(|text| Test::Text(text.into())),
        Test::Suffix(text) => text.strip_prefix('"').map(|text| Test::Text(text.into())),
        Test::PrefixIgnoreCase(text) => {
            text.written().strip_suffix('"').map(|text| Test::IgnoreCase(Folded::new(text)))
        }
        Test::SuffixIgnoreCase(text) => {
            text.written().strip_prefix('"').map(|text| Test::IgnoreCase(Folded::new(text)))
        }
        _ => None,
    }
}
