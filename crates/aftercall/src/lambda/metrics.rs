//! Metrics as CloudWatch takes them out of the log: lines of its Embedded Metric Format on standard output.

use event::Timestamp;
use serde_json::{Map, Value, json};

use crate::output;

/// Where they are found.
const NAMESPACE: &str = "Aftercall";

/// A number, and what it counts.
pub(super) type Metric = (&'static str, &'static str, u64);

/// Writes the metrics of one thing, such as `("Destination", "crm")`.
pub(super) fn emit(dimension: (&str, &str), metrics: &[Metric], now: Timestamp) {
    if let Err(error) = output::print(&line(dimension, metrics, now)) {
        tracing::warn!(%error, "metrics cannot be written");
    }
}

fn line((dimension, value): (&str, &str), metrics: &[Metric], now: Timestamp) -> String {
    let described: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [[dimension]], "Metrics": described }],
        }),
    );
    line.insert(dimension.to_owned(), value.into());
    line.extend(metrics.iter().map(|(name, _, number)| ((*name).to_owned(), (*number).into())));
    format!("{}\n", Value::Object(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let metrics = [("Undelivered", "Count", 3), ("OldestAgeSeconds", "Seconds", 61)];
        let line = line(("Destination", "crm"), &metrics, Timestamp::from_millis(1_773_957_888_000));
        let read: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_773_957_888_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Aftercall",
                    "Dimensions": [["Destination"]],
                    "Metrics": [{"Name": "Undelivered", "Unit": "Count"}, {"Name": "OldestAgeSeconds", "Unit": "Seconds"}],
                }],
            },
            "Destination": "crm",
            "Undelivered": 3,
            "OldestAgeSeconds": 61,
        });
        assert_eq!(read, expected);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
    }
}
