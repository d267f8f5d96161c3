//! Queues of SQS.

use super::{Node, Setting, Target, Template, Written};

/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html>: 30 seconds.
const VISIBILITY_DEFAULT: u64 = 30;
/// The same: 345,600 seconds, four days.
const RETENTION_DEFAULT: u64 = 345_600;
const KIND: &str = "AWS::SQS::Queue";

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    pub(crate) id: &'a str,
    pub(crate) line: usize,
    pub(crate) fifo: bool,
    /// Seconds.
    pub(crate) visibility: Setting<u64>,
    /// Seconds.
    pub(crate) retention: Setting<u64>,
    /// Identifies messages by their content.
    pub(crate) content_based: Setting<bool>,
    pub(crate) redrive: Option<Redrive>,
}

/// Where messages go that are received too often.
#[derive(Debug)]
pub(crate) struct Redrive {
    pub(crate) line: usize,
    pub(crate) target: Target,
    pub(crate) max_receives: Setting<u64>,
}

impl Template {
    /// All queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = Queue<'_>> {
        self.of_kind(&[KIND]).map(|resource| {
            let property = |name| resource.properties.get(name);
            let is_fifo =
                |name: Option<&Node>| name.and_then(Node::as_text).is_some_and(|name| name.ends_with(".fifo"));
            Queue {
                id: &resource.id,
                line: resource.line,
                fifo: self.flag(property("FifoQueue")) == Setting::Given(true) || is_fifo(property("QueueName")),
                visibility: self.number(property("VisibilityTimeout"), VISIBILITY_DEFAULT),
                retention: self.number(property("MessageRetentionPeriod"), RETENTION_DEFAULT),
                content_based: self.flag(property("ContentBasedDeduplication")),
                redrive: property("RedrivePolicy").and_then(|policy| self.redrive(policy)),
            }
        })
    }

    /// One of them.
    pub(crate) fn queue(&self, id: &str) -> Option<Queue<'_>> {
        self.queues().find(|queue| queue.id == id)
    }

    fn redrive(&self, policy: &Node) -> Option<Redrive> {
        if self.text(Some(policy)) == Written::Nothing {
            return None;
        }
        let target = policy.get("deadLetterTargetArn").map_or(Target::Elsewhere, |node| self.target(node));
        let max_receives = match policy.get("maxReceiveCount") {
            None => Setting::Unknown("there is no `maxReceiveCount`".to_owned()),
            count => self.number(count, 0),
        };
        Some(Redrive { line: policy.line, target, max_receives })
    }
}
