"""An account of the emulator, and deploying into it."""

import io
import time
import zipfile

import boto3
from botocore.config import Config

from report import equal

STACK = "aftercall"
PATIENCE_SECONDS = 60


def until(what, ask):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain: {what}")


def zipped(name, content):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o755 << 16
        archive.writestr(info, content, compresslevel=1, compress_type=zipfile.ZIP_DEFLATED)
    return data.getvalue()


class Account:
    """An account of the emulator, with a stack in it."""

    def __init__(self, endpoint, template, program):
        self.endpoint = endpoint
        self.known = {}
        self.outputs = {}
        # The bucket is the one that the program is in, as docs/aws.md has it.
        self("s3").create_bucket(Bucket="code")
        self("s3").put_object(Bucket="code", Key="aftercall/1/bootstrap.zip", Body=program)
        with open(template, encoding="utf-8") as file:
            self("s3").put_object(Bucket="code", Key="template.json", Body=file.read())

    def __call__(self, service):
        if service not in self.known:
            self.known[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
            )
        return self.known[service]

    def deploy(self, parameters, name=STACK, update=False):
        formation = self("cloudformation")
        values = {"CodeBucket": "code", "CodeKey": "aftercall/1/bootstrap.zip", **parameters}
        (formation.update_stack if update else formation.create_stack)(
            StackName=name,
            TemplateURL=f"{self.endpoint}/code/template.json",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        )

        def ended():
            (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        stack = until("the stack is deployed", ended)
        wrong = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in formation.describe_stack_events(StackName=name)["StackEvents"]
            if event["ResourceStatus"].endswith("FAILED")
        ]
        equal((stack["StackStatus"], wrong), ("UPDATE_COMPLETE" if update else "CREATE_COMPLETE", []))
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def attributes(self, url):
        return self("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def variables(self, function):
        return self("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"]

    def receive(self, url):
        return until(
            "a message arrives",
            lambda: self("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages"),
        )
