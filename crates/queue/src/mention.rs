//! Whether bytes that need not be an event mention a conversation.

use memchr::memmem::Finder;

/// Finds an id in bytes: as it is, or as JSON writes it, and not as a part of a longer one.
#[derive(Debug, Clone)]
pub struct Mention {
    /// The ways in which it may be written.
    forms: Vec<Vec<u8>>,
}

impl Mention {
    /// Of this id.
    pub fn of(id: &str) -> Self {
        let quoted = serde_json::Value::from(id).to_string();
        let mut forms = vec![id.as_bytes().to_vec(), quoted.as_bytes()[1..quoted.len() - 1].to_vec()];
        if !id.is_ascii() {
            let mut units = [0; 2];
            let escaped = id.chars().flat_map(|sign| match sign {
                ' '..='~' => vec![sign.to_string()],
                _ => sign.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            });
            forms.push(escaped.collect::<String>().into_bytes());
        }
        forms.dedup();
        forms.retain(|form| !form.is_empty());
        Self { forms }
    }

    /// Whether it stands somewhere in these bytes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| {
            Finder::new(form).find_iter(bytes).any(|at| {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                !goes_on(before) && !goes_on(bytes.get(at + form.len()))
            })
        })
    }
}

/// Whether a byte beside it makes it part of another id.
fn goes_on(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_and_not_a_part_of_another() {
        let mention = Mention::of("c-1");
        for body in [&br#"{"conversationId":"c-1"}"#[..], b"c-1", b"x=c-1&y", b"\xff c-1", br#"{"a":"c-10","b":"c-1"#] {
            assert!(mention.is_in(body), "{}", body.escape_ascii());
        }
        for body in [&b"c-10"[..], b"abc-1", b"c-1-2", b"c_1", b"", b"c-1\xc3\xa4"] {
            assert!(!mention.is_in(body), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn it_is_found_as_json_writes_it() {
        let mention = Mention::of("a\"b/\u{1}");
        assert!(mention.is_in(br#"["a\"b/\u0001"]"#) && mention.is_in(b"a\"b/\x01"));
        let mention = Mention::of("ä𝄞");
        assert!(mention.is_in("{\"c\":\"ä𝄞\"}".as_bytes()) && mention.is_in(br#"{"c":"\u00e4\ud834\udd1e"}"#));
        assert!(!Mention::of("").is_in(b"anything"));
    }
}
