//! Genesys' topics: `topicName` has the real ids in it, `detail-type` is the template with `{id}` in their place.

/// Topics of the events of a conversation as it goes on: customer.end, user.end, acw, wrapup and so on.
pub(crate) const CONVERSATION_DETAIL: &str = "v2.detail.events.";

/// Topics of audits.
pub(crate) const AUDITS: &str = "v2.audits.";

const ID: &str = "{id}";

/// The names of which the next part is an id, whatever it looks like.
const BEFORE_ID: [&str; 3] = ["conversation", "entitytype", "entityid"];

/// The template of a topic's name: every part that is an id becomes `{id}`.
pub(crate) fn template(name: &str) -> String {
    let mut template = String::with_capacity(name.len());
    let mut before = "";
    for part in name.split('.') {
        if !template.is_empty() {
            template.push('.');
        }
        let is_id = BEFORE_ID.contains(&before) || is_uuid(part);
        template.push_str(if is_id { ID } else { part });
        before = part;
    }
    template
}

pub(crate) fn is_uuid(part: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    part.len() == 36 && part.bytes().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_placeholders() {
        let id = "1f0e7c52-53b1-4d58-9a36-5a8f0a1be001";
        let cases = [
            (format!("v2.detail.events.conversation.{id}.acw"), "v2.detail.events.conversation.{id}.acw"),
            (format!("v2.audits.entitytype.Queue.entityid.{id}"), "v2.audits.entitytype.{id}.entityid.{id}"),
            (format!("v2.conversations.{id}.transcription"), "v2.conversations.{id}.transcription"),
            (format!("v2.conversations.chats.{id}.messages"), "v2.conversations.chats.{id}.messages"),
            ("v2.detail.events.conversation.c-17.user.end".into(), "v2.detail.events.conversation.{id}.user.end"),
            ("v2.detail.events.conversation.{id}.acw".into(), "v2.detail.events.conversation.{id}.acw"),
            ("call.ended".into(), "call.ended"),
            (String::new(), ""),
        ];
        for (name, expected) in cases {
            assert_eq!(template(&name), expected);
        }
    }
}
