//! What a configuration needs. Pure: the tables of the file in, the plan out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::obstacles::{self, Obstacle};
use super::rights;
use super::secrets::{self, SecretNeed};

/// Bytes that a standard parameter of Systems Manager takes, and an advanced one:
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>.
const PARAMETER_BYTES: usize = 4_096;
const ADVANCED_BYTES: usize = 8_192;

/// Where the stack is, for names.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) stack: String,
    pub(super) region: String,
    pub(super) account: String,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) parameters: Vec<Parameter>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) sources: Vec<Way>,
    pub(super) destinations: Vec<Way>,
    pub(super) queues: Vec<Queue>,
    pub(super) secrets: Vec<SecretNeed>,
    /// What destinations may besides, for `DeliverPolicyArn`.
    pub(super) policy: Option<Json>,
    pub(super) obstacles: Vec<Obstacle>,
}

/// A parameter of the template.
#[derive(Debug, Serialize)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) why: String,
}

/// How events get from or to somewhere.
#[derive(Debug, Serialize)]
pub(super) struct Way {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) way: String,
}

/// A queue of SQS.
#[derive(Debug, Serialize)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) what: &'static str,
}

/// The plan for a file of so many bytes.
pub(super) fn plan(file: &Table, bytes: usize, place: &Place) -> Plan {
    let (sources, destinations) = (tables(file, "sources"), tables(file, "destinations"));
    let secrets = secrets::of(file, place);
    let policy = rights::policy(&destinations, place);
    let obstacles = obstacles::of(file, place);
    let parameters = parameters(file, bytes, place, &secrets, policy.is_some());
    Plan {
        environment: environment(&parameters, place),
        parameters,
        sources: sources.iter().map(|(name, table)| source(name, table, place)).collect(),
        destinations: destinations.iter().map(|(name, table)| destination(name, table)).collect(),
        queues: queues(&sources, place),
        secrets,
        policy,
        obstacles,
    }
}

/// The tables of a kind, by name.
pub(super) fn tables<'a>(file: &'a Table, of: &str) -> Vec<(&'a str, &'a Table)> {
    let all = file.get(of).and_then(Value::as_table).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.as_str(), value.as_table()?))).collect()
}

/// The kind of a source or destination.
pub(super) fn kind(table: &Table) -> &str {
    table.get("kind").and_then(Value::as_str).unwrap_or("webhook")
}

/// The queue that the template's rule sends into.
pub(super) fn intake_queue(place: &Place) -> String {
    format!("https://sqs.{}.amazonaws.com/{}/{}-intake", place.region, place.account, place.stack)
}

fn parameters(file: &Table, bytes: usize, place: &Place, secrets: &[SecretNeed], has_policy: bool) -> Vec<Parameter> {
    let mut all = Vec::new();
    let mut add = |name, value: &str, why: &str| {
        all.push(Parameter { name, value: value.to_owned(), why: why.to_owned() });
    };
    add("CodeBucket", "BUCKET", "the bucket that you have put the program in");
    add("CodeKey", "aftercall/VERSION/arm64/bootstrap.zip", "the program; another key is an upgrade");
    let size = format!("{bytes} bytes");
    if bytes <= ADVANCED_BYTES {
        let tier =
            if bytes <= PARAMETER_BYTES { "a standard parameter takes it" } else { "put it with --tier Advanced" };
        add("ConfigName", &format!("/{}/config", place.stack), &format!("{size}: {tier}"));
        add("ConfigVersion", "1", "what `aws ssm put-parameter` prints");
    } else {
        let why = format!("{size}: more than a parameter of Systems Manager takes, so an object in CodeBucket");
        add("ConfigKey", "aftercall/config/1/aftercall.toml", &why);
        add("ConfigVersion", "", "its version, if the bucket has versions");
    }
    for (name, of_sources) in [("SourceSecretArns", true), ("DestinationSecretArns", false)] {
        let others = secrets.iter().filter(|one| !one.is_own && one.is_read && one.of_sources == of_sources);
        let arns: Vec<&str> = others.map(|one| one.arn.as_str()).collect();
        if !arns.is_empty() {
            add(name, &arns.join(","), "secrets that the template does not make");
        }
    }
    let told = secrets.iter().filter(|one| one.of_notifiers && !one.of_sources);
    let told: Vec<&str> = told.map(|one| one.arn.as_str()).collect();
    if !told.is_empty() {
        add("NotifierSecretArns", &told.join(","), "secrets of notifiers, for upkeep");
    }
    if has_policy {
        add("DeliverPolicyArn", "ARN", "a managed policy with what is printed below");
    }
    if tables(file, "sources").iter().any(|(_, table)| kind(table) == "sqs") {
        let why = "the bus of Genesys Cloud; leave it out for one that is made";
        add("EventBusName", "aws.partner/genesys.com/…", why);
    }
    if let Some(name) = obstacles::in_a_network(file) {
        let why = format!("destination `{name}` is in a private network");
        add("VpcId", "vpc-…", &why);
        add(
            "SubnetIds",
            "subnet-…,subnet-…",
            "private subnets of it, with a way to the internet if destinations are there",
        );
        add("RouteTableIds", "rtb-…", "their route tables");
    }
    all
}

fn environment(parameters: &[Parameter], place: &Place) -> BTreeMap<String, String> {
    let of = |name| parameters.iter().find(|one| one.name == name).map_or("", |one| one.value.as_str());
    let config = match of("ConfigKey") {
        "" => format!("ssm:{}:{}", of("ConfigName"), of("ConfigVersion")),
        key => format!("s3://{}/{key}", of("CodeBucket")),
    };
    let Place { stack, region, account } = place;
    let all = [
        ("AFTERCALL_ROLE", "ingest, route, deliver, review or upkeep".to_owned()),
        ("AFTERCALL_CONFIG", config),
        ("AFTERCALL_TABLE", stack.clone()),
        ("AFTERCALL_WAKE_QUEUE_URL", format!("https://sqs.{region}.amazonaws.com/{account}/{stack}-wake")),
        ("AFTERCALL_BODIES_BUCKET", format!("{stack}-bodies-{account}-{region}")),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn source(name: &str, table: &Table, place: &Place) -> Way {
    let way = match kind(table) {
        "sqs" => format!("rule of the bus, queue {}-intake, function route", place.stack),
        _ => format!("POST …/in/{name}, function ingest"),
    };
    Way { name: name.to_owned(), kind: kind(table).to_owned(), way }
}

fn destination(name: &str, table: &Table) -> Way {
    let way = if obstacles::is_local(table) { "a server on the same table" } else { "function deliver" };
    Way { name: name.to_owned(), kind: kind(table).to_owned(), way: way.to_owned() }
}

fn queues(sources: &[(&str, &Table)], place: &Place) -> Vec<Queue> {
    let mut all = vec![("wake", "wakes deliver"), ("wake-dead-letters", "wake-ups that failed")];
    if sources.iter().any(|(_, table)| kind(table) == "sqs") {
        all.push(("intake", "events from the bus, read by route"));
        all.push(("intake-dead-letters", "those that route failed at, read by review"));
        all.push(("rule-dead-letters", "those that the rule could not deliver, read by review"));
    }
    all.push(("upkeep-failures", "runs of upkeep that failed"));
    let name = |end| format!("{}-{end}", place.stack);
    all.into_iter().map(|(end, what)| Queue { name: name(end), what }).collect()
}
