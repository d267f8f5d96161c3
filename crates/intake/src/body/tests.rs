use std::collections::VecDeque;

use hyper::body::Frame;
use proptest::prelude::*;

use super::*;

/// A body of given pieces with a pause before each, which ends or stays open.
struct Pieces {
    pieces: VecDeque<(Duration, Bytes)>,
    open_end: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some((wait, _)) = self.pieces.front() else {
            return if self.open_end { Poll::Pending } else { Poll::Ready(None) };
        };
        let wait = *wait;
        if !wait.is_zero() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        Poll::Ready(self.pieces.pop_front().map(|(_, piece)| Ok(Frame::data(piece))))
    }
}

fn pieces(sizes: &[usize], wait: Duration, open_end: bool) -> Pieces {
    let pieces = sizes.iter().map(|&size| (wait, Bytes::from(vec![b'x'; size]))).collect();
    Pieces { pieces, open_end, pause: None }
}

fn limits() -> Limits {
    Limits { body_timeout: Duration::from_secs(30), body_stall: Duration::from_secs(5), ..Limits::default() }
}

async fn read_all(mut body: Pieces, max: usize) -> Result<usize, BodyFailure> {
    let memory = BodyMemory::new(1024 * 1024);
    read(&mut body, max, &limits(), &memory).await.map(|(bytes, _)| bytes.len())
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_cut_off() {
    assert_eq!(read_all(pieces(&[60, 40], Duration::ZERO, false), 100).await, Ok(100));
    assert_eq!(read_all(pieces(&[60, 41], Duration::ZERO, true), 100).await, Err(BodyFailure::TooLarge));
    assert_eq!(read_all(pieces(&[101], Duration::ZERO, true), 100).await, Err(BodyFailure::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up_after_the_stall() {
    let begun = Instant::now();
    assert_eq!(read_all(pieces(&[2000], Duration::ZERO, true), 10_000).await, Err(BodyFailure::TooSlow));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_given_up_and_a_slow_body_is_read() {
    let second = Duration::from_secs(1);
    assert_eq!(read_all(pieces(&[1; 40], second, false), 10_000).await, Err(BodyFailure::TooSlow));
    assert_eq!(read_all(pieces(&[1000; 9], second, false), 10_000).await, Ok(9000));
}

#[tokio::test(start_paused = true)]
async fn no_body_takes_longer_than_the_timeout() {
    let begun = Instant::now();
    let slow = pieces(&[2000; 100], Duration::from_secs(1), false);
    assert_eq!(read_all(slow, 1_000_000).await, Err(BodyFailure::TooSlow));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn memory_is_given_back() {
    let memory = BodyMemory::new(16 * SMALL_BODY_BYTES);
    for _ in 0..50 {
        let big = &[SMALL_BODY_BYTES; 4];
        let read_one = read(&mut pieces(big, Duration::ZERO, false), 10_000_000, &limits(), &memory).await;
        assert_eq!(read_one.unwrap().0.len(), 4 * SMALL_BODY_BYTES);
        let mut huge = pieces(&[SMALL_BODY_BYTES; 9], Duration::ZERO, false);
        let refused = read(&mut huge, 10_000_000, &limits(), &memory).await;
        assert_eq!(refused.err(), Some(BodyFailure::NoMemory));
    }
}

proptest! {
    #[test]
    fn pieces_are_joined_in_order(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let pieces = chunks.iter().map(|chunk| (Duration::ZERO, Bytes::from(chunk.clone()))).collect();
        let mut body = Pieces { pieces, open_end: false, pause: None };
        let memory = BodyMemory::new(64 * 1024 * 1024);
        let (read, _) = runtime.block_on(read(&mut body, 1_000_000, &limits(), &memory)).unwrap();
        prop_assert_eq!(&read[..], &chunks.concat()[..]);
    }
}
