//! A failure's message without what differs from event to event.

use event::shortened;

/// Bytes of a normalised message.
const MESSAGE_MAX: usize = 300;

/// A message without what differs from event to event. Words with a digit in them become `#`, which covers numbers, ids
/// and times, unless the digit belongs to a name such as `UTF-8` or `v2`; what stands in double quotes becomes `"…"`.
pub fn normalise(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            text.push_str("\"…\"");
            quoted(rest)
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = &rest[..length];
            let is_value = word.contains(|c: char| c.is_ascii_digit()) && !is_name(word, &text);
            text.push_str(if is_value { "#" } else { word });
            length
        } else {
            text.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
        if text.len() > MESSAGE_MAX {
            break;
        }
    }
    shortened(&text, MESSAGE_MAX)
}

/// A normalised message for people: what was cut out is an ellipsis, as it is between quotes.
pub fn shown_masked(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    let mut before = None;
    let mut rest = message.chars().peekable();
    while let Some(sign) = rest.next() {
        let stands_alone = before.is_none_or(|c| !is_word(c)) && rest.peek().is_none_or(|c| !is_word(*c));
        shown.push(if sign == '#' && stands_alone { '…' } else { sign });
        before = Some(sign);
    }
    shown
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+') && c.is_ascii()
}

/// Names of which a number is a part, as technical messages have them.
const NAMES: [&str; 33] = [
    "utf", "ucs", "sha", "md", "sha3", "base", "ipv", "http", "https", "tls", "tlsv", "ssl", "sslv", "oauth", "iso",
    "rfc", "x", "int", "uint", "float", "i", "u", "f", "es", "rs", "ps", "hs", "aes", "v", "h", "s", "ec", "latin",
];
/// Digits of such a number, at most, with dots and hyphens between them; an id has more.
const NUMBER_MAX: usize = 6;

/// Whether a word with a digit in it is a name: `UTF-8`, `sha256`, `v2`, `TLSv1.2`, `ISO-8859-1`, or what follows
/// `HTTP/`.
fn is_name(word: &str, before: &str) -> bool {
    let word = word.trim_end_matches(['.', ':', '-', '+']);
    let (name, number) = match word.find(|c: char| c.is_ascii_digit()) {
        Some(0) | None => (before.strip_suffix('/').map(last_word).unwrap_or_default(), word),
        Some(at) => (word[..at].trim_end_matches('-'), &word[at..]),
    };
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let known = NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    known && is_number && (1..=NUMBER_MAX).contains(&digits) && (name.len() > 1 || digits <= 3)
}

fn last_word(text: &str) -> &str {
    text.rfind(|c| !is_word(c)).map_or(text, |at| text[at..].trim_start_matches(|c| !is_word(c)))
}

/// Bytes of a quoted text at the beginning, with its quotes; up to the end if it is not closed.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_event_to_event_is_left_out() {
        let cases = [
            ("event 323fe013-0bf7-8289-abf2-2c99d1d27708 is damaged", "event # is damaged"),
            ("no answer within 5 s", "no answer within # s"),
            ("line 3, column 17: at 2026-03-02T08:15:00.123Z", "line #, column # at #"),
            (r#"cannot index "Peter \"the\" Great" with "wrapup""#, "cannot index \"…\" with \"…\""),
            ("an \"open end", "an \"…\""),
            ("Größe 12 € zu viel", "Größe # € zu viel"),
            ("order v20260302 of u12345 at c-17, agent-7", "order # of # at #, #"),
            ("a/17/b", "a/#/b"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(normalise(message), expected, "{message}");
        }
    }

    #[test]
    fn numbers_that_are_part_of_a_name_stay() {
        let cases = [
            (
                "the body is not valid UTF-8 at byte 12; send it as UTF-8",
                "the body is not valid UTF-8 at byte #; send it as UTF-8",
            ),
            ("HTTP/1.1 503: the api v2 wants sha256", "HTTP/1.1 # the api v2 wants sha256"),
            ("TLSv1.2, TLS 1.3, HTTP/2, ISO-8859-1.", "TLSv1.2, TLS #, HTTP/2, ISO-8859-1."),
            ("an int64, x509 and IPv6 at 10.0.0.1:80", "an int64, x509 and IPv6 at #"),
        ];
        for (message, expected) in cases {
            assert_eq!(normalise(message), expected, "{message}");
        }
    }

    #[test]
    fn a_long_message_ends_between_words_with_an_ellipsis() {
        let long = normalise(&"mend the sender ".repeat(100));
        assert!(long.len() <= MESSAGE_MAX && long.ends_with("…"), "{long}");
        assert!(["mend…", "the…", "sender…"].iter().any(|end| long.ends_with(end)), "{long}");
        assert!(normalise(&"ä ".repeat(10_000)).len() <= MESSAGE_MAX);
    }
}
