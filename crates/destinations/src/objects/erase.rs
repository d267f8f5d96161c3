//! Erasing the objects of a conversation: they are found by their keys, so the key's template must have the conversation in
//! it, and in a way that no other conversation has the same key.

use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};

use super::key::{Piece, Template, encoded};
use crate::{Erased, Erasure};

/// Objects that are listed for one request.
const LISTED: usize = 1_000;
/// Characters of an event's id.
const ID_CHARS: usize = 36;

/// What the keys of a conversation's objects look like, part by part.
#[derive(Debug)]
pub(super) struct Wanted(Vec<Vec<Part>>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Id,
    Any,
}

impl Wanted {
    /// By a template; or why keys do not tell.
    pub(super) fn of(template: &Template, conversation: &str) -> Result<Self, String> {
        let mut parts = vec![Vec::new()];
        let mut telling = vec![(false, false)];
        for piece in template.pieces() {
            let (part, is_conversation) = match piece {
                Piece::Text(text) => {
                    for (at, text) in text.split('/').enumerate() {
                        if at > 0 {
                            parts.push(Vec::new());
                            telling.push((false, false));
                        }
                        if let Some(last) = parts.last_mut().filter(|_| !text.is_empty()) {
                            last.push(Part::Text(text.to_owned()));
                        }
                    }
                    continue;
                }
                Piece::EventId => (Part::Id, false),
                Piece::ConversationId => (Part::Text(encoded(conversation)), true),
                Piece::Source | Piece::Topic => (Part::Any, false),
            };
            if let (Some(last), Some(telling)) = (parts.last_mut(), telling.last_mut()) {
                telling.0 |= is_conversation;
                telling.1 |= matches!(part, Part::Any);
                last.push(part);
            }
        }
        if telling.iter().any(|(has_conversation, is_clear)| *has_conversation && !is_clear) {
            return Ok(Self(parts));
        }
        Err("the objects of a conversation cannot be told by their keys: `object` has no {conversation_id} that is \
             apart from {source} and {topic}; look for the conversation's id in the objects, and delete those"
            .to_owned())
    }

    /// The folder that all of them are in.
    fn folder(&self) -> String {
        let known = self.0.iter().map_while(|part| match part.as_slice() {
            [Part::Text(_), ..] if part.iter().all(|part| matches!(part, Part::Text(_))) => {
                Some(part.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" }).collect())
            }
            _ => None,
        });
        let folders: Vec<String> = known.take(self.0.len() - 1).collect();
        folders.join("/")
    }

    /// Whether an object is one of them.
    fn has(&self, key: &str) -> bool {
        let parts: Vec<_> = key.split('/').collect();
        parts.len() == self.0.len() && self.0.iter().zip(parts).all(|(wanted, part)| fits(wanted, part))
    }
}

fn fits(wanted: &[Part], text: &str) -> bool {
    match wanted.split_first() {
        None => text.is_empty(),
        Some((Part::Text(start), rest)) => text.strip_prefix(start.as_str()).is_some_and(|text| fits(rest, text)),
        Some((Part::Id, rest)) => {
            let id = text.split_at_checked(ID_CHARS);
            id.is_some_and(|(id, text)| id.parse::<event::EventId>().is_ok() && fits(rest, text))
        }
        Some((Part::Any, rest)) => (1..=text.len()).any(|at| text.get(at..).is_some_and(|text| fits(rest, text))),
    }
}

/// Deletes them, or only counts them.
pub(super) async fn erase(
    objects: &dyn ObjectStore,
    is_directory: bool,
    wanted: &Wanted,
    erasure: &Erasure,
) -> Result<Erased, Error> {
    let folder = Some(wanted.folder()).filter(|folder| !folder.is_empty()).map(|folder| Path::parse(&folder));
    let folder = folder.transpose()?;
    let mut found = match &erasure.cursor {
        Some(cursor) => objects.list_with_offset(folder.as_ref(), &Path::parse(cursor)?),
        None => objects.list(folder.as_ref()),
    };
    let mut listed: Vec<ObjectMeta> = Vec::new();
    // A directory is listed in no order, so there is no going on behind a name: all of it is one request.
    while let Some(object) = found.try_next().await? {
        listed.push(object);
        if !is_directory && listed.len() == LISTED {
            break;
        }
    }
    let mut erased = Erased { looked: listed.len() as u64, ..Erased::default() };
    erased.next =
        listed.last().filter(|_| !is_directory && listed.len() == LISTED).map(|last| last.location.to_string());
    for object in listed.iter().filter(|object| wanted.has(object.location.as_ref())) {
        if !erasure.dry_run {
            match objects.delete(&object.location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        erased.rows += 1;
        erased.files += 1;
        erased.bytes += object.size;
    }
    Ok(erased)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_template_that_does_not_tell_the_conversation_is_refused() {
        for template in ["{event_id}", "{conversation_id}-{topic}-{event_id}", "{source}{conversation_id}/{event_id}"] {
            let refused = Wanted::of(&Template::parse(template).unwrap(), "c").unwrap_err();
            assert!(refused.contains("{conversation_id}") && refused.contains("delete"), "{refused}");
        }
        let wanted =
            Wanted::of(&Template::parse("a/{source}/x-{conversation_id}/{event_id}.json").unwrap(), "c").unwrap();
        assert_eq!(wanted.folder(), "a");
    }

    proptest! {
        #[test]
        fn the_objects_of_a_conversation_are_its_own(
            one in "[a-c./-]{1,4}",
            other in "[a-c./-]{1,4}",
            topic in "[a-c./-]{0,3}",
            template in prop::sample::select(vec![
                "o/{conversation_id}/{event_id}.json",
                "{topic}/{conversation_id}-{event_id}.json",
                "{event_id}-{conversation_id}",
                "{topic}-{source}/{conversation_id}{conversation_id}/{event_id}",
            ]),
        ) {
            let template = Template::parse(template).unwrap();
            let mut delivery = super::super::tests::delivery("one", Some(&other), "");
            delivery.topic = topic.into();
            let key = template.key(&delivery).unwrap();
            let wanted = Wanted::of(&template, &one).unwrap();
            prop_assert_eq!(wanted.has(key.as_ref()), one == other, "{} {:?}", key, wanted);
            prop_assert!(one != other || key.as_ref().starts_with(&wanted.folder()));
        }
    }
}
