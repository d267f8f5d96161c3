//! Undoing the escapes of a JSON string.

/// Appends the meaning of an escaped string's content to `out`, which stays valid UTF-8 if it and `content` are.
///
/// `content` has been scanned, so its escapes are well formed. A surrogate without its partner becomes U+FFFD: it is
/// no character, and no pattern can name it.
pub(crate) fn unescape(content: &[u8], out: &mut Vec<u8>) {
    let mut rest = content;
    while let Some(backslash) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some((kind, tail)) = rest.split_first() else { return };
        rest = tail;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => rest = unescape_unit(rest, out),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

/// Appends the character whose first UTF-16 unit stands at the start of `rest`; answers what follows it.
fn unescape_unit<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let first = unit(rest);
    let rest = rest.get(4..).unwrap_or_default();
    let mut buffer = [0; 4];
    if (0xD800..0xDC00).contains(&first) && rest.starts_with(b"\\u") {
        let second = unit(&rest[2..]);
        if (0xDC00..0xE000).contains(&second) {
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            return rest.get(6..).unwrap_or_default();
        }
    }
    let character = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    rest
}

fn unit(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |value, digit| value * 16 + char::from(*digit).to_digit(16).unwrap_or(0))
}
