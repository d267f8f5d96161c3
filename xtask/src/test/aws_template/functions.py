"""The stack with the real program in it: functions.py ENDPOINT TEMPLATE BOOTSTRAP

Webhooks through the HTTP API and envelopes through the bus end up in a fake CRM, each once.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import http.server
import json
import sys
import threading
import urllib.error
import urllib.request

from account import STACK, Account, until, zipped
from report import Report, equal

CONFIG = """
[sources.genesys]
auth = {{ signature = "open-messaging", secrets = ["secretsmanager:aftercall/webhook"] }}
[sources.calls]
kind = "sqs"
queue_url = "{endpoint}/000000000000/aftercall-intake"
[destinations.crm]
kind = "http"
method = "PUT"
url = "http://127.0.0.1:{crm}/outcomes/{{event_id}}"
auth = {{ bearer = "secretsmanager:aftercall/crm" }}
timeout = "5s"
[[routes]]
destination = "crm"
"""


class Crm(http.server.ThreadingHTTPServer):
    """Keeps what it was sent, in order. Refuses whom it does not know, and what it is told to refuse."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken, self.refuses, self.is_down, self.lock = [], "", False, threading.Lock()
        self.at_once = self.most_at_once = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def bodies(self):
        with self.lock:
            return [body for _, body in self.taken]

    def of(self, conversation):
        return [body for body in self.bodies() if f'"{conversation}"' in body]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        with self.server.lock:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        status = 503 if self.server.is_down else 204
        if self.headers["authorization"] != "Bearer the-token-of-the-crm":
            status = 401
        elif self.server.refuses and self.server.refuses in body:
            status = 422
        with self.server.lock:
            self.server.at_once -= 1
            if status == 204:
                self.server.taken.append((self.path, body))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Site:
    def __init__(self, endpoint, template, program):
        self.endpoint, self.crm = endpoint, Crm()
        self.account = Account(endpoint, template, program)

    def post(self, body, secret, source="genesys"):
        """Signs and posts, as a sender of Open Messaging does; the status and what was answered."""
        body = json.dumps(body).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
        request = urllib.request.Request(f"{self.endpoint}/in/{source}", data=body, method="POST")
        request.add_header("host", f"{self.account.outputs['ApiId']}.execute-api.localhost:{self.endpoint.rsplit(':', 1)[1]}")
        request.add_header("content-type", "application/json")
        request.add_header("x-hub-signature-256", "sha256=" + base64.b64encode(digest).decode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "{}")

    def secret(self):
        return self.account("secretsmanager").get_secret_value(SecretId=f"{STACK}/webhook")["SecretString"]

    def put(self, *details):
        entries = [
            {"EventBusName": STACK, "Source": "genesys.test", "DetailType": f"v2.detail.events.conversation.{detail['eventBody']['conversationId']}.acw", "Detail": json.dumps(detail)}
            for detail in details
        ]
        equal(self.account("events").put_events(Entries=entries)["FailedEntryCount"], 0)

    def invoke(self, role, payload):
        answer = self.account("lambda").invoke(FunctionName=f"{STACK}-{role}", Payload=json.dumps(payload).encode())
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        return said

    def groups(self):
        return self.invoke("review", {"action": "groups"})["groups"]


def acw(conversation, participant="p"):
    return {"eventBody": {"conversationId": conversation, "participantId": participant, "sessionId": "s", "eventTime": 1764300000000, "wrapupCode": "SALE"}}


def deployed(site):
    """the stack is deployed with the program, its configuration and its secrets"""
    config = CONFIG.format(endpoint=site.endpoint, crm=site.crm.server_address[1])
    site.account("ssm").put_parameter(Name="/aftercall/config", Type="String", Value=config)
    site.account.outputs = site.account.deploy({"EventSourcePrefix": "genesys", "ConfigVersion": "1", "EndpointUrl": site.endpoint})
    site.account("secretsmanager").put_secret_value(SecretId=f"{STACK}/crm", SecretString="the-token-of-the-crm")


def webhook(site):
    """a signed webhook through the HTTP API ends up in the CRM"""
    status, answer = site.post({"webhookEventId": "w-1", "conversationId": "by-webhook"}, site.secret())
    equal((status, answer["accepted"]), (200, 1))
    until("the CRM has it", lambda: site.crm.of("by-webhook"))


def refused(site):
    """what is not signed by the secret is refused and goes nowhere"""
    status, _ = site.post({"webhookEventId": "w-2", "conversationId": "forged"}, "another secret")
    equal(status, 401)
    status, _ = site.post({"webhookEventId": "w-2"}, site.secret(), source="nobody")
    equal(status, 404)


def bus(site):
    """envelopes that are put on the bus end up in the CRM"""
    site.put(*(acw(f"by-bus-{number}") for number in range(10)))
    for number in range(10):
        until("the CRM has it", lambda number=number: site.crm.of(f"by-bus-{number}"))


def once(site):
    """what comes twice, by either way, is delivered once"""
    status, answer = site.post({"webhookEventId": "w-1", "conversationId": "by-webhook"}, site.secret())
    equal((status, answer["accepted"], answer["duplicates"]), (200, 0, 1))
    site.put(acw("by-bus-1"), acw("last"))
    until("the CRM has what came behind it", lambda: site.crm.of("last"))
    equal((len(site.crm.of("by-webhook")), len(site.crm.of("by-bus-1"))), (1, 1))


def rotated(site):
    """a secret rotates: what is signed with the one before is accepted too, and what is signed with others is not"""
    before = site.secret()
    site.account("secretsmanager").put_secret_value(SecretId=f"{STACK}/webhook", SecretString="the-secret-after-it")
    for number, secret in enumerate((before, "the-secret-after-it")):
        status, _ = site.post({"webhookEventId": f"r-{number}", "conversationId": f"rotated-{number}"}, secret)
        equal(status, 200)
        until("the CRM has it", lambda number=number: site.crm.of(f"rotated-{number}"))
    equal(site.post({"webhookEventId": "r-2"}, "neither of them")[0], 401)


def crowded(site):
    """hundreds at once are each delivered once, in the order of their conversation, fifty at a time at most"""
    conversations, events, secret = 30, 10, site.secret()

    def send(conversation):
        for number in range(events):
            body = {"webhookEventId": f"{conversation}-{number}", "conversationId": conversation, "number": number}
            # Whoever is told to come again does, as senders do.
            until("it is taken", lambda body=body: site.post(body, secret)[0] == 200)

    names = [f"crowd-{number}" for number in range(conversations)]
    with concurrent.futures.ThreadPoolExecutor(conversations) as senders:
        list(senders.map(send, names))
    until("the CRM has them all", lambda: all(len(site.crm.of(name)) >= events for name in names))
    for name in names:
        equal([json.loads(body)["number"] for body in site.crm.of(name)], list(range(events)))
    assert site.crm.most_at_once <= 50, site.crm.most_at_once


def waited(site):
    """an outage of the CRM costs time only: nothing gets into a queue of dead letters, nor becomes one"""
    outputs = site.account.outputs
    site.crm.is_down = True
    names = [f"outage-{number}" for number in range(20)]
    site.put(*(acw(name) for name in names[:10]))
    site.put(*(acw(name) for name in names[10:]))
    until("the events are in the table", lambda: site.account.attributes(outputs["IntakeQueueUrl"])["ApproximateNumberOfMessages"] == "0")
    for _ in range(3):
        site.invoke("upkeep", {})
    for queue in ("IntakeDeadLettersUrl", "RuleDeadLettersUrl", "WakeDeadLettersUrl"):
        equal(site.account.attributes(outputs[queue])["ApproximateNumberOfMessages"], "0")
    equal((site.groups(), [name for name in names if site.crm.of(name)]), ([], []))
    site.crm.is_down = False

    def delivered():
        # Once a minute on AWS; nobody wants to wait for that here.
        site.invoke("upkeep", {})
        return all(site.crm.of(name) for name in names)

    until("the CRM has them all", delivered)
    equal([name for name in names if len(site.crm.of(name)) != 1], [])


def mended(site):
    """what the CRM refuses is a dead letter, which a person approves and which is delivered then"""
    site.crm.refuses = "poison"
    site.put(acw("poison"))
    (group,) = until("the dead letter is there", site.groups)
    site.crm.refuses = ""
    equal(site.crm.of("poison"), [])
    states, sqs = site.account("stepfunctions"), site.account("sqs")
    mailbox = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
    site.account("sns").subscribe(TopicArn=site.account.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=site.account.attributes(mailbox)["QueueArn"])
    asked = json.dumps({"group": group["fingerprint"]})
    execution = states.start_execution(stateMachineArn=site.account.outputs["ReviewMachineArn"], input=asked)["executionArn"]

    def token():
        messages = [json.loads(message["Body"])["Message"] for message in site.account.receive(mailbox)]
        return next((json.loads(message)["token"] for message in messages if '"token"' in message), None)

    answer = json.dumps({"decision": "approve", "by": "anna", "reason": "the CRM is mended"})
    states.send_task_success(taskToken=until("somebody is asked", token), output=answer)
    until("the execution ends", lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING")
    equal(states.describe_execution(executionArn=execution)["status"], "SUCCEEDED")
    until("the CRM has it", lambda: site.crm.of("poison"))


def unreadable(site):
    """a message that is no event is a dead letter, and not lost in a queue"""
    queue = site.account.outputs["IntakeQueueUrl"]
    site.account("sqs").send_message(QueueUrl=queue, MessageBody="this is no event")
    until("the dead letter is there", lambda: [group for group in site.groups() if "intake" in json.dumps(group)])
    until("the queue is empty", lambda: site.account.attributes(queue)["ApproximateNumberOfMessages"] == "0")


def kept(site):
    """upkeep runs and prints the metric that the alarm of dead letters looks at"""
    assert "woken" in site.invoke("upkeep", {}), "upkeep says nothing"
    logs = site.account("logs")

    def printed():
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{STACK}-upkeep", filterPattern="AllDeadLetters")["events"]
        return [json.loads(event["message"]) for event in events if '"AllDeadLetters"' in event["message"]]

    lines = until("it is in the log", printed)
    assert lines[-1]["AllDeadLetters"] >= 1, lines


def main(endpoint, template, bootstrap):
    with open(bootstrap, "rb") as file:
        site = Site(endpoint, template, zipped("bootstrap", file.read()))
    report = Report()
    report.all([deployed, webhook, refused, bus, once, rotated, crowded, waited, mended, unreadable, kept], site)
    report.end()


main(*sys.argv[1:])
