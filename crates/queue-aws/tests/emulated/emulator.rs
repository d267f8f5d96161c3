//! A queue in a table of its own at the emulator, for the suites.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use queue::conformance::Harness;
use queue::{Options, Queue};
use queue_aws::AwsQueue;

use crate::bucket;

/// Where the emulator listens, as `http://127.0.0.1:PORT`.
const ENDPOINT: &str = "AFTERCALL_TEST_AWS";

/// So long that it is over in none of the suites' times, unless a test says otherwise.
pub(crate) const AUDIT_RETENTION: Duration = Duration::from_secs(90 * 86_400);

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
    blocking(async move { queue_aws::create_table(&client(), &making).await }).expect("makes the table");
    queue_aws::Options { queue, table, ownership: None, bodies: None, audit_retention: AUDIT_RETENTION }
}

/// Forgets which server owns which destination, as if so much time had gone by.
fn forget_owners(table: &str) {
    let table = table.to_owned();
    let forgetting = async move {
        let owners = AttributeValue::S("owners".to_owned());
        let query = client().query().table_name(&table).key_condition_expression("pk = :pk");
        let found = query.expression_attribute_values(":pk", owners).send().await.expect("reads");
        for mut item in found.items.unwrap_or_default() {
            item.retain(|name, _| name == "pk" || name == "sk");
            client().delete_item().table_name(&table).set_key(Some(item)).send().await.expect("deletes");
        }
    };
    blocking(forgetting);
}

/// Does something on a runtime of its own: tests call this where they must not block theirs.
fn blocking<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work)
    });
    done.join().expect("ends")
}

/// Another server on the same table.
pub(crate) fn open(options: &queue_aws::Options) -> Arc<AwsQueue> {
    Arc::new(AwsQueue::open(&client(), options.clone()).expect("opens"))
}

impl Harness for Emulated {
    const LEASES_OUTLIVE_A_CRASH: bool = true;

    fn new(options: Options) -> Self {
        let options = queue_aws::Options { ownership: Some(queue_aws::OWNERSHIP), ..table(options) };
        Self { queue: open(&options), options }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue) as Arc<dyn Queue>
    }

    /// The server is gone, and another one begins with nothing but the table, after what the one before owned has ended.
    fn crash(&mut self) {
        forget_owners(&self.options.table);
        self.queue = open(&self.options);
    }
}

/// The same, with every event and every body of a dead letter in a bucket.
pub(crate) struct InBucket(Emulated);

impl Harness for InBucket {
    const LEASES_OUTLIVE_A_CRASH: bool = true;

    fn new(options: Options) -> Self {
        let options = bucket::with(queue_aws::Options { ownership: Some(queue_aws::OWNERSHIP), ..table(options) });
        Self(Emulated { queue: open(&options), options })
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.0.queue()
    }

    fn crash(&mut self) {
        self.0.crash();
    }
}
