"""Deploys the translated template to an emulator and reads back what came of it: deploy.py ENDPOINT TEMPLATE

The functions do nothing here but, where it matters, say what they were called with.
"""

import json
import sys
import time

from account import STACK, Account, until, zipped
from report import Report, equal

FORTNIGHT = "1209600"
# Answers with what it was called with, and the first time that there is more to do.
ECHO = b"""
import pathlib
def handler(event, context):
    seen = pathlib.Path("/tmp") / f"aftercall-review-{event['group']}-{event['action']}"
    more = not seen.exists()
    seen.touch() if more else seen.unlink()
    return {**event, "more": more}
"""


def deployed(account):
    """the template is deployed with its defaults"""
    account.outputs = account.deploy({"EventSourcePrefix": "genesys", "DeletionProtection": "false"})
    account.mailbox = account("sqs").create_queue(QueueName="mailbox")["QueueUrl"]
    arn = account.attributes(account.mailbox)["QueueArn"]
    account("sns").subscribe(TopicArn=account.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)
    names = {one["LogicalResourceId"] for one in account("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]}
    assert {"Table", "Rule", "Bus", "Stage", "ReviewMachine"} <= names and "Domain" not in names and "SqsEndpoint" not in names


def queues(account):
    """the queues are there as they should be, and wake the functions"""
    intake = account.attributes(account.outputs["IntakeQueueUrl"])
    wake = account.attributes(account.outputs["WakeQueueUrl"])
    for queue, visibility in ((intake, "360"), (wake, "1800")):
        equal((queue["MessageRetentionPeriod"], queue["VisibilityTimeout"]), (FORTNIGHT, visibility))
        policy = json.loads(queue["RedrivePolicy"])
        assert int(policy["maxReceiveCount"]) >= 20 and policy["deadLetterTargetArn"].endswith("-dead-letters"), policy
    allow = json.loads(intake["Policy"])["Statement"][0]
    rule = account("events").describe_rule(Name="aftercall-intake", EventBusName="aftercall")
    equal(allow["Principal"], {"Service": "events.amazonaws.com"})
    equal(allow["Condition"], {"ArnEquals": {"aws:SourceArn": rule["Arn"]}})
    mappings = {one["EventSourceArn"].rsplit(":", 1)[1]: one for one in account("lambda").list_event_source_mappings()["EventSourceMappings"]}
    wanted = {"aftercall-intake": "route", "aftercall-wake": "deliver", "aftercall-intake-dead-letters": "review", "aftercall-rule-dead-letters": "review"}
    equal({queue: one["FunctionArn"].rsplit("-", 1)[1] for queue, one in mappings.items()}, wanted)
    for one in mappings.values():
        equal(one["FunctionResponseTypes"], ["ReportBatchItemFailures"])
    equal((mappings["aftercall-wake"]["BatchSize"], mappings["aftercall-wake"]["ScalingConfig"]), (1, {"MaximumConcurrency": 50}))


def bus(account):
    """the rule is on the bus, with a queue for dead letters that lets it send"""
    rule = account("events").describe_rule(Name="aftercall-intake", EventBusName=account.outputs["BusName"])
    equal((rule["State"], json.loads(rule["EventPattern"])), ("ENABLED", {"source": [{"prefix": "genesys"}]}))
    (target,) = account("events").list_targets_by_rule(Rule="aftercall-intake", EventBusName=account.outputs["BusName"])["Targets"]
    dead = account.attributes(account.outputs["RuleDeadLettersUrl"])
    equal(target["DeadLetterConfig"]["Arn"], dead["QueueArn"])
    sources = json.loads(dead["Policy"])["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert rule["Arn"] in sources, sources
    minute = account("events").describe_rule(Name="aftercall-upkeep")
    equal(minute["ScheduleExpression"], "rate(1 minute)")


def table(account):
    """the table has its keys and is paid on demand"""
    table = account("dynamodb").describe_table(TableName=account.outputs["TableName"])["Table"]
    equal({one["AttributeName"]: one["KeyType"] for one in table["KeySchema"]}, {"pk": "HASH", "sk": "RANGE"})
    equal(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")


def functions(account):
    """each function knows its role, and where everything is"""
    for role in ("ingest", "route", "deliver", "review", "upkeep"):
        wanted = {
            "AFTERCALL_ROLE": role,
            "AFTERCALL_CONFIG": "ssm:/aftercall/config",
            "AFTERCALL_TABLE": "aftercall",
            "AFTERCALL_WAKE_QUEUE_URL": account.outputs["WakeQueueUrl"],
            "AFTERCALL_BODIES_BUCKET": account.outputs["BodiesBucketName"],
        }
        equal(account.variables(f"aftercall-{role}"), wanted)
        function = account("lambda").get_function_configuration(FunctionName=f"aftercall-{role}")
        equal((function["Runtime"], function["Architectures"]), ("provided.al2023", ["arm64"]))


def buckets(account):
    """the buckets are private and encrypted"""
    for output in ("BodiesBucketName", "ArchiveBucketName", "TranscriptsBucketName"):
        name = account.outputs[output]
        block = account("s3").get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        assert all(block.values()), block
        (rule,) = account("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        equal(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
        assert "SecureTransport" in account("s3").get_bucket_policy(Bucket=name)["Policy"]


def secrets(account):
    """the secrets are random, and an update leaves them alone"""
    values = [account("secretsmanager").get_secret_value(SecretId=account.outputs[name])["SecretString"] for name in ("WebhookSecretArn", "CrmSecretArn")]
    assert len(set(values)) == 2 and all(len(value) == 64 for value in values)
    account("secretsmanager").put_secret_value(SecretId=account.outputs["CrmSecretArn"], SecretString="the CRM's token")


def api(account):
    """the API has one way in"""
    client, api = account("apigatewayv2"), account.outputs["ApiId"]
    equal([one["RouteKey"] for one in client.get_routes(ApiId=api)["Items"]], ["POST /in/{source}"])
    (integration,) = client.get_integrations(ApiId=api)["Items"]
    equal(integration["PayloadFormatVersion"], "2.0")
    assert "aftercall-ingest" in integration["IntegrationUri"]


def alarms(account):
    """what upkeep prints about dead letters is the metric by which somebody is told"""
    filters = account("logs").describe_metric_filters(logGroupName="/aws/lambda/aftercall-upkeep")["metricFilters"]
    (one,) = [one for one in filters if one["filterPattern"] == "{ $.AllDeadLetters = * }"]
    (metric,) = one["metricTransformations"]
    equal(metric["metricValue"], "$.AllDeadLetters")

    # The emulator does not apply filters to logs, so this does.
    def measured(letters):
        data = [{"MetricName": metric["metricName"], "Value": letters}]
        account("cloudwatch").put_metric_data(Namespace=metric["metricNamespace"], MetricData=data)

    def told(state):
        for message in account.receive(account.mailbox):
            account("sqs").delete_message(QueueUrl=account.mailbox, ReceiptHandle=message["ReceiptHandle"])
            alarm = json.loads(json.loads(message["Body"])["Message"])
            if (alarm.get("AlarmName"), alarm.get("NewStateValue")) == ("aftercall-dead-letters", state):
                return True

    measured(3)
    until("the alarm is told", lambda: told("ALARM"))


def arrives(account):
    """of what is put on the bus, what the contact centre sent arrives in the intake queue, whole"""
    for mapping in account("lambda").list_event_source_mappings()["EventSourceMappings"]:
        account("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    detail = json.dumps({"eventBody": {"conversationId": "c-1", "wrapupNotes": "zufrieden ☺"}})
    entries = [
        {"Source": source, "DetailType": "v2.detail.events.conversation.{id}.acw", "Detail": detail, "EventBusName": "aftercall"}
        for source in ("somebody.else", "genesys.cloud")
    ]
    equal(account("events").put_events(Entries=entries)["FailedEntryCount"], 0)
    (message,) = account.receive(account.outputs["IntakeQueueUrl"])
    envelope = json.loads(message["Body"])
    equal((envelope["source"], envelope["detail"]), ("genesys.cloud", json.loads(detail)))
    account("sqs").delete_message(QueueUrl=account.outputs["IntakeQueueUrl"], ReceiptHandle=message["ReceiptHandle"])


def rolled(account):
    """another version of the configuration is an update that reaches every function, and is rolled back by another"""
    common = {"EventSourcePrefix": "genesys", "DeletionProtection": "false"}
    for version, wanted in (("7", "ssm:/aftercall/config:7"), ("6", "ssm:/aftercall/config:6")):
        account.outputs = account.deploy({**common, "ConfigVersion": version}, update=True)
        for role in ("ingest", "route", "deliver", "review", "upkeep"):
            equal(account.variables(f"aftercall-{role}")["AFTERCALL_CONFIG"], wanted)
    secret = account("secretsmanager").get_secret_value(SecretId=account.outputs["CrmSecretArn"])
    equal(secret["SecretString"], "the CRM's token")


def decided(account):
    """a group of dead letters waits for a person, and is redriven or discarded as that says, all of it"""
    functions, sqs, states = account("lambda"), account("sqs"), account("stepfunctions")
    functions.update_function_configuration(FunctionName="aftercall-review", Runtime="python3.12", Handler="index.handler")
    functions.update_function_code(FunctionName="aftercall-review", ZipFile=zipped("index.py", ECHO))

    group = f"f-{time.time_ns()}"

    def decide(decision):
        execution = states.start_execution(stateMachineArn=account.outputs["ReviewMachineArn"], input=json.dumps({"group": group}))["executionArn"]
        while True:
            for message in account.receive(account.mailbox):
                sqs.delete_message(QueueUrl=account.mailbox, ReceiptHandle=message["ReceiptHandle"])
                told = json.loads(message["Body"])["Message"]
                if "token" in told:
                    told = json.loads(told)
                    equal((told["group"], told["execution"]), (group, execution))
                    answer = json.dumps({"decision": decision, "by": "anna", "reason": "the mapping is mended"})
                    states.send_task_success(taskToken=told["token"], output=answer)
                    return until("the execution ends", lambda: ended(states, execution))

    def ended(states, execution):
        one = states.describe_execution(executionArn=execution)
        return None if one["status"] == "RUNNING" else one

    for decision, action in (("approve", "redrive"), ("discard", "discard")):
        execution = decide(decision)
        equal(execution["status"], "SUCCEEDED")
        done = json.loads(execution["output"])["done"]["result"]
        equal(done, {"action": action, "group": group, "by": "anna", "reason": "the mapping is mended", "more": False})
    equal(decide("perhaps")["status"], "FAILED")


def everything(account):
    """the template is deployed with everything that it can have"""
    ec2 = account("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)]
    routes = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    zone = account("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"].rsplit("/", 1)[1]
    secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"
    outputs = account.deploy(
        {
            "Architecture": "x86_64", "ConfigKey": "config/aftercall.toml", "ConfigVersion": "v3",
            "DestinationSecretArns": f"{secret}a-123456,{secret}b-123456", "NotifierSecretArns": f"{secret}pager-123456", "EventBusName": "default",
            "ProvisionedIngest": "2",
            "DomainName": "calls.example.com", "HostedZoneId": zone, "TruststoreUri": "s3://code/clients.pem",
            "TruststoreVersion": "1", "AlarmEmail": "anna@example.com", "ArchiveDays": "400", "AccessLogsBucket": "code",
            "KmsKeyArn": account("kms").create_key()["KeyMetadata"]["Arn"], "VpcId": vpc, "SubnetIds": ",".join(subnets),
            "RouteTableIds": routes, "DeletionProtection": "false",
        },
        name="everything",
    )
    equal((outputs["Url"], outputs["BusName"]), ("https://calls.example.com/in/SOURCE", "default"))
    equal(account.variables("everything-ingest")["AFTERCALL_CONFIG"], "s3://code/config/aftercall.toml?versionId=v3")
    alias = account("lambda").get_alias(FunctionName="everything-ingest", Name="ready")
    assert alias["FunctionVersion"] != "$LATEST"
    resources = account("cloudformation").describe_stack_resources(StackName="everything")["StackResources"]
    names = {one["LogicalResourceId"] for one in resources}
    assert {"Certificate", "Domain", "DomainRecord", "KmsEndpoint", "S3Endpoint", "AlarmSubscription"} <= names and "Bus" not in names


def main(endpoint, template):
    report, account = Report(), Account(endpoint, template, zipped("bootstrap", b"#!/bin/sh\nexit 1\n"))
    report.all([deployed, queues, bus, table, functions, buckets, secrets, api, alarms, arrives, rolled, decided, everything], account)
    report.end()


main(*sys.argv[1:])
