//! Scales, labels, severities, and what is kept of the rest.

use super::*;

#[test]
fn a_number_has_one_scale_or_none() {
    let fixed = |value: &str| format!(r#"{{"sentimentScore":{value}}}"#);
    let free = |value: &str| format!(r#"{{"sentiment":{value}}}"#);
    let overall = |value: &str| format!(r#"{{"data":{{"sentiment":{{"overall":{value}}}}}}}"#);
    let cases = [
        ("0", Some((0.0, "neutral", "unit")), true),
        ("-0.0", Some((0.0, "neutral", "unit")), true),
        ("1", Some((1.0, "positive", "unit")), true),
        ("-1.0", Some((-1.0, "negative", "unit")), true),
        ("0.01", Some((0.01, "positive", "unit")), true),
        ("1.0000001", Some((0.010_000_001, "positive", "percent")), false),
        ("-42", Some((-0.42, "negative", "percent")), false),
        ("100", Some((1.0, "positive", "percent")), false),
        ("-1e2", Some((-1.0, "negative", "percent")), false),
        ("100.5", None, false),
        ("-1e400", None, false),
        ("123456789012345678901234567890", None, false),
    ];
    for (value, expected, fits_unit) in cases {
        for (body, is_fixed) in [(fixed(value), true), (free(value), false), (overall(value), false)] {
            let told = outcome(&body);
            let (sentiment, expected) = (&told["sentiment"], expected.filter(|_| fits_unit || !is_fixed));
            match expected {
                Some((score, label, scale)) => {
                    let found = sentiment["score"].as_f64().unwrap();
                    assert!((found - score).abs() < 1e-12, "{body}: {found}");
                    assert_eq!((&sentiment["label"], &sentiment["scale"]), (&json!(label), &json!(scale)), "{body}");
                    assert_eq!(sentiment["given"], value, "{body}");
                    assert_eq!(told["unrecognised"], json!([]), "{body}");
                }
                None => {
                    assert_eq!((&sentiment["score"], &sentiment["label"]), (&Value::Null, &Value::Null), "{body}");
                    assert_eq!(unrecognised(&told).len(), 1, "{body}");
                    assert_eq!(unrecognised(&told)[0].1, value, "{body}");
                }
            }
        }
    }
}

#[test]
fn the_numbers_of_one_sentiment_have_one_scale() {
    let told = outcome(r#"{"sentiment":{"overall":45,"trend":1}}"#);
    assert_eq!((&told["sentiment"]["score"], &told["sentiment"]["trend"]), (&json!(0.45), &json!(0.01)));
    let told = outcome(r#"{"sentiment":{"overall":"neutral","trend":0.5}}"#);
    assert_eq!((&told["sentiment"]["score"], &told["sentiment"]["trend"]), (&json!(0), &json!(0.5)));
}

#[test]
fn a_label_is_one_of_four_however_it_is_written() {
    for (text, label, score) in [
        ("positive", "positive", json!(1)),
        ("NEUTRAL", "neutral", json!(0)),
        (" Negative ", "negative", json!(-1)),
        ("Mixed", "mixed", Value::Null),
    ] {
        for body in
            [json!({"sentiment": text}), json!({"sentiment": {"overall": text}}), json!({"data": {"sentiment": text}})]
        {
            let told = outcome_of(body.clone());
            let sentiment = &told["sentiment"];
            assert_eq!((&sentiment["label"], &sentiment["score"]), (&json!(label), &score), "{body}");
            assert_eq!((&sentiment["scale"], &sentiment["given"]), (&json!("label"), &json!(text)), "{body}");
            assert_eq!(told["unrecognised"], json!([]), "{body}");
        }
    }
    for (value, shown) in [
        (json!("great"), "\"great\""),
        (json!("0.5"), "\"0.5\""),
        (json!(true), "true"),
        (json!(["positive"]), "[\"positive\"]"),
    ] {
        let told = outcome_of(json!({"data": {"sentiment": {"overall": value}}}));
        assert_eq!(told["sentiment"], nothing()["sentiment"], "{value}");
        assert_eq!(unrecognised(&told), [("/data/sentiment/overall", shown)]);
    }
}

#[test]
fn what_says_the_same_twice_counts_once_and_the_other_is_kept() {
    let told = outcome(r#"{"sentimentScore":0.5,"sentiment":{"overall":"negative","score":40}}"#);
    assert_eq!(told["sentiment"]["score"], 0.5, "a documented member comes first");
    assert_eq!(told["sentiment"]["label"], "negative", "what the event says, not the sign");
    assert_eq!(told["extra"], json!({"/sentiment/score": 40}));
    let told = outcome(r#"{"agentId":"a","userId":"u","data":{"agentId":"inner"}}"#);
    assert_eq!((&told["agent_id"], &told["extra"]), (&json!("inner"), &json!({"/agentId": "a", "/userId": "u"})));
}

#[test]
fn a_trend_class_is_one_that_is_known() {
    for class in ["NotCalculated", "Declining", "SlightlyDeclining", "NoChange", "SlightlyImproving", "Improving"] {
        let told = outcome_of(json!({"sentimentTrendClass": class.to_lowercase()}));
        assert_eq!(told["sentiment"]["trend_class"], class);
    }
    let told = outcome(r#"{"sentimentTrendClass":"Soaring"}"#);
    assert_eq!(
        (&told["sentiment"]["trend_class"], unrecognised(&told)),
        (&Value::Null, vec![("/sentimentTrendClass", "\"Soaring\"")])
    );
}

#[test]
fn severity_is_one_of_four_and_the_highest_counts() {
    let told = outcome_of(json!({"complianceViolations": [
        {"type": "disclosure", "severity": "Low"}, {"rule": 17, "severity": "CRITICAL"}, {"severity": "medium"},
        {"code": "x", "severity": "severe"}, {"code": "y", "severity": 3}, {"code": "z", "at": 12}
    ]}));
    assert_eq!((&told["compliance"]["count"], &told["compliance"]["severity"]), (&json!(6), &json!("critical")));
    let severities: Vec<_> =
        told["compliance"]["violations"].as_array().unwrap().iter().map(|one| &one["severity"]).collect();
    assert_eq!(
        severities,
        [&json!("low"), &json!("critical"), &json!("medium"), &Value::Null, &Value::Null, &Value::Null]
    );
    assert_eq!(told["compliance"]["violations"][1]["rule"], "17");
    let unknown = [("/complianceViolations/3/severity", "\"severe\""), ("/complianceViolations/4/severity", "3")];
    assert_eq!((unrecognised(&told), &told["extra"]), (unknown.to_vec(), &json!({"/complianceViolations/5/at": 12})));
}

#[test]
fn null_counts_as_missing_wherever_it_stands() {
    for text in [
        r#"{"agentId":"a","wrapupCode":"w","data":{"agentId":null,"wrapupCode":null}}"#,
        r#"{"data":{"agentId":null,"wrapupCode":null},"agentId":"a","wrapupCode":"w"}"#,
    ] {
        let told = outcome(text);
        assert_eq!((&told["agent_id"], &told["wrapup"]["code"]), (&json!("a"), &json!("w")), "{text}");
        assert_eq!((unrecognised(&told), &told["extra"]), (vec![], &json!({})), "{text}");
    }
}

#[test]
fn what_says_nothing_hides_no_violation() {
    let one = r#"["x"]"#;
    for empty in ["null", "[]", "[ \n]"] {
        for text in [
            format!(r#"{{"complianceViolations":{one},"data":{{"complianceViolations":{empty}}}}}"#),
            format!(r#"{{"data":{{"complianceViolations":{empty}}},"complianceViolations":{one}}}"#),
            format!(r#"{{"complianceViolations":{empty},"data":{{"complianceViolations":{one}}}}}"#),
            format!(r#"{{"complianceViolations":{one},"complianceViolations":{empty}}}"#),
            format!(r#"{{"complianceViolations":{empty},"complianceViolations":{one}}}"#),
        ] {
            assert_eq!(outcome(&text)["compliance"]["count"], 1, "{text}");
        }
    }
    let none = outcome(r#"{"complianceViolations":null,"data":{"complianceViolations":[]}}"#);
    assert_eq!(none["compliance"]["count"], 0);
    // Of two lists one is read, and the other is told.
    for text in [
        r#"{"complianceViolations":["x"],"data":{"complianceViolations":["y"]}}"#,
        r#"{"complianceViolations":["x"],"complianceViolations":["y"]}"#,
    ] {
        let told = outcome(text);
        assert_eq!(told["compliance"]["violations"][0]["code"], "y", "{text}");
        assert_eq!(unrecognised(&told), [("/complianceViolations", r#"["x"]"#)], "{text}");
    }
}

#[test]
fn a_violation_is_never_overlooked() {
    let count = |value: Value| {
        let told = outcome_of(json!({"data": {"complianceViolations": value}}));
        (told["compliance"]["count"].clone(), unrecognised(&told).len())
    };
    assert_eq!(count(json!([])), (json!(0), 0));
    assert_eq!(count(Value::Null), (Value::Null, 0), "nothing is said of compliance");
    assert_eq!(count(json!([null, "a"])), (json!(1), 0));
    assert_eq!(count(json!([1, [], true, {}])), (json!(4), 3), "what it is cannot be understood, but it is one");
    for no_list in [json!("none"), json!(3), json!({"code": "x"}), json!(false)] {
        assert_eq!(count(no_list.clone()), (Value::Null, 1), "{no_list}");
    }
    let many: Vec<_> = (0..1_500).map(|at| json!({"severity": if at == 1_400 { "high" } else { "low" }})).collect();
    let told = outcome_of(json!({"complianceViolations": many}));
    assert_eq!((&told["compliance"]["count"], &told["compliance"]["severity"]), (&json!(1_500), &json!("high")));
    assert_eq!(told["compliance"]["violations"].as_array().unwrap().len(), crate::outcome::MAX_VIOLATIONS);
    assert_eq!(unrecognised(&told)[0].0, "/complianceViolations");
}

#[test]
fn times_are_read_as_they_are_documented() {
    for (body, expected, unknown) in [
        (r#"{"eventTime":1773957888128}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"eventTime":1.773957888128e12}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"eventTime":"2026-03-19T22:04:48.1289Z"}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"timestamp":"2026-03-19T23:04:48+01:00"}"#, Some("2026-03-19T22:04:48.000Z"), 0),
        (r#"{"timestamp":1773957888128}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"timestamp":1773957888}"#, Some("2026-03-19T22:04:48.000Z"), 0),
        (r#"{"timestamp":1773957888.128}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"eventTime":1773957888128.999}"#, Some("2026-03-19T22:04:48.128Z"), 0),
        (r#"{"timestamp":1773957888128000}"#, None, 1),
        (r#"{"eventTime":9223372036854775807,"timestamp":1e400}"#, None, 2),
        (r#"{"time":1773957888}"#, None, 0),
        (r#"{"timestamp":"0000-12-31T23:59:59.999Z"}"#, None, 1),
        (r#"{"timestamp":"0001-01-01T00:00:00Z"}"#, Some("0001-01-01T00:00:00.000Z"), 0),
        (r#"{"timestamp":"2026-03-19 22:04:48"}"#, None, 1),
        (r#"{"eventTime":"soon","timestamp":"2026-03-19T22:04:48Z"}"#, Some("2026-03-19T22:04:48.000Z"), 1),
        (r#"{"eventTime":1e300}"#, None, 1),
        (r#"{"eventTime":99999999999999999}"#, None, 1),
        (r#"{"eventTime":1773957888}"#, Some("2026-03-19T22:04:48.000Z"), 0),
        (r#"{"eventTime":1.773957888e9}"#, Some("2026-03-19T22:04:48.000Z"), 0),
        (r#"{"eventTime":99999999999}"#, Some("5138-11-16T09:46:39.000Z"), 0),
        (r#"{"eventTime":100000000000}"#, Some("1973-03-03T09:46:40.000Z"), 0),
        (r#"{"eventTime":5,"timestamp":"2026-03-19T22:04:48Z"}"#, Some("1970-01-01T00:00:05.000Z"), 0),
        (r#"{"time":"2026-03-19T22:04:48Z"}"#, None, 0),
        (r#"{"detail-type":"t","detail":{},"time":"2026-03-19T22:04:48Z"}"#, Some("2026-03-19T22:04:48.000Z"), 0),
        (r#"{"detail-type":"t","detail":{"time":"x"},"time":"2026-03-19T22:04:48Z"}"#, None, 0),
    ] {
        let told = outcome(body);
        assert_eq!((told["occurred_at"].as_str(), unrecognised(&told).len()), (expected, unknown), "{body}");
    }
}

#[test]
fn wrong_types_are_kept_as_they_are_written() {
    let told = outcome(
        r#"{"detail-type":"t","detail":{"agentId":{"a":1},"queueId":true,"wrapupDurationMs":"15","wrapupNotes":[1],
        "heldDurationMs":1.5,"intents":{"name":"x"},"keywords":[1,{"name":[]}],"topics":"x","mediaType":7,
        "participantMetrics":[],"empathyScores":[5],"sentimentScore":"0.5","eventBody":"x"}}"#,
    );
    let expected = [
        ("/detail/eventBody", "\"x\""),
        ("/detail/agentId", "{\"a\":1}"),
        ("/detail/queueId", "true"),
        ("/detail/mediaType", "7"),
        ("/detail/sentimentScore", "\"0.5\""),
        ("/detail/empathyScores/0", "5"),
        ("/detail/intents", "{\"name\":\"x\"}"),
        ("/detail/keywords/0", "1"),
        ("/detail/keywords/1/name", "[]"),
        ("/detail/topics", "\"x\""),
        ("/detail/wrapupNotes", "[1]"),
        ("/detail/wrapupDurationMs", "\"15\""),
        ("/detail/heldDurationMs", "1.5"),
        ("/detail/participantMetrics", "[]"),
    ];
    assert_eq!(unrecognised(&told), expected);
    assert_eq!(told["extra"], json!({}));
    let mut rest = nothing();
    for name in ["event_id", "topic", "unrecognised"] {
        rest[name] = told[name].clone();
    }
    assert_eq!(told, rest);
}

#[test]
fn of_members_with_the_same_name_the_last_counts() {
    for (body, agent, extra) in [
        (r#"{"agentId":"a","agentId":"b"}"#, json!("b"), json!({})),
        (r#"{"agentId":"a","agentId":null}"#, Value::Null, json!({})),
        (r#"{"x":1,"x":2,"\u0078":3}"#, Value::Null, json!({"/x": 3})),
        (r#"{"data":{"agentId":"a","x":1},"data":{"agentId":"b","y":2}}"#, json!("b"), json!({"/data/y": 2})),
        (r#"{"data":{"agentId":"a","x":1},"data":null}"#, Value::Null, json!({})),
        (r#"{"data":5,"data":{"agentId":"a"}}"#, json!("a"), json!({})),
        (r#"{"data":5,"detail":{"data":null},"data":{"agentId":"a"}}"#, json!("a"), json!({})),
        (r#"{"detail":{"eventBody":{"agentId":"a"}},"detail":{"x":1}}"#, Value::Null, json!({"/detail/x": 1})),
        (r#"{"agentId":"out","data":{"agentId":"in"},"agentId":"last"}"#, json!("in"), json!({"/agentId": "last"})),
        (r#"{"data":{"agentId":"in"},"agentId":"one","agentId":"two"}"#, json!("in"), json!({"/agentId": "two"})),
    ] {
        let told = outcome(body);
        assert_eq!((&told["agent_id"], &told["extra"], &told["unrecognised"]), (&agent, &extra, &json!([])), "{body}");
    }
    let told = outcome(
        r#"{"sentiment":{"overall":"bad","overall":"positive"},"intents":[{"name":"a","name":"b","z":1,"z":2}]}"#,
    );
    assert_eq!((&told["sentiment"]["label"], &told["intents"][0]["name"]), (&json!("positive"), &json!("b")));
    assert_eq!((&told["unrecognised"], &told["extra"]), (&json!([]), &json!({"/intents/0/z": 2})));
}

#[test]
fn unknown_members_are_kept_by_the_place_they_stood_in() {
    let told = outcome_of(json!({
        "a/b~c": {"deep": [1]}, "detail": {"x": null, "data": {"y": "é"}}, "id": 7, "source": "s", "eventType": "call",
        "metadata": 1, "data": {"data": {"agentId": "a"}, "detail": 1}
    }));
    let expected = json!({
        "/a~1b~0c": {"deep": [1]}, "/detail/x": null, "/detail/data/y": "é", "/id": 7, "/source": "s", "/metadata": 1,
        "/data/data": {"agentId": "a"}, "/data/detail": 1
    });
    assert_eq!((&told["extra"], &told["unrecognised"], &told["agent_id"]), (&expected, &json!([]), &Value::Null));
    assert_eq!(outcome(r#"{"conversationId":" ","agentId":""}"#), {
        let mut blank = nothing();
        blank["event_id"] = outcome(r#"{"conversationId":" ","agentId":""}"#)["event_id"].clone();
        blank
    });
    // Another conversation than the one that it belongs to is kept.
    let event = Event { conversation: Some(Arc::from("known")), ..event(r#"{"conversationId":"said"}"#) };
    let outcome = crate::Outcome::of(&event);
    assert_eq!((outcome.conversation_id, outcome.extra[0].value.as_str()), (Some("known"), "\"said\""));
}

#[test]
fn a_body_that_is_no_object_tells_nothing() {
    for body in
        ["", " ", "[]", "[{\"agentId\":\"a\"}]", "\"x\"", "7", "null", "{\"agentId\":\"a\"", "{\"agentId\":\"a\"} x"]
    {
        let event = raw_event(body.as_bytes());
        let told: Value = serde_json::from_str(&crate::Outcome::of(&event).to_json()).unwrap();
        assert_eq!(told, nothing(), "{body}");
    }
    let event = raw_event(b"{\"agentId\":\"\xff\"}");
    assert_eq!(crate::Outcome::of(&event).agent_id, None);
    let event = raw_event("\u{feff}{\"agentId\":\"a\"}".as_bytes());
    assert_eq!(crate::Outcome::of(&event).agent_id.as_deref(), Some("a"), "a byte order mark is passed over");
}
