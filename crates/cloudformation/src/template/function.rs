//! Functions, and the event source mappings by which they read queues.

use super::{Node, Resource, Setting, Target, Template, Written};

pub(super) const SAM_FUNCTION: &str = "AWS::Serverless::Function";
const FUNCTION: &str = "AWS::Lambda::Function";
const MAPPING: &str = "AWS::Lambda::EventSourceMapping";
const INVOKE_CONFIG: &str = "AWS::Lambda::EventInvokeConfig";

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html>: 3 seconds.
const TIMEOUT_DEFAULT: u64 = 3;
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html>: 10 messages.
const BATCH_DEFAULT: u64 = 10;

/// A function.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) id: &'a str,
    pub(crate) line: usize,
    /// Seconds.
    pub(crate) timeout: Setting<u64>,
    /// Reserved concurrency.
    pub(crate) reserved: Option<Setting<u64>>,
    /// Something takes what it fails at when it is called without waiting.
    pub(crate) keeps_failures: bool,
}

/// A function that reads a queue.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// `Function.Event` or the mapping's own id.
    pub(crate) name: String,
    /// The resource that it is part of.
    pub(crate) resource: String,
    pub(crate) line: usize,
    pub(crate) queue: Target,
    pub(crate) function: Target,
    pub(crate) batch: Setting<u64>,
    /// Seconds that it waits for more messages.
    pub(crate) window: Setting<u64>,
    pub(crate) max_concurrency: Option<Setting<u64>>,
    /// Says which messages of a batch failed.
    pub(crate) reports_items: bool,
    /// The line of its filters, if it has any.
    pub(crate) filtered: Option<usize>,
}

impl Template {
    /// All functions.
    pub(crate) fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        self.of_kind(&[SAM_FUNCTION, FUNCTION]).map(|resource| Function {
            id: &resource.id,
            line: resource.line,
            timeout: self.number(self.of_function(resource, "Timeout"), TIMEOUT_DEFAULT),
            reserved: self.optional(self.of_function(resource, "ReservedConcurrentExecutions")),
            keeps_failures: self.keeps_failures(resource),
        })
    }

    /// One of them.
    pub(crate) fn function(&self, id: &str) -> Option<Function<'_>> {
        self.functions().find(|function| function.id == id)
    }

    /// Every function that reads a queue, in either way to write it.
    pub(crate) fn consumers(&self) -> Vec<Consumer> {
        let mut found = Vec::new();
        for resource in self.of_kind(&[SAM_FUNCTION]) {
            for (name, event) in resource.properties.get("Events").into_iter().flat_map(Node::members) {
                if event.get("Type").and_then(Node::as_text) == Some("SQS")
                    && let Some(properties) = event.get("Properties")
                {
                    let queue = properties.get("Queue");
                    let function = Target::Here(resource.id.clone());
                    found.push(self.consumer(
                        format!("{}.{name}", resource.id),
                        resource,
                        event.line,
                        properties,
                        queue,
                        function,
                    ));
                }
            }
        }
        for resource in self.of_kind(&[MAPPING]) {
            let properties = &resource.properties;
            let queue = properties.get("EventSourceArn").filter(|source| self.is_queue(source));
            if queue.is_some() {
                let function = properties.get("FunctionName").map_or(Target::Elsewhere, |node| self.target(node));
                found.push(self.consumer(resource.id.clone(), resource, resource.line, properties, queue, function));
            }
        }
        found
    }

    fn consumer(
        &self,
        name: String,
        resource: &Resource,
        line: usize,
        properties: &Node,
        queue: Option<&Node>,
        function: Target,
    ) -> Consumer {
        let scaling = properties.get("ScalingConfig").and_then(|scaling| scaling.get("MaximumConcurrency"));
        let responses = properties.get("FunctionResponseTypes").map(Node::elements).unwrap_or_default();
        let filters = properties.get("FilterCriteria").filter(|node| self.text(Some(node)) != Written::Nothing);
        Consumer {
            name,
            resource: resource.id.clone(),
            line,
            queue: queue.map_or(Target::Elsewhere, |node| self.target(node)),
            function,
            batch: self.number(properties.get("BatchSize"), BATCH_DEFAULT),
            window: self.number(properties.get("MaximumBatchingWindowInSeconds"), 0),
            max_concurrency: self.optional(scaling),
            reports_items: responses.iter().any(|response| response.as_text() == Some("ReportBatchItemFailures")),
            filtered: filters.map(|node| node.line),
        }
    }

    /// A source is a queue: one of this template, or one whose ARN says so.
    fn is_queue(&self, source: &Node) -> bool {
        match self.target(source) {
            Target::Here(id) => self.queue(&id).is_some(),
            Target::Elsewhere => source.as_text().is_some_and(|arn| arn.contains(":sqs:")),
        }
    }

    fn optional(&self, node: Option<&Node>) -> Option<Setting<u64>> {
        match self.number(node, 0) {
            Setting::Default(_) => None,
            setting => Some(setting),
        }
    }

    fn keeps_failures(&self, function: &Resource) -> bool {
        let on_failure = |config: &Node| {
            let destinations = config.get("DestinationConfig");
            destinations.and_then(|destinations| destinations.get("OnFailure")).is_some()
        };
        ["DeadLetterQueue", "DeadLetterConfig"].iter().any(|name| self.of_function(function, name).is_some())
            || self.of_function(function, "EventInvokeConfig").is_some_and(on_failure)
            || self.of_kind(&[INVOKE_CONFIG]).any(|config| {
                let named = config.properties.get("FunctionName").map(|node| self.target(node));
                named.as_ref().and_then(Target::id) == Some(&function.id) && on_failure(&config.properties)
            })
    }
}
