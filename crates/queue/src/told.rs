//! A failure's message for those who may not see what is in events: the log, alarms, and whoever is told of them.
//!
//! Who writes a mapping or a trigger of a database chooses its words, and may put values into them. They are kept with the
//! dead letter, which takes a token to read, and cut out here. What else a message has is text of this program.

use std::borrow::Cow;

/// What comes before the words of a mapping: the route's name stands between the two.
const MAPPING: [&str; 2] = ["the mapping of route ", " failed: "];
/// What comes before the words of a database about a row. Behind them stand its code and the constraint, in brackets.
const ROW: &str = "PostgreSQL refused the row: ";
/// Class of SQLSTATE whose words are those of PostgreSQL itself: a value does not fit. Only what stands in quotes is a value.
const VALUES: &str = "22";
/// Stands for what is cut out.
const KEPT: &str = "(its words are kept with the dead letter)";

/// The message without what others have chosen the words of.
pub fn told(message: &str) -> Cow<'_, str> {
    if let Some(words) = words_of_mapping(message) {
        return Cow::Owned(format!("{}{KEPT}", &message[..words]));
    }
    let Some((before, words)) = message.split_once(ROW) else { return Cow::Borrowed(message) };
    let (words, code) = words.rsplit_once(" (").unwrap_or((words, ""));
    let code = code.trim_end_matches(')');
    let told = match code {
        "" => format!("{before}{ROW}{KEPT}"),
        code if code.starts_with(VALUES) => format!("{before}{ROW}{} ({code})", without_quoted(words)),
        code => format!("{before}{ROW}{KEPT} ({code})"),
    };
    Cow::Owned(told)
}

/// Where the words of a mapping begin, if there are some. What older versions have kept says "route NAME: the mapping failed: ".
fn words_of_mapping(message: &str) -> Option<usize> {
    let [mapping, failed] = MAPPING;
    let name = message.find(mapping)? + mapping.len();
    message[name..].find(failed).map(|end| name + end + failed.len())
}

/// What stands between double quotes becomes an ellipsis, also if the last one is missing.
fn without_quoted(text: &str) -> String {
    let parts = text.split('"').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { part } else { "\"…\"" }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_cut_out_and_what_helps_stays() {
        for (message, expected) in [
            ("HTTP 422", "HTTP 422"),
            (
                "the mapping of route 1 failed: Jane Doe",
                "the mapping of route 1 failed: (its words are kept with the dead letter)",
            ),
            (
                "the mapping of route 1: the mapping was stopped: a value takes more than 16 MB",
                "the mapping of route 1: the mapping was stopped: a value takes more than 16 MB",
            ),
            // As older versions have kept it.
            (
                "the mapping of route 1: the mapping failed: Jane Doe",
                "the mapping of route 1: the mapping failed: (its words are kept with the dead letter)",
            ),
            (
                "PostgreSQL refused the row: Key (email)=(a@b) already exists (P0001)",
                "PostgreSQL refused the row: (its words are kept with the dead letter) (P0001)",
            ),
            (
                "PostgreSQL refused the row: no (really) (23505, constraint calls_email_key)",
                "PostgreSQL refused the row: (its words are kept with the dead letter) (23505, constraint calls_email_key)",
            ),
            (
                "PostgreSQL refused the row: value \"99999999999\" is out of range for type integer (22003)",
                "PostgreSQL refused the row: value \"…\" is out of range for type integer (22003)",
            ),
            // As a group of dead letters has it.
            (
                "the mapping of route # failed: \"…\" Jane",
                "the mapping of route # failed: (its words are kept with the dead letter)",
            ),
        ] {
            assert_eq!(told(message), expected);
        }
    }

    proptest! {
        #[test]
        fn no_words_of_a_mapping_or_a_trigger_are_told(
            words in ".{0,80}", name in "[a-z :]{1,20}", code in "(P0001|23505|44000|XX000)",
        ) {
            let words = format!("sesame{words}sesame");
            let mapping = format!("the mapping of route {name} failed: {words}");
            let before = format!("the mapping of route {name}: the mapping failed: {words}");
            let row = format!("PostgreSQL refused the row: {words} ({code})");
            for message in [mapping, before, row] {
                prop_assert!(!told(&message).contains("sesame"), "{message}");
            }
        }
    }
}
