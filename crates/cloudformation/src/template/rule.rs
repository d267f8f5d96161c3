//! What sends into queues and functions without waiting for them: rules of EventBridge, pipes, integrations of an API.

use super::{Node, Resource, Target, Template, Value};

const RULE: &str = "AWS::Events::Rule";
const PIPE: &str = "AWS::Pipes::Pipe";
const INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
const SAM_FUNCTION: &str = "AWS::Serverless::Function";
/// Events of a SAM function that become a rule with it as the target.
const SAM_RULES: [&str; 3] = ["EventBridgeRule", "CloudWatchEvent", "Schedule"];

/// One way from a sender to a target.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// `Rule.Target`, for people.
    pub(crate) name: String,
    /// The resource that it is part of.
    pub(crate) resource: &'a str,
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    /// What it does not get rid of is kept.
    pub(crate) has_dead_letter_queue: bool,
    /// The group that each message gets.
    pub(crate) group: Option<&'a Node>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rule,
    Pipe,
    Api,
}

impl Template {
    /// Every way from a sender to a target.
    pub(crate) fn deliveries(&self) -> Vec<Delivery<'_>> {
        let rules = self.of_kind(&[RULE]).flat_map(|rule| self.of_rule(rule));
        let functions = self.of_kind(&[SAM_FUNCTION]).flat_map(Self::of_events);
        let pipes = self.of_kind(&[PIPE]).map(|pipe| {
            let parameters = pipe.properties.get("TargetParameters").and_then(|node| node.get("SqsQueueParameters"));
            self.single(pipe, Kind::Pipe, pipe.properties.get("Target"), parameters)
        });
        let is_send = |node: &&Resource| {
            let subtype = node.properties.get("IntegrationSubtype").and_then(Node::as_text);
            subtype.is_some_and(|subtype| subtype.starts_with("SQS-SendMessage"))
        };
        let integrations = self.of_kind(&[INTEGRATION]).filter(is_send).map(|integration| {
            let parameters = integration.properties.get("RequestParameters");
            self.single(integration, Kind::Api, parameters.and_then(|node| node.get("QueueUrl")), parameters)
        });
        rules.chain(functions).chain(pipes).chain(integrations).collect()
    }

    fn single<'a>(
        &'a self,
        resource: &'a Resource,
        kind: Kind,
        target: Option<&Node>,
        parameters: Option<&'a Node>,
    ) -> Delivery<'a> {
        Delivery {
            name: resource.id.clone(),
            resource: &resource.id,
            line: resource.line,
            kind,
            target: target.map_or(Target::Elsewhere, |node| self.target(node)),
            has_dead_letter_queue: true, // a pipe and an API leave the event with who sent it
            group: parameters.and_then(|node| node.get("MessageGroupId")),
        }
    }

    fn of_rule<'a>(&'a self, rule: &'a Resource) -> impl Iterator<Item = Delivery<'a>> {
        let targets = rule.properties.get("Targets");
        let targets =
            targets.filter(|node| matches!(node.value, Value::List(_))).map(Node::elements).unwrap_or_default();
        targets.iter().map(|target| {
            let id = target.get("Id").and_then(Node::as_text).unwrap_or("a target");
            Delivery {
                name: format!("{}.{id}", rule.id),
                resource: &rule.id,
                line: target.line,
                kind: Kind::Rule,
                target: target.get("Arn").map_or(Target::Elsewhere, |arn| self.target(arn)),
                has_dead_letter_queue: target.get("DeadLetterConfig").is_some(),
                group: target.get("SqsParameters").and_then(|parameters| parameters.get("MessageGroupId")),
            }
        })
    }

    fn of_events(function: &Resource) -> impl Iterator<Item = Delivery<'_>> {
        let events = function.properties.get("Events").into_iter().flat_map(Node::members);
        let is_rule =
            |event: &Node| event.get("Type").and_then(Node::as_text).is_some_and(|kind| SAM_RULES.contains(&kind));
        events.filter(move |(_, event)| is_rule(event)).map(|(name, event)| Delivery {
            name: format!("{}.{name}", function.id),
            resource: &function.id,
            line: event.line,
            kind: Kind::Rule,
            target: Target::Here(function.id.clone()),
            has_dead_letter_queue: event.get("Properties").is_some_and(|node| node.get("DeadLetterConfig").is_some()),
            group: None,
        })
    }
}
