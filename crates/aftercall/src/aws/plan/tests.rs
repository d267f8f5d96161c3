use toml::Table;

use super::needs::{Place, Plan, plan};
use super::obstacles::Effect;

fn of(text: &str) -> Plan {
    let place = Place { stack: "aftercall".into(), region: "eu-central-1".into(), account: "123456789012".into() };
    crate::config::parse("test", text).unwrap();
    plan(&text.parse::<Table>().unwrap(), text.len(), &place)
}

fn refused(text: &str) -> Vec<String> {
    let refused = of(text).obstacles.into_iter().filter(|one| one.effect == Effect::Refused);
    refused.map(|one| one.at).collect()
}

fn parameter<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    plan.parameters.iter().find(|one| one.name == name).map(|one| one.value.as_str())
}

const READY: &str = r#"
[sources.genesys]
auth = { signature = "genesys", secrets = ["secretsmanager:aftercall/webhook"] }
[sources.calls]
kind = "sqs"
queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/aftercall-intake"
[destinations.crm]
kind = "http"
url = "https://crm.example.com/{event_id}"
auth = { bearer = "secretsmanager:aftercall/crm" }
[[routes]]
destination = "crm"
"#;

#[test]
fn what_is_ready_needs_nothing_but_the_program_and_the_configuration() {
    let plan = of(READY);
    assert_eq!(plan.obstacles, []);
    assert!(plan.policy.is_none());
    let names: Vec<_> = plan.parameters.iter().map(|one| one.name).collect();
    assert_eq!(names, ["CodeBucket", "CodeKey", "ConfigName", "ConfigVersion", "EventBusName"]);
    assert_eq!(plan.environment["AFTERCALL_CONFIG"], "ssm:/aftercall/config:1");
    let read: Vec<_> = plan.secrets.iter().map(|one| (&*one.name, one.read_by, one.is_own)).collect();
    assert_eq!(read, [("aftercall/crm", "deliver", true), ("aftercall/webhook", "every function", true)]);
}

#[test]
fn secrets_that_the_template_does_not_make_are_parameters_for_those_who_read_them() {
    let text = READY.replace("secretsmanager:aftercall/crm", "secretsmanager:crm/prod#token");
    let plan = of(&text.replace("aftercall/webhook\"", "aftercall/webhook\", \"secretsmanager:old\""));
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:";
    assert_eq!(parameter(&plan, "DestinationSecretArns"), Some(format!("{arn}crm/prod-??????").as_str()));
    assert_eq!(parameter(&plan, "SourceSecretArns"), Some(format!("{arn}old-??????").as_str()));
}

#[test]
fn secrets_of_notifiers_are_upkeeps() {
    let notifiers = "[notifiers.pager]\nkind = \"pagerduty\"\nrouting_key = \"secretsmanager:pager\"\n\
                     [notifiers.chat]\nkind = \"slack\"\nurl = \"secretsmanager:chat\"\n";
    let plan = of(&format!("{READY}{notifiers}"));
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:";
    let both = format!("{arn}chat-??????,{arn}pager-??????");
    assert_eq!(parameter(&plan, "NotifierSecretArns"), Some(both.as_str()));
    assert!(parameter(&plan, "DestinationSecretArns").is_none());
}

#[test]
fn secrets_in_files_and_the_environment_are_refused_by_their_keys() {
    let text = READY
        .replace("secretsmanager:aftercall/crm", "env:CRM")
        .replace("secretsmanager:aftercall/webhook", "file:/etc/x");
    assert_eq!(refused(&text), ["destinations.crm.auth.bearer", "sources.genesys.auth.secrets"]);
}

#[test]
fn what_writes_to_a_disk_is_left_to_a_server() {
    let text = format!(
        "{READY}[destinations.lake]\nkind = \"file\"\npath = \"events.ndjson\"\n[archive]\nurl = \"s3://a/b\"\n"
    );
    let effects: Vec<_> = of(&text).obstacles.into_iter().map(|one| (one.at, one.effect)).collect();
    let wanted = ["destinations.lake", "archive", "queue"].map(|at| (at.to_owned(), Effect::Server));
    assert_eq!(effects, wanted);
    let ready = of(&format!("{text}[queue]\nkind = \"aws\"\ntable = \"aftercall\"\n"));
    assert!(ready.obstacles.iter().all(|one| one.at != "queue"));
}

#[test]
fn what_no_function_reaches_is_refused() {
    let with = |table: &str| refused(&format!("{READY}[destinations.other]\n{table}\n"));
    let url = ["destinations.other.url"];
    assert_eq!(with("kind = \"http\"\nurl = \"http://127.0.0.1:9\""), url);
    assert_eq!(with("kind = \"http\"\nurl = \"http://[::1]:9\""), url);
    assert_eq!(with("kind = \"objects\"\nurl = \"lake\""), url);
    assert_eq!(with("kind = \"http\"\nurl = \"https://a.example\"\ntimeout = \"5m\""), ["destinations.other.timeout"]);
    assert_eq!(with("kind = \"http\"\nurl = \"https://a.example\"\nca = \"/etc/ca.pem\""), ["destinations.other.ca"]);
    assert_eq!(with("kind = \"http\"\nurl = \"https://a.example\"\nca = \"/var/task/ca.pem\""), [""; 0]);
    let keys = "access_key = \"secretsmanager:a\"\nsecret_key = \"secretsmanager:b\"";
    assert_eq!(with(&format!("kind = \"objects\"\nurl = \"s3://a\"\n{keys}")), ["destinations.other.access_key"]);
}

#[test]
fn another_queue_than_the_templates_is_refused_with_the_one_to_write() {
    let plan = of(&READY.replace("aftercall-intake", "calls"));
    assert_eq!(plan.obstacles[0].at, "sources.calls.queue_url");
    assert!(plan.obstacles[0].cure.contains("/aftercall-intake"), "{}", plan.obstacles[0].cure);
}

#[test]
fn a_private_address_needs_a_network() {
    for (address, wanted) in [("10.1.2.3", true), ("crm.internal", true), ("crm", true), ("crm.example.com", false)] {
        let plan = of(&READY.replace("crm.example.com", address));
        assert_eq!(parameter(&plan, "VpcId").is_some(), wanted, "{address}");
    }
}

#[test]
fn a_large_configuration_is_an_object() {
    let plan = of(&format!("{READY}# {}\n", "x".repeat(9_000)));
    assert!(parameter(&plan, "ConfigKey").is_some() && parameter(&plan, "ConfigName").is_none());
    let advanced = of(&format!("{READY}# {}\n", "x".repeat(5_000)));
    let why = &advanced.parameters.iter().find(|one| one.name == "ConfigName").unwrap().why;
    assert!(why.contains("Advanced"), "{why}");
}

#[test]
fn rights_are_those_of_the_buckets_queues_and_buses_that_are_named() {
    let text = format!(
        "{READY}[destinations.objects]\nkind = \"objects\"\nurl = \"s3://lake/calls/\"\n\
         [destinations.quality]\nkind = \"sqs\"\nqueue_url = \"https://sqs.us-east-1.amazonaws.com/1/q.fifo\"\n\
         [destinations.bus]\nkind = \"eventbridge\"\nbus = \"calls\"\n"
    );
    let policy = of(&text).policy.unwrap();
    let resources: Vec<_> =
        policy["Statement"].as_array().unwrap().iter().map(|one| one["Resource"].as_str().unwrap()).collect();
    assert_eq!(
        resources,
        [
            "arn:aws:events:eu-central-1:123456789012:event-bus/calls",
            "arn:aws:s3:::lake/calls/*",
            "arn:aws:s3:::lake",
            "arn:aws:sqs:us-east-1:1:q.fifo"
        ]
    );
}

#[test]
fn the_template_has_every_parameter_that_a_plan_names() {
    let template = include_str!("../../../../../deploy/aws/template.yaml");
    let text = format!("{READY}[destinations.objects]\nkind = \"objects\"\nurl = \"s3://lake\"\n");
    let text = text
        .replace("crm.example.com", "10.0.0.1")
        .replace("aftercall/crm", "crm")
        .replace("aftercall/webhook", "hook");
    for text in [text.clone(), format!("{text}# {}\n", "x".repeat(9_000))] {
        let plan = of(&text);
        assert!(plan.parameters.len() > 7);
        for parameter in &plan.parameters {
            assert!(template.contains(&format!("\n  {}:\n    Type: ", parameter.name)), "{}", parameter.name);
        }
        for name in plan.environment.keys() {
            assert!(template.contains(name), "{name}");
        }
    }
}
