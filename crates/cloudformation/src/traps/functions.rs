//! What is wrong with functions and how they read queues.

use crate::report::{Judge, Trap};
use crate::template::{Consumer, Function, Kind};

pub(super) fn examine(judge: &mut Judge<'_>) {
    let template = judge.template;
    let consumers = template.consumers();
    for function in template.functions() {
        let of: Vec<&Consumer> =
            consumers.iter().filter(|consumer| consumer.function.id() == Some(function.id)).collect();
        reserved(judge, &function, &of);
        failures(judge, &function);
    }
    for consumer in &consumers {
        batch(judge, consumer);
        filter(judge, consumer);
    }
}

fn reserved(judge: &mut Judge<'_>, function: &Function<'_>, consumers: &[&Consumer]) {
    let trap = Trap::ReservedConcurrencyAlone;
    let Some(reserved) = &function.reserved else { return };
    if consumers.is_empty() {
        return;
    }
    let unlimited: Vec<&str> = consumers
        .iter()
        .filter(|consumer| consumer.max_concurrency.is_none())
        .map(|consumer| consumer.name.as_str())
        .collect();
    if !unlimited.is_empty() {
        let what = format!(
            "its concurrency is reserved, and {} reads on regardless: what Lambda then throttles has been received, and ages \
             its way into the dead-letter queue without ever having been tried",
            unlimited.join(", ")
        );
        let cure = "ScalingConfig: {MaximumConcurrency: N} on the event source, and no reserved concurrency below it"
            .to_owned();
        judge.find(trap, function.id, function.id, function.line, what, cure);
        return;
    }
    let Some(reserved) = judge.known(trap, function.id, "ReservedConcurrentExecutions", reserved) else { return };
    let mut sum: u64 = 0;
    for consumer in consumers {
        let Some(setting) = &consumer.max_concurrency else { continue };
        let Some(maximum) = judge.known(trap, &consumer.name, "MaximumConcurrency", setting) else { return };
        sum = sum.saturating_add(maximum);
    }
    if reserved < sum {
        let what = format!(
            "{reserved} executions are reserved, and its event sources ask for up to {sum}: the rest is throttled after it was \
             received, and ages its way into the dead-letter queue"
        );
        let cure = format!("ReservedConcurrentExecutions: {sum} or more, or none");
        judge.find(trap, function.id, function.id, function.line, what, cure);
    }
}

/// A function that rules call, without anything that keeps what it fails at. A queue for dead letters of the rule keeps
/// only what did not reach the function.
fn failures(judge: &mut Judge<'_>, function: &Function<'_>) {
    let deliveries = judge.template.deliveries();
    let called =
        deliveries.iter().find(|delivery| delivery.kind == Kind::Rule && delivery.target.id() == Some(function.id));
    if let Some(delivery) = called
        && !function.keeps_failures
    {
        let what = format!(
            "{} calls it without waiting: what it fails at three times is dropped (a dead-letter queue of the rule keeps only \
             what did not reach it)",
            delivery.name
        );
        let cure =
            "put a queue between the two, or give it an EventInvokeConfig with DestinationConfig.OnFailure".to_owned();
        judge.find(Trap::FailuresOfFunctionDropped, function.id, function.id, function.line, what, cure);
    }
}

fn batch(judge: &mut Judge<'_>, consumer: &Consumer) {
    let trap = Trap::WholeBatchFails;
    if consumer.reports_items {
        return;
    }
    let Some(batch) = judge.known(trap, &consumer.name, "BatchSize", &consumer.batch) else { return };
    if batch > 1 {
        let what = format!(
            "up to {batch}{} messages are one batch, and one that fails brings all of them back: they are done twice, and die \
             with it",
            consumer.batch.origin()
        );
        let cure = "FunctionResponseTypes: [ReportBatchItemFailures], and a function that names what failed".to_owned();
        judge.find(trap, &consumer.resource, &consumer.name, consumer.line, what, cure);
    }
}

fn filter(judge: &mut Judge<'_>, consumer: &Consumer) {
    if let Some(line) = consumer.filtered {
        let what =
            "Lambda deletes from the queue what its FilterCriteria do not match: nobody sees it again".to_owned();
        let cure = "filter before the queue, in the rule's pattern; or let the function decide".to_owned();
        judge.find(Trap::FilterDeletes, &consumer.resource, &consumer.name, line, what, cure);
    }
}
