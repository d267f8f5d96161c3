//! A queue in a table of its own at the emulator, for the suites.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use queue::conformance::Harness;
use queue::{Options, Queue};
use queue_aws::AwsQueue;

/// Where the emulator listens, as `http://127.0.0.1:PORT`.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";

static TABLES: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Emulated {
    options: queue_aws::Options,
    queue: Arc<AwsQueue>,
}

/// A client for the emulator.
pub(crate) fn client() -> Client {
    let endpoint =
        std::env::var(ENDPOINT).expect("run `cargo xtask test`, which starts an emulator of AWS and says where");
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test-key", "test-secret", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// Settings with a table of their own, which is made. Nothing expires in it: the suite's time is past by the emulator's
/// clock, which would drop claims that the suite still counts on.
pub(crate) fn table(queue: Options) -> queue_aws::Options {
    let number = TABLES.fetch_add(1, Ordering::Relaxed);
    let table = format!("queue-{}-{number}", std::process::id());
    let making = table.clone();
    // A runtime of its own: a test calls this where it must not block its own.
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { queue_aws::create_table(&client(), &making).await })
    });
    made.join().expect("ends").expect("makes the table");
    queue_aws::Options { queue, table }
}

/// Another server on the same table.
pub(crate) fn open(options: &queue_aws::Options) -> Arc<AwsQueue> {
    Arc::new(AwsQueue::open(&client(), options.clone()).expect("opens"))
}

impl Harness for Emulated {
    const LEASES_OUTLIVE_A_CRASH: bool = true;

    fn new(options: Options) -> Self {
        let options = table(options);
        Self { queue: open(&options), options }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue) as Arc<dyn Queue>
    }

    /// The server is gone, and another one begins with nothing but the table.
    fn crash(&mut self) {
        self.queue = open(&self.options);
    }
}
