//! What is wrong with rules, pipes and integrations.

use crate::report::{Judge, Trap};
use crate::template::{Delivery, Kind, Node, Queue, Template, Written};

const QUEUE_POLICIES: [&str; 2] = ["AWS::SQS::QueuePolicy", "AWS::SQS::QueueInlinePolicy"];

pub(super) fn examine(judge: &mut Judge<'_>) {
    let template = judge.template;
    for delivery in template.deliveries() {
        let queue = delivery.target.id().and_then(|id| template.queue(id));
        group(judge, &delivery);
        if delivery.kind != Kind::Rule {
            continue;
        }
        dead_letters(judge, &delivery);
        if let Some(queue) = queue {
            deduplication(judge, &delivery, &queue);
            policy(judge, &delivery, &queue);
        }
    }
}

fn dead_letters(judge: &mut Judge<'_>, delivery: &Delivery<'_>) {
    if !delivery.has_dead_letter_queue {
        let what =
            "it has no dead-letter queue: what the target does not take for a day, or refuses for good, is dropped"
                .to_owned();
        let cure = "DeadLetterConfig with a queue of its own, and an alarm on that".to_owned();
        let trap = Trap::RuleTargetWithoutDeadLetterQueue;
        judge.find(trap, delivery.resource, &delivery.name, delivery.line, what, cure);
    }
}

fn group(judge: &mut Judge<'_>, delivery: &Delivery<'_>) {
    let Some(node) = delivery.group else { return };
    let trap = Trap::ConstantMessageGroup;
    let Written::Text(text) = judge.template.text(Some(node)) else { return };
    // a rule knows no other than a constant; in a pipe and an API a path into the message is none
    let is_path = match delivery.kind {
        Kind::Rule => false,
        Kind::Pipe => text.starts_with('$'),
        Kind::Api => text.contains('$'),
    };
    if !is_path {
        let what = format!("every message is of the group `{text}`: one at a time, and one that fails stops all");
        let cure = match delivery.kind {
            Kind::Rule => {
                "send into a standard queue, and from there by conversation; a rule knows constant groups only"
            }
            Kind::Pipe | Kind::Api => "take the group from the message, e.g. its conversation id",
        };
        judge.find(trap, delivery.resource, &delivery.name, node.line, what, cure.to_owned());
    }
}

fn deduplication(judge: &mut Judge<'_>, delivery: &Delivery<'_>, queue: &Queue<'_>) {
    let trap = Trap::RuleIntoFifoWithoutDeduplication;
    if !queue.fifo {
        return;
    }
    if judge.known(trap, queue.id, "ContentBasedDeduplication", &queue.content_based) == Some(false) {
        let what = format!(
            "{} is a FIFO queue that wants an id with each message, and EventBridge sends none: nothing arrives",
            queue.id
        );
        let cure = format!("ContentBasedDeduplication: true for {}", queue.id);
        judge.find(trap, delivery.resource, &delivery.name, delivery.line, what, cure);
    }
}

fn policy(judge: &mut Judge<'_>, delivery: &Delivery<'_>, queue: &Queue<'_>) {
    if !has_policy(judge.template, queue) {
        let what = format!(
            "no AWS::SQS::QueuePolicy lets events.amazonaws.com send into {}: nothing arrives, and nobody is told",
            queue.id
        );
        let cure = format!(
            "a QueuePolicy for {} that allows sqs:SendMessage to events.amazonaws.com, with aws:SourceArn the rule's",
            queue.id
        );
        judge.find(Trap::RuleMayNotSend, delivery.resource, &delivery.name, delivery.line, what, cure);
    }
}

/// What a policy says is left to AWS; that there is one says that somebody thought of it.
fn has_policy(template: &Template, queue: &Queue<'_>) -> bool {
    template.of_kind(&QUEUE_POLICIES).any(|policy| {
        let named = policy.properties.get("Queues").or_else(|| policy.properties.get("Queue"));
        let queues = named.map(Node::elements).unwrap_or_default();
        queues.iter().any(|node| template.target(node).id() == Some(queue.id))
    })
}
