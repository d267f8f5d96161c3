//! Where a transcript stands in the store: a template with the ids in it.
//!
//! All of a conversation is in one folder, so that it can be found and erased; all of it is below one folder with a fixed
//! name, so that retention sees nothing else.

use destinations::OpenError;
use object_store::path::Path;
use storage::key;

use crate::record::RECORD;

/// How templates are written.
const EXAMPLE: &str = "transcripts/{conversation_id}/{communication_id}/{recording_id}.json";
/// The placeholders, and in which order they stand.
const PLACEHOLDERS: [&str; 3] = ["{conversation_id}", "{communication_id}", "{recording_id}"];
/// Bytes that the name of a record has more than that of its object, and the name that a store writes first.
const SPARE: usize = RECORD.len() + 4;

/// A template that was understood: what stands before, between and behind the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// The folder that all is in, without a slash at its end.
    root: String,
    /// What stands between conversation and communication, communication and recording, and behind.
    between: [String; 3],
}

/// What a transcript is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids<'a> {
    pub(crate) conversation: &'a str,
    pub(crate) communication: &'a str,
    /// Empty if the platform does not name it.
    pub(crate) recording: &'a str,
}

impl Template {
    /// Understands a template.
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let refuse = |problem: &str| {
            let problem = format!("is `{text}`, {problem}; write it like {EXAMPLE}");
            Err(OpenError::Option { key: "object", problem })
        };
        let mut pieces = Vec::with_capacity(4);
        let mut rest = text;
        for placeholder in PLACEHOLDERS {
            let Some((before, after)) = rest.split_once(placeholder) else {
                return refuse(&format!("in which {placeholder} is missing or not in its place"));
            };
            pieces.push(before);
            rest = after;
        }
        pieces.push(rest);
        if pieces.iter().any(|piece| piece.contains(['{', '}'])) {
            return refuse("in which something else stands in braces");
        }
        let [folder, behind @ ..] = pieces.as_slice() else { return refuse("which is none") };
        let root = folder.trim_end_matches('/');
        if root.is_empty() || !folder.ends_with('/') || !behind[0].starts_with('/') {
            return refuse("in which a conversation has no folder of its own in a folder with a fixed name");
        }
        if !behind[2].ends_with(".json") {
            return refuse("which does not end with .json");
        }
        let template = Self { root: root.to_owned(), between: [0, 1, 2].map(|place| behind[place].to_owned()) };
        // A value is never empty and never `.` or `..`, so what holds for these holds for all.
        match template.path(Ids { conversation: "c", communication: "m", recording: "r" }) {
            Ok(_) => Ok(template),
            Err(problem) => refuse(&format!("which cannot be used: {problem}")),
        }
    }

    /// The key of a transcript.
    pub(crate) fn path(&self, ids: Ids<'_>) -> Result<Path, String> {
        let mut text = format!("{}/", self.root);
        for (value, behind) in [ids.conversation, ids.communication, ids.recording].into_iter().zip(&self.between) {
            key::push(&mut text, value);
            text.push_str(behind);
        }
        // There must be room for the name of its record.
        key::path(&format!("{text}{}", "-".repeat(SPARE)), EXAMPLE)?;
        key::path(&text, EXAMPLE)
    }

    /// The folder of a conversation.
    pub(crate) fn folder(&self, conversation: &str) -> Result<Path, String> {
        let mut text = format!("{}/", self.root);
        key::push(&mut text, conversation);
        key::path(&text, EXAMPLE)
    }

    /// The folder that all is in.
    pub(crate) fn root(&self) -> Path {
        Path::from(self.root.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids<'a>(conversation: &'a str, communication: &'a str, recording: &'a str) -> Ids<'a> {
        Ids { conversation, communication, recording }
    }

    #[test]
    fn ids_stand_where_the_template_says() {
        let template = Template::parse(crate::Options::OBJECT).unwrap();
        let path = template.path(ids("c-1", "m/1", "")).unwrap();
        assert_eq!(path.as_ref(), "transcripts/c-1/m%2F1/~none.json");
        assert_eq!(template.folder("c-1").unwrap().as_ref(), "transcripts/c-1");
        let template = Template::parse("calls/eu/{conversation_id}/{communication_id}-{recording_id}.json").unwrap();
        assert_eq!(template.path(ids("c", "m", "r")).unwrap().as_ref(), "calls/eu/c/m-r.json");
    }

    #[test]
    fn a_template_that_would_mix_conversations_or_hide_them_is_refused() {
        for wrong in [
            "",
            "transcripts/x.json",
            "{conversation_id}/{communication_id}/{recording_id}.json",
            "/{conversation_id}/{communication_id}/{recording_id}.json",
            "t/{communication_id}/{conversation_id}/{recording_id}.json",
            "t/{conversation_id}-{communication_id}/{recording_id}.json",
            "t-{conversation_id}/{communication_id}/{recording_id}.json",
            "t/{conversation_id}/{communication_id}.json",
            "t/{conversation_id}/{communication_id}/{recording_id}",
            "t/../{conversation_id}/{communication_id}/{recording_id}.json",
            "t/{conversation_id}/{communication_id}/{recording_id}/{x}.json",
        ] {
            let error = Template::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("`object` is `"), "{error}");
        }
    }

    proptest! {
        /// Whatever the ids are, a transcript is in the folder of its conversation and nowhere else, or nowhere at all.
        #[test]
        fn no_id_leads_out_of_its_folder(conversation in ".*", communication in ".*", recording in ".*", other in ".*") {
            let template = Template::parse(crate::Options::OBJECT).unwrap();
            let Ok(path) = template.path(ids(&conversation, &communication, &recording)) else { return Ok(()) };
            let folder = template.folder(&conversation).unwrap();
            prop_assert_eq!(path.parts().count(), 4);
            prop_assert!(path.prefix_matches(&folder));
            if other != conversation && let Ok(other) = template.folder(&other) {
                prop_assert!(!path.prefix_matches(&other));
            }
        }
    }
}
