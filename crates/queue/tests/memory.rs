//! The in-memory reference passes the conformance suite.

use std::sync::Arc;

use queue::conformance::Harness;
use queue::{MemoryQueue, Options, Queue};

struct InMemory(Arc<MemoryQueue>);

impl Harness for InMemory {
    fn new(options: Options) -> Self {
        Self(Arc::new(MemoryQueue::new(options)))
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.0) as Arc<dyn Queue>
    }

    fn crash(&mut self) {}
}

queue::conformance_tests!(InMemory);
