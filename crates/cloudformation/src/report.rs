//! What was found in a template.

use serde::Serialize;

use crate::template::{Setting, Template};

/// Something that templates do and that goes wrong later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Trap {
    /// A message shows up again while the function still works on it: it is worked on twice.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
    VisibilityTooShort,
    /// A queue that is read has nowhere to put what cannot be worked on.
    QueueWithoutDeadLetterQueue,
    /// An outage of the receiver fills the dead-letter queue with messages that nothing is wrong with.
    LowMaxReceiveCount,
    /// A FIFO queue needs a FIFO dead-letter queue, another one another.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
    DeadLetterQueueOfOtherKind,
    /// A dead letter keeps the age of its message: the queue for dead letters must keep things longer than the other.
    DeadLettersExpireFirst,
    /// Messages are deleted unread before the fourteen days that a queue can keep them.
    ShortRetention,
    /// Reserved concurrency refuses what the poller has received already, and each refusal counts as a receive.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>
    ReservedConcurrencyAlone,
    /// One message that fails has its whole batch worked on again.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
    WholeBatchFails,
    /// A filter on a queue deletes what it does not match.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs-filtering.html>
    FilterDeletes,
    /// What a function fails at twice is gone when nobody waited for its answer.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
    FailuresOfFunctionDropped,
    /// A rule drops what its target did not take for a day.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html>
    RuleTargetWithoutDeadLetterQueue,
    /// All messages are of one group, and so one at a time.
    ConstantMessageGroup,
    /// EventBridge sends into a FIFO queue only if that identifies messages by their content.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html>
    RuleIntoFifoWithoutDeduplication,
    /// The queue's policy does not let a rule send, and nobody is told.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html>
    RuleMayNotSend,
}

impl Trap {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::VisibilityTooShort,
        Self::QueueWithoutDeadLetterQueue,
        Self::LowMaxReceiveCount,
        Self::DeadLetterQueueOfOtherKind,
        Self::DeadLettersExpireFirst,
        Self::ShortRetention,
        Self::ReservedConcurrencyAlone,
        Self::WholeBatchFails,
        Self::FilterDeletes,
        Self::FailuresOfFunctionDropped,
        Self::RuleTargetWithoutDeadLetterQueue,
        Self::ConstantMessageGroup,
        Self::RuleIntoFifoWithoutDeduplication,
        Self::RuleMayNotSend,
    ];

    /// The name by which it is waived.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VisibilityTooShort => "visibility-too-short",
            Self::QueueWithoutDeadLetterQueue => "queue-without-dead-letter-queue",
            Self::LowMaxReceiveCount => "low-max-receive-count",
            Self::DeadLetterQueueOfOtherKind => "dead-letter-queue-of-other-kind",
            Self::DeadLettersExpireFirst => "dead-letters-expire-first",
            Self::ShortRetention => "short-retention",
            Self::ReservedConcurrencyAlone => "reserved-concurrency-alone",
            Self::WholeBatchFails => "whole-batch-fails",
            Self::FilterDeletes => "filter-deletes",
            Self::FailuresOfFunctionDropped => "failures-of-function-dropped",
            Self::RuleTargetWithoutDeadLetterQueue => "rule-target-without-dead-letter-queue",
            Self::ConstantMessageGroup => "constant-message-group",
            Self::RuleIntoFifoWithoutDeduplication => "rule-into-fifo-without-deduplication",
            Self::RuleMayNotSend => "rule-may-not-send",
        }
    }
}

/// A trap that the template steps into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub trap: Trap,
    /// The resource, by its logical id; or a part of one.
    pub resource: String,
    /// Where it stands.
    pub line: usize,
    /// What is so, and what will come of it.
    pub what: String,
    /// What to write instead.
    pub cure: String,
}

/// A trap that cannot be told by the template alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unjudged {
    /// Which.
    pub trap: Trap,
    /// The resource.
    pub resource: String,
    /// Why not.
    pub why: String,
}

/// A trap that the template's owner wants to stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waived {
    /// What it is.
    pub finding: Finding,
    /// The owner's words.
    pub reason: String,
}

/// All that is to say about a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it steps into.
    pub findings: Vec<Finding>,
    /// What its owner lets stand.
    pub waived: Vec<Waived>,
    /// What cannot be known.
    pub unjudged: Vec<Unjudged>,
}

/// Writes a report about a template.
pub(crate) struct Judge<'a> {
    pub(crate) template: &'a Template,
    report: Report,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(template: &'a Template) -> Self {
        Self { template, report: Report::default() }
    }

    /// A trap. `owner` is the resource whose metadata may waive it, `name` what people call the place.
    pub(crate) fn find(&mut self, trap: Trap, owner: &str, name: &str, line: usize, what: String, cure: String) {
        let finding = Finding { trap, resource: name.to_owned(), line, what, cure };
        let resource = self.template.all().find(|resource| resource.id == owner);
        match resource.and_then(|resource| resource.waiver(trap.name())) {
            Some(reason) => self.report.waived.push(Waived { finding, reason: reason.to_owned() }),
            None => self.report.findings.push(finding),
        }
    }

    /// The value of a setting; when it cannot be known, the report says so.
    pub(crate) fn known<T: Copy>(&mut self, trap: Trap, name: &str, what: &str, setting: &Setting<T>) -> Option<T> {
        if let Setting::Unknown(why) = setting {
            self.report.unjudged.push(Unjudged { trap, resource: name.to_owned(), why: format!("{what}: {why}") });
        }
        setting.known().copied()
    }

    /// The report, in the order of the template.
    pub(crate) fn report(mut self) -> Report {
        self.report.findings.sort_by_key(|finding| finding.line);
        self.report.waived.sort_by_key(|waived| waived.finding.line);
        self.report
    }
}
