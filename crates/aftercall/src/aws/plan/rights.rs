//! What destinations need to be allowed besides what the template allows: buckets, queues and buses of your own.

use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::needs::{Place, kind};

/// The document of a policy, if any destination needs one.
pub(super) fn policy(destinations: &[(&str, &Table)], place: &Place) -> Option<Json> {
    let statements: Vec<Json> = destinations.iter().flat_map(|(_, table)| of(table, place)).collect();
    let mut once: Vec<Json> = Vec::new();
    for statement in statements {
        if !once.contains(&statement) {
            once.push(statement);
        }
    }
    (!once.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": once}))
}

fn of(table: &Table, place: &Place) -> Vec<Json> {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    match kind(table) {
        "objects" | "transcripts" => text("url").map(|url| bucket(url, place)).unwrap_or_default(),
        "sqs" => {
            text("queue_url").and_then(queue_arn).map(|arn| allow(&["sqs:SendMessage"], &arn)).into_iter().collect()
        }
        "eventbridge" => {
            let bus = text("bus").unwrap_or("default");
            let region = text("region").unwrap_or(&place.region);
            let arn = match bus.starts_with("arn:") {
                true => bus.to_owned(),
                false => format!("arn:aws:events:{region}:{}:event-bus/{bus}", place.account),
            };
            vec![allow(&["events:PutEvents"], &arn)]
        }
        _ => Vec::new(),
    }
}

/// None for the bucket that the template makes for transcripts.
fn bucket(url: &str, place: &Place) -> Vec<Json> {
    let Some(rest) = url.strip_prefix("s3://") else { return Vec::new() };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.starts_with(&format!("{}-transcripts-", place.stack)) {
        return Vec::new();
    }
    let within = match prefix.trim_matches('/') {
        "" => "*".to_owned(),
        prefix => format!("{prefix}/*"),
    };
    vec![
        allow(&["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], &format!("arn:aws:s3:::{bucket}/{within}")),
        allow(&["s3:ListBucket"], &format!("arn:aws:s3:::{bucket}")),
    ]
}

/// `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`; none of an address of another form.
fn queue_arn(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://sqs.")?;
    let (region, path) = rest.split_once(".amazonaws.com/")?;
    let (account, name) = path.split_once('/')?;
    Some(format!("arn:aws:sqs:{region}:{account}:{name}"))
}

fn allow(actions: &[&str], resource: &str) -> Json {
    json!({"Effect": "Allow", "Action": actions, "Resource": resource})
}
