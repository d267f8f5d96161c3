//! Cutting text for people, so that it is seen that something is missing.

/// What stands in place of what was cut off.
const ELLIPSIS: char = '…';

/// The text, or as much of its start as fits `max_bytes` together with an ellipsis, cut between two words if that loses
/// less than half.
pub fn shortened(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let room = text.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len_utf8()));
    let start = &text[..room];
    let at_word = text[room..].starts_with(char::is_whitespace);
    let end = if at_word { room } else { start.rfind(char::is_whitespace).filter(|at| at * 2 >= room).unwrap_or(room) };
    let mut cut = start[..end].trim_end().to_owned();
    cut.push(ELLIPSIS);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_ends_between_words_and_with_an_ellipsis() {
        let cases = [
            ("short", 5, "short"),
            ("raise the limit of the source", 20, "raise the limit…"),
            ("raise the limit of the source", 18, "raise the limit…"),
            ("raise the limit  x", 17, "raise the…"),
            ("onewordwithoutanyblank", 10, "oneword…"),
            ("a verylongwordthatdoesnotfit", 12, "a verylon…"),
            ("größer größer größer", 14, "größer…"),
            ("", 0, ""),
            ("ab", 1, "…"),
        ];
        for (text, max, expected) in cases {
            assert_eq!(shortened(text, max), expected, "{text} {max}");
        }
        for max in 3..40 {
            assert!(shortened("ä€🙂 words of many widths, and more", max).len() <= max, "{max}");
        }
    }
}
