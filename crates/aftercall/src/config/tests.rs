//! The default file says what the code does, and every key of the code stands in it.

use super::*;

/// The default file with every commented key switched on.
pub(super) fn uncommented() -> String {
    let is_key = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
    };
    let line = |line: &str| if is_key(line) { line[1..].to_owned() } else { line.to_owned() };
    DEFAULT_FILE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The same, read, with the queue where it is by default: the keys of one elsewhere are examples.
fn written() -> File {
    let mut file = parse("default.toml", &uncommented()).unwrap();
    assert_eq!(file.queue.table_name(), File::default().queue.table_name());
    let times = (file.queue.dedupe_window, file.queue.retention);
    file.queue = super::file::QueueTable { dedupe_window: times.0, retention: times.1, ..Default::default() };
    file
}

#[test]
fn the_queue_is_named_by_its_kind_or_in_a_table() {
    let (short, long) = (parse("a", "queue = \"aws\"\n").unwrap(), parse("b", "[queue]\nkind = \"aws\"\n").unwrap());
    assert_eq!(short, long);
    let place = |rest: &str| parse("c", &format!("[queue]\n{rest}")).unwrap().queue_options();
    let error = place("table = \"calls\"").unwrap_err().in_a_line();
    assert!(error.starts_with("queue.table: means something for kind = \"aws\" only"), "{error}");
    #[cfg(feature = "aws")]
    assert!(place("kind = \"aws\"\ntable = \"arn:x\"").unwrap_err().in_a_line().starts_with("queue.table: `arn:x`"));
    #[cfg(feature = "aws")]
    {
        let error = parse("e", "queue = \"aws\"\n[intake.limits]\nbody = \"1MiB\"\n").unwrap().queue_options();
        let error = error.unwrap_err().in_a_line();
        assert!(error.starts_with("intake.limits.body: is more than") && error.contains("[queue.bodies]"), "{error}");
        let small = parse("f", "queue = \"aws\"\n").unwrap().intake_options().limits.body_bytes;
        assert_eq!(small, queue_aws::BODY_BYTES_MAX, "what could not be kept is refused with 413");
        let error = place("kind = \"aws\"\n[queue.bodies]\nurl = \"/mnt\"").unwrap_err().in_a_line();
        assert!(error.starts_with("queue.bodies.url: `/mnt` is no bucket"), "{error}");
        assert!(
            place("kind = \"aws\"\n[queue.bodies]\nregion = \"x\"").unwrap_err().in_a_line().contains("bodies.url")
        );
    }
    #[cfg(not(feature = "aws"))]
    assert!(place("kind = \"aws\"").unwrap_err().in_a_line().contains("--features aws"));
    let wrong = parse("d", "queue = \"sqs\"\n").unwrap_err().in_a_line();
    assert!(wrong.contains("embedded") && wrong.starts_with("d:1:9"), "{wrong}");
}

#[test]
fn the_default_file_changes_nothing() {
    assert_eq!(parse("default.toml", DEFAULT_FILE).unwrap(), File::default());
}

#[test]
fn every_default_that_the_file_names_is_the_codes() {
    let mut written = written();
    // Some make leases and waits longer.
    written.destinations.clear();
    let default = File::default();
    assert_eq!(written.data_dir(), default.data_dir());
    assert_eq!(written.console_listen(), default.console_listen());
    let (mut one, other) = (written.intake_options(), default.intake_options());
    assert!(one.tls.take().is_some(), "an example");
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    let (one, other) = (written.queue_options().unwrap().queue, default.queue_options().unwrap().queue);
    assert_eq!(one, other);
    assert_eq!(written.quarantine_options().unwrap(), default.quarantine_options().unwrap());
    assert_eq!((written.alarm_options(), written.alarms_every()), (default.alarm_options(), default.alarms_every()));
}

/// The defaults of a destination are spelt out in comments only, so those of the kind are compared here.
#[cfg(feature = "postgres")]
#[test]
fn the_defaults_of_a_warehouse_are_the_codes() {
    let table = &parse("default.toml", &uncommented()).unwrap().destinations["warehouse"];
    let default = destinations::postgres::Options::new("", "", vec![]);
    assert_eq!(table.connections, Some(default.connections));
    assert_eq!(table.max_rows, Some(default.max_rows));
    assert_eq!(table.max_bytes.map(|size| size.0), Some(default.max_bytes));
    assert_eq!(table.create, Some(default.create));
    assert_eq!(table.sslmode, Some(super::file::SslModeSetting::VerifyFull));
    assert_eq!(default.ssl, destinations::postgres::SslMode::VerifyFull);
}

#[test]
fn the_defaults_of_transcripts_are_the_codes() {
    let file = written();
    let written = &file.destinations["transcripts"];
    let bare = super::file::DestinationTable { schedule: None, timeout: None, order: None, ..written.clone() };
    assert_eq!((written.schedule(), written.attempt()), (bare.schedule(), bare.attempt()));
    assert_eq!((written.order(), written.concurrency), (bare.order(), Some(transcripts::Options::CONCURRENCY)));
    assert_eq!(written.max_size.map(|size| size.0 as u64), Some(transcripts::Options::MAX_BYTES));
    assert_eq!((written.object.as_deref(), written.update), (Some(transcripts::Options::OBJECT), Some(true)));
    let times = file.queue_options().unwrap().queue.times;
    assert_eq!((times.lease, times.longest_wait), (transcripts::Options::ATTEMPT * 2, written.schedule().longest()));
}

#[test]
fn transcripts_that_would_be_lost_or_that_nobody_learns_of_are_refused() {
    let refused = |destination: &str, more: &str| {
        let text = format!(
            "[genesys]\nregion = \"eu-central-1\"\nclient_id = \"a\"\nclient_secret = \"env:PATH\"\n\
             [sources.calls]\nauth = {{ open = true }}\n[destinations.calls]\nkind = \"transcripts\"\nurl = \"/tmp/x\"\n\
             {destination}\n[[routes]]\ndestination = \"calls\"\n{more}"
        );
        parse("test", &text).unwrap().check().err().map(|error| error.in_a_line()).unwrap_or_default()
    };
    let told = "[destinations.out]\nkind = \"file\"\npath = \"out\"\n[[routes]]\ndestination = \"out\"\n";
    assert_eq!(refused("", told), "");
    assert_eq!(refused("update = false", ""), "");
    assert_eq!(refused("", &format!("{told}sources = [\"transcripts\"]")), "");
    for (destination, more, words) in [
        ("", "".to_owned(), "destinations.calls.update"),
        ("", format!("{told}sources = [\"calls\"]"), "nobody would learn"),
        ("update = false", format!("{told}sources = [\"transcripts\"]"), "there is no source `transcripts`"),
        ("schedule = { give_up = \"14d\" }", told.to_owned(), "gives up later than queue.retention"),
        ("schedule = { base = \"7h\" }", told.to_owned(), "destinations.calls.schedule"),
        ("object = \"x/{conversation_id}.json\"", told.to_owned(), "destinations.calls.object"),
        ("method = \"PUT\"", told.to_owned(), "means nothing for kind = \"transcripts\""),
        ("", format!("{told}[sources.transcripts]\nauth = {{ open = true }}"), "give it another name"),
    ] {
        let said = refused(destination, &more);
        assert!(said.contains(words), "{destination} {more}: {said}");
    }
    let file = "[sources.a]\nauth = { open = true }\n[destinations.out]\nkind = \"file\"\npath = \"out\"\nretention = \"1d\"\n\
                [[routes]]\ndestination = \"out\"";
    let said = parse("test", file).unwrap().check().unwrap_err().in_a_line();
    assert!(said.contains("means nothing for kind = \"file\""), "{said}");
}

/// The same for the recipe that the file shows; and records that share calls do not adapt their number to latency.
#[test]
fn the_defaults_of_a_recipe_are_the_codes() {
    let table = &parse("default.toml", &uncommented()).unwrap().destinations["salesforce"];
    let recipe = destinations::recipe::Recipe::Salesforce;
    assert_eq!(table.api_version.as_deref(), Some(recipe.version()));
    assert_eq!(table.max_records, Some(recipe.records_max()));
    let url = "https://crm.example.com".parse().unwrap();
    let options = destinations::recipe::Options::new(
        recipe,
        destinations::http::Options::new(url),
        "Call__c",
        vec!["Id__c".into()],
    );
    assert_eq!(table.connections, Some(options.connections));
    for (more, adaptive) in [("", false), ("adaptive = true", true), ("max_records = 1", true)] {
        let config = format!(
            "[sources.s]\nauth = {{ open = true }}\n[destinations.d]\nkind = \"http\"\nrecipe = \"salesforce\"\n\
             url = \"http://127.0.0.1\"\nobject = \"Call__c\"\nkey = \"Id__c\"\n{more}\n[[routes]]\ndestination = \"d\"\n"
        );
        let parts = parse("test", &config).unwrap().parts(&Opened::default()).unwrap();
        assert_eq!(parts.destinations[0].delivery.adaptive, adaptive, "{more}");
    }
}

/// The routes of the file are made of it, so they are ready to be used.
#[test]
fn the_route_for_violations_takes_events_with_violations_and_no_others() {
    let written = parse("default.toml", &uncommented()).unwrap();
    let route = written.routes.iter().find(|route| route.name.as_deref() == Some("violations")).unwrap();
    assert_eq!((route.destination.as_str(), route.on), ("quality", On::Outcome));
    let pattern = route.pattern.as_ref().and_then(toml::Value::as_str).unwrap().parse::<routing::Pattern>().unwrap();
    let mapping = routing::Mapping::compile(route.mapping.as_deref().unwrap()).unwrap();
    let told = |body: &'static str| {
        let event = crate::single::event(bytes::Bytes::from_static(body.as_bytes()), "test").unwrap();
        let matches = pattern.explain(event::Outcome::of(&event).to_json().as_bytes()).unwrap().is_match();
        matches.then(|| serde_json::from_slice::<serde_json::Value>(&mapping.apply(&event).unwrap()).unwrap())
    };
    let payload =
        told(r#"{"conversationId":"c","data":{"complianceViolations":[{"code":"x","severity":"high"},"y"]}}"#);
    let payload = payload.unwrap();
    assert_eq!((&payload["conversation_id"], &payload["compliance"]["severity"]), (&"c".into(), &"high".into()));
    assert!(told(r#"{"complianceViolations":"card number spoken"}"#).is_some(), "not overlooked");
    for nothing in [r#"{"complianceViolations":[]}"#, r#"{"sentiment":"grumpy"}"#, "{}"] {
        assert_eq!(told(nothing), None, "{nothing}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn the_defaults_of_a_lake_are_the_codes() {
    let file = parse("default.toml", &uncommented()).unwrap();
    let mut table = file.destinations["lake"].clone();
    table.url = Some("lake".to_owned());
    (table.endpoint, table.region, table.access_key, table.secret_key) = (None, None, None, None);
    let written = parquet_options("lake", &table, Path::new("data")).unwrap();
    let place = ::storage::Location::Directory("lake".into());
    let default = destinations::parquet::Options::new(place, "/var/lib/aftercall-lake".into());
    assert_eq!(format!("{written:?}"), format!("{default:?}"));
    let object = file.destinations["records"].object.as_deref();
    assert_eq!(object, Some(destinations::objects::DEFAULT_KEY));
}

/// Asks the parser what it knows by giving it a key that it does not, and looks for each of those in the file.
#[test]
fn every_key_of_the_code_stands_in_the_file() {
    let file = uncommented();
    let ask = [
        ("?", "?=1"),
        ("intake.?", "[intake]\n?=1"),
        ("intake.limits.?", "[intake.limits]\n?=1"),
        ("console.?", "[console]\n?=1"),
        ("queue.?", "[queue]\n?=1"),
        ("queue.bodies.?", "[queue.bodies]\n?=1"),
        ("quarantine.?", "[quarantine]\n?=1"),
        ("archive.?", "[archive]\n?=1"),
        ("genesys.?", "[genesys]\n?=1"),
        ("redaction.?", "[redaction]\n?=1"),
        ("sources", "[sources.a]\n?=1"),
        ("redact", "[[sources.a.redact]]\n?=1"),
        ("auth", "[sources.a]\nauth={ ?=1 }"),
        ("destinations", "[destinations.a]\n?=1"),
        ("outgoing auth", "[destinations.a]\nauth={ ?=1 }"),
        ("oauth", "[destinations.a]\nauth={ oauth={ ?=1 } }"),
        ("backoff", "[destinations.a]\nbackoff={ ?=1 }"),
        ("breaker", "[destinations.a]\nbreaker={ ?=1 }"),
        ("rate", "[destinations.a]\nrate={ ?=1 }"),
        ("routes", "[[routes]]\n?=1"),
        ("alarms.?", "[alarms]\n?=1"),
        ("actions", "[[alarms.actions]]\n?=1"),
        ("notifiers", "[notifiers.a]\n?=1"),
    ];
    for (table, text) in ask {
        let error = toml::from_str::<File>(&text.replace('?', "zzz")).unwrap_err();
        let known: Vec<_> = error.message().split('`').skip(3).step_by(2).collect();
        assert!(!known.is_empty(), "{table}: {error}");
        for key in known {
            let named =
                [format!("\n{key} ="), format!("[{key}"), format!(".{key}]"), format!(" {key} = "), format!("[[{key}")];
            assert!(named.iter().any(|named| file.contains(named)), "{table}: `{key}` is not in default.toml");
        }
    }
}

/// What is wrong with a file; nothing if it can be used.
fn message(text: &str) -> String {
    match parse("test.toml", text) {
        Ok(file) => file.parts(&Opened::default()).err().map(|error| error.in_a_line()).unwrap_or_default(),
        Err(error) => error.to_string(),
    }
}

/// A destination of kind `postgres` that nobody listens for.
fn warehouse(rest: &str) -> String {
    let sslmode = if rest.contains("sslmode") { "" } else { "sslmode = \"disable\"" };
    format!(
        "[sources.a]\nauth = {{ open = true }}\n[destinations.d]\nkind = \"postgres\"\n\
         url = \"postgres://u@127.0.0.1:1/d\"\n{sslmode}\n{rest}\n[[routes]]\ndestination = \"d\"\n"
    )
}

#[cfg(feature = "postgres")]
#[test]
fn a_bad_warehouse_names_its_place_and_its_cure() {
    let cases = [
        ("", "destinations.d.table: is missing"),
        ("table = \"t\"", "destinations.d.key: is missing"),
        ("table = \"t\"\nkey = 7", "a column's name or a list of names"),
        ("table = \"t\"\nkey = \"id\"\nmethod = \"PUT\"", "means nothing for kind = \"postgres\""),
        ("table = \"t\"\nkey = \"id\"\npassword = \"hunter2\"", "destinations.d.password: is no name of a secret"),
        ("table = \"t\"\nkey = \"id\"\nsslmode = \"prefer\"", "unknown variant `prefer`"),
        ("table = \"t.u.v\"\nkey = \"id\"", "destinations.d.table: is `t.u.v`, which is no name of a table"),
        ("table = \"t\"\nkey = \"id\"\nca = \"/no/such/file\"", "destinations.d.ca: /no/such/file"),
    ];
    for (rest, expected) in cases {
        let message = message(&warehouse(rest));
        assert!(message.contains(expected) && !message.contains("hunter2"), "{rest}\ngave: {message}\nnot: {expected}");
    }
    // One that cannot be reached is no error.
    assert_eq!(message(&warehouse("table = \"t\"\nkey = [\"a\", \"b\"]")), "");
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_kind_that_is_not_built_in_names_the_feature() {
    let message = message(&warehouse("table = \"t\"\nkey = \"id\""));
    assert!(message.contains("destinations.d.kind") && message.contains("cargo feature `postgres`"), "{message}");
}

fn rule(path: &str, how: &str, rest: &str) -> String {
    format!("[[sources.a.redact]]\npath = \"{path}\"\nhow = \"{how}\"\n{rest}\n")
}

#[test]
fn a_bad_value_names_its_place_and_its_cure() {
    let open = "[sources.a]\nauth = { open = true }\n";
    let routed =
        format!("{open}[destinations.d]\nkind = \"http\"\nurl = \"http://x\"\n[[routes]]\ndestination = \"d\"\n");
    let oauth = "{ token_url = \"http://a.b/t\", client_id = \"c\", client_secret = \"env:PATH\" }";
    let client = "client_id = \"a\"\nclient_secret = \"env:PATH\"\n";
    let with_oauth = |auth: &str| routed.replace("url =", &format!("auth = {auth}\nurl ="));
    let dir = tempfile::tempdir().unwrap();
    let key_of = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        format!("[redaction]\nkey = \"file:{}\"\n", dir.path().join(name).display())
    };
    let keyed = key_of("key", "0123456789abcdef0123456789abcdef");
    let lake = |kind: &str, rest: &str| {
        format!("{open}[destinations.d]\nkind = \"{kind}\"\n{rest}\n[[routes]]\ndestination = \"d\"\n")
    };
    let cases = [
        ("", "sources: there is none"),
        ("[queue]\nretention = \"1 fortnight\"", "a time with its unit"),
        ("[intake.limits]\nbody = \"big\"", "a size, like"),
        (&format!("[intake.limits]\nspool = \"20MiB\"\n{open}max_body = \"20MiB\""), "is larger than the spool"),
        (
            &format!("{open}max_body = \"20MiB\"\n{}{keyed}", rule("/a", "drop", "")),
            "sources.a.max_body: is more than a source with rules for redaction can have",
        ),
        ("[sources.a]\nauth = { }", "sources.a.auth: needs exactly one of"),
        ("[sources.a]\nauth = { bearer = true }", "sources.a.auth.secrets: there is none"),
        ("[sources.a]\nauth = { bearer = true, secrets = [\"hunter2\"] }", "no name of a secret"),
        ("[sources.a]\nauth = { bearer = true, secrets = [\"env:SURELY_NOT_SET\"] }", "SURELY_NOT_SET"),
        (&format!("{open}[destinations.d]\nkind = \"file\"\npath = \"x\""), "no route leads to it"),
        (&format!("{open}[[routes]]\ndestination = \"d\""), "there is no destination `d`"),
        (
            &format!("{open}[destinations.d]\nkind = \"http\"\n[[routes]]\ndestination = \"d\""),
            "destinations.d.url: is missing",
        ),
        (
            &format!("{open}[destinations.d]\nkind = \"http\"\nurl = \"ftp://x\"\n[[routes]]\ndestination = \"d\""),
            "destinations.d.url",
        ),
        (
            &format!(
                "{open}[destinations.d]\nkind = \"http\"\nurl = \"http://x\"\npath = \"y\"\n[[routes]]\ndestination = \"d\""
            ),
            "destinations.d.path: means nothing for kind = \"http\"",
        ),
        (
            &format!(
                "{open}[destinations.d]\nkind = \"http\"\nurl = \"http://x\"\n[[routes]]\ndestination = \"d\"\npattern = {{ a = 1 }}"
            ),
            "routes[1].pattern: ",
        ),
        (
            &format!(
                "{open}[destinations.d]\nkind = \"http\"\nurl = \"http://x\"\n[[routes]]\ndestination = \"d\"\nmapping = '{{'"
            ),
            "routes[1].mapping: ",
        ),
        (&with_oauth(&format!("{{ bearer = \"env:PATH\", oauth = {oauth} }}")), "and nothing else"),
        (
            &with_oauth(&format!("{{ oauth = {oauth} }}")),
            "destinations.d.auth.oauth.token_url: would send the secret unencrypted",
        ),
        (&with_oauth(&format!("{{ oauth = {} }}", oauth.replace("env:PATH", "hunter2"))), "no name of a secret"),
        (&format!("{routed}[genesys]\nclient_id = \"a\""), "genesys.client_secret: is missing"),
        (&format!("{routed}[genesys]\nclient_secret = \"env:PATH\""), "genesys.client_id: is missing"),
        (&format!("{routed}[genesys]\nregion = \"mars-1\""), "there are: us-east-1 (mypurecloud.com)"),
        (&format!("{routed}[genesys]\n{client}"), "genesys.region: is missing, and so is genesys.login_url"),
        (
            &format!("{routed}[genesys]\n{client}region = \"eu-west-1\"\nlogin_url = \"http://login.x\""),
            "genesys.login_url: would send the secret unencrypted",
        ),
        (
            &format!("{routed}[genesys]\n{client}region = \"eu-west-1\"\ncache_file = \"/nowhere/token\""),
            "genesys.cache_file: the directory `/nowhere` is not there",
        ),
        (&lake("parquet", ""), "destinations.d.url: is missing"),
        (&lake("parquet", "url = \"ftp://x\""), "destinations.d.url: `ftp://x` is no place"),
        (&lake("parquet", "url = \"s3://\""), "destinations.d.url: names no bucket"),
        (&lake("parquet", "url = \"gs://\""), "destinations.d.url: names no bucket"),
        (
            &lake("objects", "url = \"gs://b\"\naccess_key = \"env:PATH\""),
            "destinations.d.access_key: means nothing for gs://",
        ),
        (&lake("objects", "url = \"az://c\"\nsecret_key = \"env:PATH\""), "destinations.d.access_key: is missing"),
        (&lake("parquet", "url = \"az://c\"\nregion = \"y\""), "destinations.d.region: means nothing for az://"),
        (&lake("parquet", "url = \"x\"\nregion = \"y\""), "destinations.d.region: means nothing for a directory"),
        (&lake("parquet", "url = \"s3://b\"\nendpoint = \"x\""), "destinations.d.endpoint: `x` is no address"),
        (&lake("parquet", "url = \"s3://b\"\naccess_key = \"env:PATH\""), "only one of access_key"),
        (&lake("parquet", "url = \"x\"\npartition = \"week\""), "unknown variant `week`"),
        (&lake("parquet", "url = \"x\"\nobject = \"y\""), "means nothing for kind = \"parquet\""),
        (&lake("parquet", "url = \"x\"\nfile_bytes = 1"), "destinations.d.file_bytes: is not between"),
        (&lake("parquet", "url = \"x\"\nmerge_files = 1"), "destinations.d.merge_files: is 1"),
        (&lake("parquet", "url = \"x\"\nmerge_below = 0"), "destinations.d.merge_below: is not between"),
        (&lake("objects", "url = \"x\"\nremember = 1"), "means nothing for kind = \"objects\""),
        (&lake("objects", "url = \"x\"\nobject = \"y\""), "destinations.d.object: has no {event_id}"),
        (&routed.replace("url", "journal = \"j\"\nurl"), "destinations.d.journal: means nothing for kind = \"http\""),
        (&routed.replace("url", "version = \"v\"\nurl"), "destinations.d.version: means nothing for kind = \"http\""),
        (&format!("[archive]\nurl = \"ftp://x\"\n{open}"), "archive.url: `ftp://x` is no place"),
        (&format!("[archive]\nurl = \"aftercall-data/archive\"\n{open}"), "lost together"),
        (&format!("[archive]\nurl = \"../a\"\n{open}"), "leads upwards"),
        (&format!("[archive]\nregion = \"x\"\n{open}"), "archive.region: means nothing without archive.url"),
        (&format!("[archive]\nurl = \"s3://b\"\naccess_key = \"env:PATH\"\n{open}"), "only one of access_key"),
        (&format!("[archive]\nurl = \"s3://b\"\nendpoint = \"b.c\"\n{open}"), "archive.endpoint: "),
        (
            &routed.replace("url", "on_outage = \"archive\"\nurl"),
            "destinations.d.on_outage: is \"archive\", and no archive is configured",
        ),
        (&format!("[quarantine]\nrequests = 0\n{open}"), "quarantine.requests: is 0"),
        (&format!("[quarantine]\nbytes = 1\n{open}"), "quarantine.bytes: is too little"),
        (&format!("{routed}[notifiers.n]\nkind = \"pagerduty\""), "notifiers.n.routing_key: is missing"),
        (
            &format!("{routed}[notifiers.n]\nkind = \"slack\"\nurl = \"https://hunter2\""),
            "notifiers.n.url: is a secret",
        ),
        (
            &format!("{routed}[notifiers.n]\nkind = \"webhook\"\nurl = \"ftp://x\"\nsecret = \"env:PATH\""),
            "notifiers.n.secret: is not written",
        ),
        (
            &format!("{routed}[notifiers.n]\nkind = \"command\"\nurl = \"http://x\""),
            "means nothing for kind = \"command\"",
        ),
        (&format!("{routed}[notifiers.n]\nkind = \"command\"\ncommand = []"), "notifiers.n.command: is missing"),
        (
            &format!("{routed}[[alarms.actions]]\non = \"disk-low\"\npause = true"),
            "alarms.actions[1].pause: needs an alarm",
        ),
        (&format!("{routed}[[alarms.actions]]\non = \"breaker-open\""), "has nothing to do"),
        (&format!("{routed}[[alarms.actions]]\non = \"disk-low\"\ncall = \"n\""), "there is no notifier `n`"),
        (&format!("{open}{}", rule("/x", "hash", "")), "redaction.key: is missing, and sources.a.redact needs it"),
        (&format!("{keyed}{open}{}", rule("x", "drop", "")), "sources.a.redact[1].path: `x` is not a JSON pointer"),
        (&format!("{keyed}{open}{}", rule("", "drop", "")), "sources.a.redact[1].path: leads to the whole event"),
        (
            &format!("{keyed}{open}{}", rule("/x", "hash", "keep_last = 4")),
            "redact[1].keep_last: `keep_last` goes with",
        ),
        (
            &format!("{keyed}{open}{}{}", rule("/x", "drop", ""), rule("/x", "hash", "")),
            "sources.a.redact: two rules have the path `/x`",
        ),
        (
            &format!("{keyed}{open}topic = [\"/t/u\"]\n{}", rule("/*/u", "mask", "")),
            "`/*/u` covers `/t/u`, from which the topic is taken",
        ),
        (
            &format!("{keyed}{open}{}", rule("/detail/eventBody/conversationId", "hash", "")),
            "is where the conversation is looked for",
        ),
        (
            "[redaction]\nkey = \"hunter2\"\n[sources.a]\nauth = { open = true }",
            "redaction.key: is no name of a secret",
        ),
        ("[redaction]\nkey = []\n[sources.a]\nauth = { open = true }", "redaction.key: there is no key"),
        ("[redaction]\nkey = \"env:SURELY_NOT_SET\"\n[sources.a]\nauth = { open = true }", "SURELY_NOT_SET"),
        (&format!("{}{open}", key_of("short", "0123456789")), "redaction.key: a key has fewer"),
        (&format!("{}{open}", key_of("empty", "\n")), "is empty"),
        ("[queue]\nretention = \"1h\"\n[sources.a]\nauth = { open = true }", "queue.retention: is shorter"),
    ];
    for (text, expected) in cases {
        let message = message(text);
        assert!(message.contains(expected), "{text}\ngave: {message}\nnot: {expected}");
    }
    assert!(!message("[sources.a]\nauth = { bearer = true, secrets = [\"hunter2\"] }").contains("hunter2"));
}
