//! Every trap: stepped into, and avoided by the cure that the finding names.

use crate::{Report, Template, Trap, examine};

/// A queue that is read, and all that belongs to it, without a trap.
const CLEAN: &str = r"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Timeout: 30
Parameters:
  Calls: {Type: Number, Default: 50}
Resources:
  Deliver:
    Type: AWS::Serverless::Function
    Properties:
      ReservedConcurrentExecutions: 50
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            BatchSize: 10
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: !Ref Calls}
  Work:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 180
      MessageRetentionPeriod: 1209600
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1000}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {MessageRetentionPeriod: 1209600}
  WorkPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties: {Queues: [!Ref Work], PolicyDocument: {}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Targets:
        - Id: work
          Arn: !GetAtt Work.Arn
          DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
";

fn report(text: &str) -> Report {
    examine(&Template::parse(text).unwrap())
}

/// The names of what is found in the clean template with one place changed.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert_eq!(CLEAN.matches(from).count(), 1, "{from} must stand there once");
    names(&report(&CLEAN.replace(from, to)))
}

fn names(report: &Report) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{} {}", finding.trap.name(), finding.resource)).collect()
}

#[test]
fn a_template_without_traps_has_no_findings() {
    assert_eq!(report(CLEAN), Report::default());
}

#[test]
fn a_message_must_be_hidden_for_six_timeouts_and_the_window() {
    let found = ["visibility-too-short Work"];
    assert_eq!(changed("VisibilityTimeout: 180", "VisibilityTimeout: 179"), found);
    assert_eq!(changed("VisibilityTimeout: 180", "VisibilityTimeout: '180'"), [""; 0]);
    assert_eq!(changed("BatchSize: 10", "MaximumBatchingWindowInSeconds: 1"), found);
    assert_eq!(changed("    Timeout: 30", "    Timeout: 31"), found);
    assert_eq!(changed("ReservedConcurrentExecutions: 50", "Timeout: 60"), found);
    // nothing written: 30 s against 6 x 3 s is enough for AWS's own defaults, not for 30 s
    assert_eq!(changed("VisibilityTimeout: 180\n", "DelaySeconds: 0\n"), found);
    let with_defaults = CLEAN
        .replace("    Timeout: 30", "    MemorySize: 128")
        .replace("VisibilityTimeout: 180", "VisibilityTimeout: 18");
    assert_eq!(names(&report(&with_defaults)), [""; 0]);
}

#[test]
fn an_outage_of_hours_must_not_fill_the_dead_letter_queue() {
    assert_eq!(changed("maxReceiveCount: 1000", "maxReceiveCount: 5"), ["low-max-receive-count Work"]);
    assert_eq!(changed("maxReceiveCount: 1000", "maxReceiveCount: 80"), [""; 0]);
    let text = report(&CLEAN.replace("maxReceiveCount: 1000", "maxReceiveCount: 5"));
    let finding = text.findings.first().unwrap();
    assert!(
        finding.what.starts_with("5 receives of 3 minutes each: a receiver that is down for 15 minutes"),
        "{}",
        finding.what
    );
    assert!(finding.cure.starts_with("maxReceiveCount: 80 or more outlasts 4 hours"), "{}", finding.cure);
    assert_eq!(finding.line, 26);
}

#[test]
fn a_queue_needs_a_place_for_what_cannot_be_worked_on() {
    let found = changed("      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1000}\n", "");
    assert_eq!(found, ["queue-without-dead-letter-queue Work"]);
    let condition = "      RedrivePolicy: !Ref AWS::NoValue\n";
    let found =
        changed("      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1000}\n", condition);
    assert_eq!(found, ["queue-without-dead-letter-queue Work"]);
}

#[test]
fn dead_letters_outlive_messages() {
    let found = ["dead-letters-expire-first Dead"];
    assert_eq!(
        changed("Properties: {MessageRetentionPeriod: 1209600}", "Properties: {MessageRetentionPeriod: 345600}"),
        found
    );
    assert_eq!(changed("Properties: {MessageRetentionPeriod: 1209600}", "Properties: {}"), found);
    assert_eq!(changed("      MessageRetentionPeriod: 1209600\n", ""), ["short-retention Work"]);
}

#[test]
fn a_queue_and_its_dead_letter_queue_are_of_one_kind() {
    assert_eq!(
        changed(
            "      VisibilityTimeout: 180",
            "      ContentBasedDeduplication: true\n      FifoQueue: true\n      VisibilityTimeout: 180"
        ),
        ["dead-letter-queue-of-other-kind Work"]
    );
}

#[test]
fn reserved_concurrency_is_not_the_way_to_limit() {
    let found = ["reserved-concurrency-alone Deliver"];
    assert_eq!(changed("            ScalingConfig: {MaximumConcurrency: !Ref Calls}\n", ""), found);
    assert_eq!(changed("ReservedConcurrentExecutions: 50", "ReservedConcurrentExecutions: 49"), found);
    assert_eq!(changed("ReservedConcurrentExecutions: 50", "ReservedConcurrentExecutions: 51"), [""; 0]);
    assert_eq!(changed("      ReservedConcurrentExecutions: 50\n", ""), [""; 0]);
}

#[test]
fn one_message_that_fails_must_not_bring_back_others() {
    let found = ["whole-batch-fails Deliver.Queue"];
    assert_eq!(changed("            FunctionResponseTypes: [ReportBatchItemFailures]\n", ""), found);
    let single = CLEAN
        .replace("            FunctionResponseTypes: [ReportBatchItemFailures]\n", "")
        .replace("BatchSize: 10", "BatchSize: 1");
    assert_eq!(names(&report(&single)), [""; 0]);
}

#[test]
fn a_filter_on_a_queue_deletes() {
    assert_eq!(
        changed("BatchSize: 10", "FilterCriteria: {Filters: [{Pattern: '{}'}]}"),
        ["filter-deletes Deliver.Queue"]
    );
}

#[test]
fn a_rule_keeps_what_its_target_does_not_take() {
    assert_eq!(
        changed("          DeadLetterConfig: {Arn: !GetAtt Dead.Arn}\n", ""),
        ["rule-target-without-dead-letter-queue Rule.work"]
    );
}

#[test]
fn a_rule_must_be_let_into_the_queue() {
    assert_eq!(changed("Queues: [!Ref Work]", "Queues: [!Ref Dead]"), ["rule-may-not-send Rule.work"]);
    assert_eq!(changed("Queues: [!Ref Work]", "Queues: !Ref Work"), [""; 0]);
}

#[test]
fn a_function_that_a_rule_calls_keeps_what_it_fails_at() {
    let event = "      Events:\n        Bus: {Type: EventBridgeRule, Properties: {DeadLetterConfig: {Type: SQS}}}\n";
    assert_eq!(changed("      Events:\n", event), ["failures-of-function-dropped Deliver"]);
    let kept = format!("      EventInvokeConfig: {{DestinationConfig: {{OnFailure: {{Type: SQS}}}}}}\n{event}");
    assert_eq!(changed("      Events:\n", &kept), [""; 0]);
}

#[test]
fn one_group_for_all_is_one_at_a_time() {
    let fifo = CLEAN
        .replace(
            "      VisibilityTimeout: 180",
            "      FifoQueue: true\n      ContentBasedDeduplication: true\n      VisibilityTimeout: 180",
        )
        .replace(
            "Properties: {MessageRetentionPeriod: 1209600}",
            "Properties: {MessageRetentionPeriod: 1209600, FifoQueue: true}",
        );
    assert_eq!(names(&report(&fifo)), [""; 0]);
    let constant = fifo.replace(
        "          Arn: !GetAtt Work.Arn\n",
        "          Arn: !GetAtt Work.Arn\n          SqsParameters: {MessageGroupId: genesys}\n",
    );
    assert_eq!(names(&report(&constant)), ["constant-message-group Rule.work"]);
    let api = |group: &str| {
        format!(
            "{CLEAN}  Into:\n    Type: AWS::ApiGatewayV2::Integration\n    Properties:\n      IntegrationSubtype: SQS-SendMessage\n      \
             RequestParameters: {{QueueUrl: !Ref Work, MessageGroupId: {group}}}\n"
        )
    };
    assert_eq!(names(&report(&api("all"))), ["constant-message-group Into"]);
    assert_eq!(names(&report(&api("'$request.body.conversationId'"))), [""; 0]);
    let pipe = |group: &str| {
        format!(
            "{CLEAN}  Pipe:\n    Type: AWS::Pipes::Pipe\n    Properties:\n      Target: !GetAtt Work.Arn\n      \
             TargetParameters: {{SqsQueueParameters: {{MessageGroupId: {group}}}}}\n"
        )
    };
    assert_eq!(names(&report(&pipe("all"))), ["constant-message-group Pipe"]);
    assert_eq!(names(&report(&pipe("$.body.id"))), [""; 0]);
}

#[test]
fn a_fifo_queue_takes_from_a_rule_only_by_content() {
    let fifo = CLEAN
        .replace("      VisibilityTimeout: 180", "      QueueName: work.fifo\n      VisibilityTimeout: 180")
        .replace(
            "Properties: {MessageRetentionPeriod: 1209600}",
            "Properties: {MessageRetentionPeriod: 1209600, FifoQueue: 'true'}",
        );
    assert_eq!(names(&report(&fifo)), ["rule-into-fifo-without-deduplication Rule.work"]);
}

#[test]
fn what_cannot_be_known_is_said() {
    let parameter = CLEAN.replace("{Type: Number, Default: 50}", "{Type: Number}");
    let found = report(&parameter);
    assert_eq!(names(&found), [""; 0]);
    let unjudged: Vec<String> =
        found.unjudged.iter().map(|one| format!("{} {} {}", one.trap.name(), one.resource, one.why)).collect();
    assert_eq!(unjudged, ["reserved-concurrency-alone Deliver.Queue MaximumConcurrency: it is that of `Calls`"]);
}

#[test]
fn a_trap_stands_when_its_owner_says_why() {
    let waived = |reason: &str| {
        CLEAN.replace("maxReceiveCount: 1000", "maxReceiveCount: 5").replace(
            "  Work:\n    Type: AWS::SQS::Queue\n",
            &format!(
                "  Work:\n    Type: AWS::SQS::Queue\n    Metadata: {{aftercall: {{waive: {{low-max-receive-count: '{reason}'}}}}}}\n"
            ),
        )
    };
    let found = report(&waived("the receiver is a file"));
    assert_eq!(names(&found), [""; 0]);
    assert_eq!(found.waived.first().map(|waived| waived.reason.as_str()), Some("the receiver is a file"));
    assert_eq!(names(&report(&waived(" "))), ["low-max-receive-count Work"]);
}

#[test]
fn an_exported_stack_is_read_like_a_template() {
    let stack = r#"{"TemplateBody": {"Resources": {
        "Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q", "VisibilityTimeout": 30, "MessageRetentionPeriod": 1209600,
              "RedrivePolicy": {"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:123456789012:d", "maxReceiveCount": 480}}},
        "D": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "d", "MessageRetentionPeriod": "1209600"}},
        "F": {"Type": "AWS::Lambda::Function", "Properties": {"Timeout": 6}},
        "M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
              "EventSourceArn": {"Fn::GetAtt": ["Q", "Arn"]}, "FunctionName": {"Ref": "F"}}}
    }}}"#;
    let found = names(&report(stack));
    assert_eq!(found, ["visibility-too-short Q", "whole-batch-fails M"]);
    let as_text = format!("{{\"TemplateBody\": {}}}", serde_json::to_string(CLEAN).unwrap());
    assert_eq!(report(&as_text), Report::default());
}

#[test]
fn the_documentation_lists_every_trap() {
    let documented = include_str!("../../../../docs/aws-lint.md");
    let rows: Vec<&str> =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    assert_eq!(rows, Trap::ALL.map(Trap::name));
    for trap in Trap::ALL {
        assert_eq!(serde_json::to_value(trap).unwrap(), trap.name(), "JSON and text name it alike");
    }
}
