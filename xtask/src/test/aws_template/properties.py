"""What must be true of the translated template, above all what an emulator does not look at: properties.py TEMPLATE EXPIRES

EXPIRES is the attribute by which the queue's items expire.
"""

import json
import sys

from report import Report, equal

FUNCTIONS = {"Ingest", "Route", "Deliver", "Review", "Upkeep"}
FORTNIGHT = 14 * 24 * 3600
DEAD = {"IntakeDeadLetters", "RuleDeadLetters", "WakeDeadLetters", "UpkeepFailures"}


class Stack:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.template = json.load(file)
        self.resources = self.template["Resources"]

    def kind(self, kind):
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    def default(self, value):
        """A value, parameters and conditions at their defaults."""
        if isinstance(value, dict) and list(value) == ["Ref"]:
            return self.template["Parameters"].get(value["Ref"], {}).get("Default", value)
        return value

    def statements(self):
        """Each statement of identity policies, with where it stands and whether it hangs on a condition."""
        documents = []
        for name, one in self.kind("AWS::IAM::Role").items():
            documents += [(name, policy["PolicyDocument"]) for policy in one.get("Policies", [])]
        for name, one in self.kind("AWS::IAM::ManagedPolicy").items():
            documents.append((name, one["PolicyDocument"]))
        for name, document in documents:
            for statement in document["Statement"]:
                if "Fn::If" in statement:
                    condition, *branches = statement["Fn::If"]
                    yield from ((name, condition, one) for one in branches if "Effect" in one)
                else:
                    yield name, None, statement


def many(value):
    return value if isinstance(value, list) else [value]


def target(value):
    """The resource that a reference leads to."""
    if "Ref" in value:
        return value["Ref"]
    return value["Fn::GetAtt"][0]


def hides(stack):
    """a queue hides a message for six timeouts of its function"""
    mappings = stack.kind("AWS::Lambda::EventSourceMapping")
    equal(len(mappings), 4)
    for name, mapping in mappings.items():
        queue = stack.resources[target(mapping["EventSourceArn"])]["Properties"]
        function = stack.resources[target(mapping["FunctionName"])]["Properties"]
        window = mapping.get("MaximumBatchingWindowInSeconds", 0)
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + window, name


def keeps(stack):
    """every queue keeps messages for fourteen days, encrypted, and has a queue for dead letters or is one"""
    for name, queue in stack.kind("AWS::SQS::Queue").items():
        equal(queue["MessageRetentionPeriod"], FORTNIGHT)
        equal(queue["SqsManagedSseEnabled"], {"Fn::If": ["HasKey", {"Ref": "AWS::NoValue"}, True]})
        equal(queue["KmsMasterKeyId"], {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})
        if name in DEAD:
            assert "RedriveAllowPolicy" in queue and "RedrivePolicy" not in queue, name
        else:
            policy = queue["RedrivePolicy"]
            assert target(policy["deadLetterTargetArn"]) in DEAD, name
            outlasts = queue["VisibilityTimeout"] * policy["maxReceiveCount"]
            assert outlasts >= 4 * 3600, f"{name}: an outage of {outlasts} s fills its dead letters"


def wakes(stack):
    """a wake-up is a batch of its own, at most fifty at once, and Lambda lets deliver wake itself up"""
    (mapping,) = [one for one in stack.kind("AWS::Lambda::EventSourceMapping").values() if target(one["EventSourceArn"]) == "WakeQueue"]
    equal(mapping["BatchSize"], 1)
    equal(mapping["ScalingConfig"], {"MaximumConcurrency": 50})
    equal(stack.resources["Deliver"]["Properties"]["RecursiveLoop"], "Allow")


def reports(stack):
    """every event source is limited and says which messages failed; no concurrency is reserved"""
    for name, mapping in stack.kind("AWS::Lambda::EventSourceMapping").items():
        equal(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2, name
        assert "FilterCriteria" not in mapping, f"{name}: Lambda deletes what a filter does not match"
    for name, function in stack.kind("AWS::Lambda::Function").items():
        assert "ReservedConcurrentExecutions" not in function, name


def table(stack, expires):
    """the table expires, can be brought back, is paid on demand, and stays when the stack goes"""
    resource = stack.resources["Table"]
    properties = resource["Properties"]
    equal(properties["TimeToLiveSpecification"], {"AttributeName": expires, "Enabled": True})
    equal(properties["PointInTimeRecoverySpecification"], {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35})
    equal(properties["BillingMode"], "PAY_PER_REQUEST")
    equal({one["AttributeName"]: one["KeyType"] for one in properties["KeySchema"]}, {"pk": "HASH", "sk": "RANGE"})
    equal({one["AttributeName"]: one["AttributeType"] for one in properties["AttributeDefinitions"]}, {"pk": "S", "sk": "S"})
    equal(stack.default(properties["DeletionProtectionEnabled"]), "true")


def stays(stack):
    """what holds data stays when the stack goes"""
    for name, one in stack.resources.items():
        if one["Type"] in ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"):
            equal((one.get("DeletionPolicy"), one.get("UpdateReplacePolicy")), ("Retain", "Retain"))


def buckets(stack):
    """buckets are private, encrypted, take TLS only, and clean up behind broken uploads"""
    private = dict.fromkeys(["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True)
    policies = {target(one["Bucket"]): one["PolicyDocument"]["Statement"] for one in stack.kind("AWS::S3::BucketPolicy").values()}
    for name, bucket in stack.kind("AWS::S3::Bucket").items():
        equal(bucket["PublicAccessBlockConfiguration"], private)
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        equal(encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"], {"Fn::If": ["HasKey", "aws:kms", "AES256"]})
        (statement,) = policies[name]
        equal((statement["Effect"], statement["Condition"]), ("Deny", {"Bool": {"aws:SecureTransport": "false"}}))
        equal(len(statement["Resource"]), 2)
        assert any("AbortIncompleteMultipartUpload" in rule for rule in bucket["LifecycleConfiguration"]["Rules"]), name


def names(stack):
    """no identity policy has a wildcard where something can be named"""
    seen = 0
    for where, condition, statement in stack.statements():
        seen += 1
        for action in many(statement["Action"]):
            assert "*" not in action, f"{where}: {action}"
        if condition == "HasVpc":
            # The one that AWS cannot name: network interfaces that are not there yet.
            assert all(action.startswith("ec2:") for action in statement["Action"]), where
            continue
        for resource in many(statement["Resource"]):
            text = json.dumps(resource)
            # Objects of one bucket, and nothing wider.
            within = text.count("*") == 1 and ("Bucket.Arn}/*" in text)
            assert "*" not in text or within, f"{where}: {text}"
    assert seen > 20, f"only {seen} statements were looked at"


def roles(stack):
    """every function has a role of its own, which nobody but Lambda takes, and no policy of AWS"""
    functions = stack.kind("AWS::Lambda::Function")
    equal(set(functions), FUNCTIONS)
    equal({name: target(one["Role"]) for name, one in functions.items()}, {name: f"{name}Role" for name in FUNCTIONS})
    for name, role in stack.kind("AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        equal(trust["Principal"]["Service"], "states.amazonaws.com" if name == "ReviewMachineRole" else "lambda.amazonaws.com")
        for policy in role.get("ManagedPolicyArns", []):
            assert "aws:policy" not in json.dumps(policy), f"{name}: {policy}"


def receives(stack):
    """only the function that reads a queue may receive from it"""
    may = {}
    for where, _, statement in stack.statements():
        if "sqs:ReceiveMessage" in many(statement["Action"]):
            may.setdefault(where, set()).update(target(one) for one in many(statement["Resource"]))
    reads = {}
    for mapping in stack.kind("AWS::Lambda::EventSourceMapping").values():
        reads.setdefault(target(mapping["FunctionName"]) + "Role", set()).add(target(mapping["EventSourceArn"]))
    equal(may, reads)


def rules(stack):
    """every target of a rule has a queue for dead letters that lets this rule send, and retries as long as it should"""
    policies = {}
    for policy in stack.kind("AWS::SQS::QueuePolicy").values():
        for queue in policy["Queues"]:
            policies[target(queue)] = policy["PolicyDocument"]["Statement"]
    found = 0
    for name, rule in stack.kind("AWS::Events::Rule").items():
        for one in rule["Targets"]:
            found += 1
            dead = target(one["DeadLetterConfig"]["Arn"])
            assert dead in DEAD and "RetryPolicy" in one, name
            for queue in {dead, target(one["Arn"])} & set(policies):
                allow = next(statement for statement in policies[queue] if statement["Effect"] == "Allow")
                equal((allow["Principal"], allow["Action"]), ({"Service": "events.amazonaws.com"}, "sqs:SendMessage"))
                assert {"Fn::GetAtt": [name, "Arn"]} in many(allow["Condition"]["ArnEquals"]["aws:SourceArn"]), name
            assert dead in policies, f"{name}: EventBridge may not send into {dead}"
    equal(found, 2)
    (intake,) = stack.resources["Rule"]["Properties"]["Targets"]
    equal(intake["RetryPolicy"], {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185})


def asynchronous(stack):
    """what upkeep fails at is kept, and not tried a second time in the next minute's way"""
    (config,) = stack.kind("AWS::Lambda::EventInvokeConfig").values()
    equal(target(config["FunctionName"]), "Upkeep")
    equal(config["MaximumRetryAttempts"], 0)
    equal(target(config["DestinationConfig"]["OnFailure"]["Destination"]), "UpkeepFailures")


def stage(stack):
    """the API throttles, logs every access without headers and bodies, and waits longer than ingest works"""
    stage = stack.resources["Stage"]["Properties"]
    equal(stack.default(stage["DefaultRouteSettings"]["ThrottlingRateLimit"]), 50)
    equal(stack.default(stage["DefaultRouteSettings"]["ThrottlingBurstLimit"]), 100)
    written = json.loads(stage["AccessLogSettings"]["Format"])
    assert not any(word in value for value in written.values() for word in ("header", "body", "Authorization")), written
    waits = stack.resources["Integration"]["Properties"]["TimeoutInMillis"]
    assert waits > 1000 * stack.resources["Ingest"]["Properties"]["Timeout"]
    equal(stack.resources["InRoute"]["Properties"]["RouteKey"], "POST /in/{source}")
    equal(stack.resources["Api"]["Properties"]["DisableExecuteApiEndpoint"], {"Fn::If": ["HasDomain", True, False]})


def environment(stack):
    """functions are told their role, configuration, table, wake-up queue and bucket"""
    wanted = {"AFTERCALL_ROLE", "AFTERCALL_CONFIG", "AFTERCALL_TABLE", "AFTERCALL_WAKE_QUEUE_URL", "AFTERCALL_BODIES_BUCKET"}
    for name, function in stack.kind("AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        equal(set(variables) - {"AWS_ENDPOINT_URL"}, wanted)
        equal(variables["AWS_ENDPOINT_URL"], {"Fn::If": ["HasEndpoint", {"Ref": "EndpointUrl"}, {"Ref": "AWS::NoValue"}]})
        equal(variables["AFTERCALL_ROLE"], name.lower())
        equal((function["Runtime"], function["Handler"]), ("provided.al2023", "bootstrap"))
        equal(function["Architectures"], [{"Ref": "Architecture"}])
    equal(stack.template["Parameters"]["Architecture"]["AllowedValues"], ["arm64", "x86_64"])


def configured(stack):
    """a change of code, configuration or memory is a new version where versions are kept ready"""
    description = stack.resources["IngestVersion"]["Properties"]["Description"]["Fn::Sub"]
    for parameter in ("CodeKey", "ConfigName", "ConfigKey", "ConfigVersion", "Memory"):
        assert f"${{{parameter}}}" in description, parameter
    assert not [name for name in stack.kind("AWS::Lambda::Alias") if name != "IngestAlias"]


def told(stack):
    """every alarm tells the topic, in words; every function and every queue of dead letters has one"""
    watched = set()
    alarms = stack.kind("AWS::CloudWatch::Alarm")
    for name, alarm in alarms.items():
        equal((alarm["AlarmActions"], alarm["OKActions"]), ([{"Ref": "AlarmTopic"}], [{"Ref": "AlarmTopic"}]))
        assert len(alarm["AlarmDescription"]) > 30 and "TreatMissingData" in alarm, name
        for dimension in alarm.get("Dimensions", []):
            watched.add((json.dumps(dimension["Value"]), alarm["MetricName"]))
    for function in FUNCTIONS:
        for metric in ("Errors", "Throttles"):
            assert (json.dumps({"Ref": function}), metric) in watched, (function, metric)
    for queue in DEAD:
        assert (json.dumps({"Fn::GetAtt": [queue, "QueueName"]}), "ApproximateNumberOfMessagesVisible") in watched, queue
    made = {one["MetricTransformations"][0]["MetricName"] for one in stack.kind("AWS::Logs::MetricFilter").values()}
    own = {one["MetricName"] for one in alarms.values() if isinstance(one["Namespace"], dict)}
    equal(own, {"AllDeadLetters", "OldestAgeSeconds", "BreakerOpen", "Refused"})
    assert own <= made, f"nobody publishes {own - made}"
    equal(alarms["UpkeepSilentAlarm"]["TreatMissingData"], "breaching")


def logs(stack):
    """every log ends, by a parameter, and every function writes into its own"""
    groups = stack.kind("AWS::Logs::LogGroup")
    for name, group in groups.items():
        equal(group["RetentionInDays"], {"Ref": "LogDays"})
    for name, function in stack.kind("AWS::Lambda::Function").items():
        equal(function["LoggingConfig"], {"LogGroup": {"Ref": f"{name}Logs"}})


def review(stack):
    """the review waits for a person, tells why it failed, and calls review with what was decided"""
    states = stack.resources["ReviewMachine"]["Properties"]["Definition"]["States"]
    assert states["Ask"]["Resource"].endswith("sns:publish.waitForTaskToken")
    equal(states["Ask"]["TimeoutSeconds"], FORTNIGHT)
    for state, action in (("Redrive", "redrive"), ("Discard", "discard")):
        payload = states[state]["Parameters"]["Payload"]
        equal(set(payload), {"action", "group.$", "by.$", "reason.$"})
        equal(payload["action"], action)
        equal([one["Next"] for one in states[state]["Catch"]], ["TellOfFailure"])


def dashboard(stack):
    """the dashboard is JSON"""
    body = stack.resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert len(json.loads(body)["widgets"]) >= 10


def planted():
    """Faults that each check must see: what is changed, and who sees it."""

    def properties(name, **changes):
        return lambda resources: resources[name]["Properties"].update(changes)

    def statement(role, **changes):
        return lambda resources: resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][-1].update(changes)

    return [
        ("a short visibility timeout", hides, properties("WakeQueue", VisibilityTimeout=300)),
        ("a short retention", keeps, properties("IntakeQueue", MessageRetentionPeriod=345600)),
        ("few receives", keeps, lambda resources: resources["IntakeQueue"]["Properties"]["RedrivePolicy"].update(maxReceiveCount=5)),
        ("reserved concurrency", reports, properties("Deliver", ReservedConcurrentExecutions=50)),
        ("no partial answer", reports, properties("RouteIntake", FunctionResponseTypes=[])),
        ("loop detection", wakes, properties("Deliver", RecursiveLoop="Terminate")),
        ("a table without a way back", lambda stack: table(stack, "expires"), properties("Table", PointInTimeRecoverySpecification={})),
        ("a wildcard in an action", names, statement("RouteRole", Action="sqs:*")),
        ("a wildcard as a resource", names, statement("RouteRole", Resource="*")),
        ("somebody else who receives", receives, statement("IngestRole", Action="sqs:ReceiveMessage", Resource={"Ref": "WakeQueue"})),
        ("a rule without a queue for dead letters", rules, lambda resources: resources["Rule"]["Properties"]["Targets"][0].pop("DeadLetterConfig")),
        ("a policy for another rule", rules, lambda resources: resources["IntakeQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"][0].update(Condition={"ArnEquals": {"aws:SourceArn": "x"}})),
        ("a role that is shared", roles, properties("Route", Role={"Fn::GetAtt": ["IngestRole", "Arn"]})),
        ("an alarm that tells nobody", told, properties("DeadLettersAlarm", AlarmActions=[])),
        ("a bucket that goes with the stack", stays, lambda resources: resources["ArchiveBucket"].pop("DeletionPolicy")),
        ("a public bucket", buckets, properties("ArchiveBucket", PublicAccessBlockConfiguration={})),
        ("an API without throttle", stage, properties("Stage", DefaultRouteSettings={"ThrottlingRateLimit": 9999, "ThrottlingBurstLimit": 1})),
    ]


def sees(path, check, change):
    stack = Stack(path)
    check(stack)
    change(stack.resources)
    try:
        check(stack)
    except (AssertionError, KeyError, StopIteration):
        return
    raise AssertionError("nobody has seen it")


def main(path, expires):
    report, stack = Report(), Stack(path)
    report.all([hides, keeps, wakes, reports, stays, buckets, names, roles, receives, rules, asynchronous, stage], stack)
    report.all([environment, configured, told, logs, review, dashboard], stack)
    report.all([table], stack, expires)
    for name, check, change in planted():
        report.check(f"a planted fault is seen: {name}", lambda check=check, change=change: sees(path, check, change))
    report.end()


main(*sys.argv[1:])
