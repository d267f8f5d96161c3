//! The queue on AWS passes the conformance suite, with its cases about crashes; also with all bodies in a bucket.

use crate::emulator::Emulated;

queue::conformance_tests!(durable Emulated);

mod in_bucket {
    use crate::emulator::InBucket;

    queue::conformance_tests!(durable InBucket);
}
