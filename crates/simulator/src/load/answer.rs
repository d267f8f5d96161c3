//! Reads just enough of an HTTP answer: its status, where it ends, and how many events were accepted.

use memchr::memmem;

/// One answer at the beginning of what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Length of head and body in bytes.
    pub(super) len: usize,
    head: usize,
}

/// The peer does not speak the HTTP that is expected here: 1.1 with a `Content-Length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not HTTP/1.1 with a content-length")]
pub(super) struct NotUnderstood;

/// A head longer than this is not waited for.
const HEAD_MAX: usize = 16 * 1024;
/// Nor a body longer than this.
const BODY_MAX: usize = 4 * 1024 * 1024;

impl Answer {
    /// The answer that `received` begins with; `None` when there is more to come.
    pub(super) fn read(received: &[u8]) -> Result<Option<Self>, NotUnderstood> {
        let Some(end) = memmem::find(received, b"\r\n\r\n") else {
            return if received.len() > HEAD_MAX { Err(NotUnderstood) } else { Ok(None) };
        };
        let lines = &received[..end];
        let status = lines.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?)).ok_or(NotUnderstood)?;
        let body = lines
            .split(|&byte| byte == b'\n')
            .find_map(|line| {
                let (name, value) = line.split_at_checked(b"content-length:".len())?;
                name.eq_ignore_ascii_case(b"content-length:").then(|| number(value.trim_ascii()))
            })
            .flatten()
            .filter(|&body| body <= BODY_MAX as u64)
            .ok_or(NotUnderstood)?;
        let answer = Self { status: status as u16, len: end + 4 + body as usize, head: end + 4 };
        Ok((received.len() >= answer.len).then_some(answer))
    }

    /// The number that the body gives for this member; 0 if it gives none. The member is written with its quotation
    /// marks and colon. Only the beginning is searched, as the list of ids that follows may be long.
    pub(super) fn count(&self, received: &[u8], member: &[u8]) -> u64 {
        const SEARCHED: usize = 128;
        let body = received.get(self.head..self.len).unwrap_or_default();
        let body = &body[..body.len().min(SEARCHED)];
        let value = memmem::find(body, member).map(|at| body[at + member.len()..].trim_ascii_start());
        value
            .and_then(|value| number(&value[..value.iter().take_while(|byte| byte.is_ascii_digit()).count()]))
            .unwrap_or_default()
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if all_digits { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\ndate: x\r\n\r\n{\"accepted\":7,\"duplicates\": 12,\"events\":[]}extra";

    #[test]
    fn reads_status_length_and_counts() {
        let answer = Answer::read(OK).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.count(OK, b"\"accepted\":"), answer.count(OK, b"\"duplicates\":")),
            (200, 7, 12)
        );
        assert_eq!(answer.count(OK, b"\"other\":"), 0);
        assert!((0..answer.len).all(|end| Answer::read(&OK[..end]) == Ok(None)), "waits for the whole");
    }

    #[test]
    fn refuses_what_it_cannot_measure() {
        for text in [
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 2x0\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(Answer::read(text.as_bytes()), Err(NotUnderstood), "{text}");
        }
        assert_eq!(
            Answer::read(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n"),
            Err(NotUnderstood)
        );
        assert_eq!(Answer::read(&[b'x'; HEAD_MAX + 1]), Err(NotUnderstood));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..80) {
            bytes.splice(0..0, OK[..cut.min(OK.len())].iter().copied());
            if let Ok(Some(answer)) = Answer::read(&bytes) {
                let _ = answer.count(&bytes, b"\"accepted\":");
            }
        }
    }
}
