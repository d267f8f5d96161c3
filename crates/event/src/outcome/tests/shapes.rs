//! Every shape that tells what became of a call.

use super::*;

const CONVERSATION: &str = "5b0c7e14-93d2-4d4f-8a55-0e6f1c2b3a01";

/// The business fields of a detail event, and its topic.
fn detail_event(kind: &str, more: Value) -> (String, Value) {
    let mut body = json!({
        "eventTime": 1_773_957_888_128i64, "conversationId": CONVERSATION,
        "participantId": "p-1", "sessionId": "s-1", "mediaType": "VOICE", "provider": "Edge", "direction": "INBOUND",
        "ani": "tel:+15550100111"
    });
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    (format!("v2.detail.events.conversation.{{id}}.{kind}"), body)
}

/// In an envelope, with the business fields under `detail.eventBody`.
fn enveloped(topic: &str, body: &Value) -> Value {
    json!({
        "version": "0", "id": "58fb0000-0000-4000-8000-000000000001", "detail-type": topic,
        "source": "aws.partner/genesys.com/cloud/00000000-0000-4000-8000-000000000000/after-call",
        "account": "210987654321", "time": "2026-03-19T22:04:49Z", "region": "us-east-1", "resources": [],
        "detail": {
            "topicName": topic.replace("{id}", CONVERSATION), "version": "2", "eventBody": body,
            "metadata": {"CorrelationId": "c-1"}, "timestamp": "2026-03-19T22:04:48.500Z"
        }
    })
}

/// In an envelope, with the business fields flat in `detail`.
fn flat(topic: &str, body: &Value) -> Value {
    let mut detail = body.clone();
    detail["topicName"] = topic.replace("{id}", CONVERSATION).into();
    json!({
        "version": "0", "id": "58fb0000-0000-4000-8000-000000000002", "detail-type": topic, "source": "genesys",
        "account": "210987654321", "time": "2026-03-19T22:04:49Z", "region": "us-east-1", "resources": [],
        "detail": detail
    })
}

/// As Genesys' notification channel has it.
fn notification(topic: &str, body: &Value) -> Value {
    json!({
        "topicName": topic.replace("{id}", CONVERSATION), "version": "2", "eventBody": body,
        "metadata": {"CorrelationId": "c-1"}
    })
}

/// All of these with the same content, and the pointer of their business fields.
fn every_shape(topic: &str, body: &Value) -> [(Value, &'static str); 5] {
    [
        (enveloped(topic, body), "/detail/eventBody"),
        (flat(topic, body), "/detail"),
        (notification(topic, body), "/eventBody"),
        (body.clone(), ""),
        (json!({"eventType": "call.analysed", "data": body}), "/data"),
    ]
}

/// The outcome of one event, without what differs from shape to shape.
fn told(shape: &Value) -> Value {
    let mut told = outcome_of(shape.clone());
    for name in ["event_id", "topic", "extra"] {
        told.as_object_mut().unwrap().remove(name);
    }
    told
}

#[test]
fn an_after_call_work_event_tells_the_same_wherever_its_fields_stand() {
    let code = "c0ffee00-1111-4222-8333-444455556666";
    let (topic, body) = detail_event(
        "acw",
        json!({
            "userId": "u-1", "queueId": "q-1", "wrapupCode": code, "wrapupNotes": "asked for \"a copy\"\n",
            "wrapupDurationMs": 15_000
        }),
    );
    let mut expected = nothing();
    for (path, value) in [
        ("/occurred_at", json!("2026-03-19T22:04:48.128Z")),
        ("/conversation_id", json!(CONVERSATION)),
        ("/participant_id", json!("p-1")),
        ("/session_id", json!("s-1")),
        ("/agent_id", json!("u-1")),
        ("/queue_id", json!("q-1")),
        ("/media_type", json!("VOICE")),
        ("/direction", json!("INBOUND")),
        ("/wrapup", json!({"code": code, "kind": "id", "notes": "asked for \"a copy\"\n", "duration_ms": 15_000})),
    ] {
        *expected.pointer_mut(path).unwrap() = value;
    }
    for name in ["event_id", "topic", "extra"] {
        expected.as_object_mut().unwrap().remove(name);
    }
    for (shape, seat) in every_shape(&topic, &body) {
        assert_eq!(told(&shape), expected, "{seat}");
        let extra = outcome_of(shape)["extra"].clone();
        let expected = json!({format!("{seat}/provider"): "Edge", format!("{seat}/ani"): "tel:+15550100111"});
        assert_eq!(extra, expected, "{seat}");
    }
    assert_eq!(outcome_of(enveloped(&topic, &body))["topic"], topic);
}

#[test]
fn a_wrap_up_has_no_agent_and_may_have_a_reserved_code() {
    for (code, kind) in [
        (json!("ININ-WRAP-UP-TIMEOUT"), json!("reserved")),
        (json!("ININ-OUTBOUND-TRANSFERRED"), json!("reserved")),
        (json!("C0FFEE00-1111-4222-8333-444455556666"), json!("id")),
        (json!("Resolved"), json!("name")),
        (json!(" "), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let (topic, body) = detail_event("wrapup", json!({"wrapupCode": code, "wrapupDurationMs": 0}));
        let told = outcome_of(enveloped(&topic, &body));
        assert_eq!((&told["wrapup"]["kind"], &told["agent_id"]), (&kind, &Value::Null), "{code}");
        assert_eq!(told["wrapup"]["duration_ms"], 0);
        assert_eq!(told["unrecognised"], json!([]));
    }
    // As Genesys' analytics write it, and as its blueprint misspells it.
    let told = outcome_of(json!({"wrapUpCode": "Sold", "wrapUpNote": "yes", "wrapupDurationms": 7}));
    assert_eq!(told["wrapup"], json!({"code": "Sold", "kind": "name", "notes": "yes", "duration_ms": 7}));
}

#[test]
fn ends_tell_how_long_what_took_and_who_hung_up() {
    let (topic, body) = detail_event(
        "user.end",
        json!({
            "userId": "u-1", "divisionId": "d-1", "disconnectType": "PEER", "interactingDurationMs": 180_000,
            "heldDurationMs": 12_000, "alertingDurationMs": 4.0e3
        }),
    );
    for (shape, seat) in every_shape(&topic, &body) {
        let told = outcome_of(shape);
        assert_eq!((&told["disconnect_type"], &told["division_id"]), (&json!("PEER"), &json!("d-1")), "{seat}");
        let durations = json!({
            "interacting_ms": 180_000, "held_ms": 12_000, "alerting_ms": 4_000, "contacting_ms": null,
            "dialing_ms": null, "callback_ms": null, "connected_ms": null
        });
        assert_eq!(told["durations"], durations, "{seat}");
    }
    // Analytics write the same word in lower case.
    let told = outcome_of(json!({"disconnectType": "peer", "mediaType": "voice", "connectedDurationMs": 5}));
    assert_eq!((&told["disconnect_type"], &told["media_type"]), (&json!("PEER"), &json!("VOICE")));
    assert_eq!(told["durations"]["connected_ms"], 5);
}

#[test]
fn a_webhook_tells_sentiment_intents_keywords_and_violations() {
    let data = json!({
        "agentId": "a-1", "timestamp": "2026-03-02T09:14:59+01:00",
        "sentiment": {"overall": "Negative", "score": -0.125, "trend": "Improving"},
        "intents": ["billing", {"name": "cancel", "confidence": 0.910, "rank": 2}],
        "keywords": ["refund", {"name": "late", "count": 3}],
        "complianceViolations": ["no_greeting", {"code": "card_number", "severity": "HIGH", "description": "spoken"}],
        "talkSeconds": 41
    });
    let mut webhook = data.clone();
    for (name, value) in [
        ("webhookEventId", json!("w-1")),
        ("eventType", json!("conversation.analysis.completed")),
        ("conversationId", json!(CONVERSATION)),
    ] {
        webhook[name] = value;
    }
    let whole = json!({
        "webhookEventId": "w-1", "eventType": "conversation.analysis.completed", "conversationId": CONVERSATION,
        "timestamp": "2026-03-02T08:15:00Z", "data": data
    });
    let relayed = json!({"detail-type": "relayed", "detail": whole});
    let in_body = json!({"detail-type": "relayed", "detail": {"eventBody": whole}});
    for (shape, seat) in
        [(whole, "/data"), (webhook, ""), (relayed, "/detail/data"), (in_body, "/detail/eventBody/data")]
    {
        let told = outcome_of(shape);
        assert_eq!(told["unrecognised"], json!([]), "{seat}");
        assert_eq!(told["occurred_at"], "2026-03-02T08:14:59.000Z", "{seat}: the innermost counts");
        assert_eq!((&told["agent_id"], &told["conversation_id"]), (&json!("a-1"), &json!(CONVERSATION)));
        let sentiment = json!({
            "score": -0.125, "label": "negative", "scale": "unit", "given": "-0.125", "trend": null,
            "trend_class": "Improving"
        });
        assert_eq!(told["sentiment"], sentiment, "{seat}");
        let intents = json!([{"name": "billing", "confidence": null}, {"name": "cancel", "confidence": 0.910}]);
        assert_eq!((&told["intents"], &told["keywords"]), (&intents, &json!(["refund", "late"])), "{seat}");
        let violations = json!([
            {"code": "no_greeting", "type": null, "rule": null, "severity": null, "description": null},
            {"code": "card_number", "type": null, "rule": null, "severity": "high", "description": "spoken"}
        ]);
        assert_eq!(told["compliance"], json!({"count": 2, "severity": "high", "violations": violations}), "{seat}");
        for (path, value) in [("/talkSeconds", 41), ("/intents/1/rank", 2), ("/keywords/1/count", 3)] {
            assert_eq!(told["extra"][format!("{seat}{path}")], value, "{seat}{path}");
        }
        assert!(told["extra"].as_object().unwrap().keys().any(|path| path.ends_with("/webhookEventId")), "{seat}");
    }
}

#[test]
fn numbers_that_are_only_handed_on_keep_their_digits() {
    let body = r#"{"intents":[{"name":"a","confidence":0.910}],"empathyScores":[{"score":3.00e1,"userId":"u"}],
        "participantMetrics":{"agentDurationPercentage":40.0,"overtalkCount":2},"x":1.50}"#;
    let event = event(body);
    let text = crate::Outcome::of(&event).to_json();
    for digits in ["\"confidence\":0.910}", "\"score\":3.00e1}", "\"agent_percent\":40.0,", "\"/x\":1.50"] {
        assert!(text.contains(digits), "{digits}: {text}");
    }
}

#[test]
fn speech_analytics_are_told_wherever_they_stand() {
    let topic = "v2.speechandtextanalytics.{id}";
    let metrics = json!({
        "conversation": {"id": CONVERSATION, "selfUri": "/api/v2/conversations/x"},
        "sentimentScore": -0.42, "sentimentTrend": -0.1, "sentimentTrendClass": "SlightlyDeclining",
        "empathyScores": [{"score": 0.3, "userId": "u-1"}],
        "participantMetrics": {"agentDurationPercentage": 40.0, "customerDurationPercentage": 35.5,
            "silenceDurationPercentage": 20, "ivrDurationPercentage": 3, "acdDurationPercentage": 1,
            "overtalkDurationPercentage": 1, "otherDurationPercentage": 0, "overtalkCount": 2, "newMetric": 9}
    });
    for (shape, seat) in every_shape(topic, &metrics).into_iter().take(4) {
        let told = outcome_of(shape);
        let sentiment = json!({
            "score": -0.42, "label": "negative", "scale": "unit", "given": "-0.42", "trend": -0.1,
            "trend_class": "SlightlyDeclining"
        });
        assert_eq!((&told["sentiment"], &told["conversation_id"]), (&sentiment, &json!(CONVERSATION)), "{seat}");
        assert_eq!(told["empathy"], json!([{"agent_id": "u-1", "score": 0.3}]));
        let talk = json!({
            "agent_percent": 40.0, "customer_percent": 35.5, "silence_percent": 20, "ivr_percent": 3,
            "acd_percent": 1, "overtalk_percent": 1, "other_percent": 0, "overtalk_count": 2
        });
        assert_eq!(told["talk"], talk, "{seat}");
        assert_eq!(told["unrecognised"], json!([]), "{seat}");
        assert_eq!(told["extra"][format!("{seat}/participantMetrics/newMetric")], 9);
        assert_eq!(told["extra"][format!("{seat}/conversation/selfUri")], "/api/v2/conversations/x");
    }
}

#[test]
fn post_call_notifications_are_told_wherever_they_stand() {
    let topic = "v2.analytics.{id}";
    let overall = json!({
        "conversationId": CONVERSATION, "sentimentOverallScore": 0.5, "sentimentTrendScore": 0.25, "queueIds": ["q"]
    });
    let topics = json!({
        "conversationId": CONVERSATION, "mediaType": "VOICE", "programId": "pr",
        "topics": [{"participant": "external", "topicId": "t-1", "topicName": "Billing"}, "shipping"]
    });
    let categories = json!({"conversationId": CONVERSATION, "categoryIds": ["c-1", "c-2"], "transcriptIds": ["t"]});
    let empathy = json!({
        "conversationId": CONVERSATION, "agents": [{"agentId": "u-1", "overallEmpathyScore": 61}, {"name": "other"}]
    });
    for ((overall, seat), others) in every_shape(topic, &overall).into_iter().zip(
        every_shape(topic, &topics).into_iter().zip(every_shape(topic, &categories)).zip(every_shape(topic, &empathy)),
    ) {
        let (((topics, _), (categories, _)), (empathy, _)) = others;
        let told = outcome_of(overall);
        assert_eq!((&told["sentiment"]["score"], &told["sentiment"]["trend"]), (&json!(0.5), &json!(0.25)), "{seat}");
        assert_eq!((&told["sentiment"]["label"], &told["conversation_id"]), (&json!("positive"), &json!(CONVERSATION)));
        assert_eq!(told["extra"][format!("{seat}/queueIds")], json!(["q"]));
        let expected = json!([
            {"id": "t-1", "name": "Billing", "participant": "external"},
            {"id": null, "name": "shipping", "participant": null}
        ]);
        assert_eq!(outcome_of(topics)["topics"], expected, "{seat}");
        assert_eq!(outcome_of(categories)["categories"], json!(["c-1", "c-2"]), "{seat}");
        let told = outcome_of(empathy);
        assert_eq!(told["empathy"], json!([{"agent_id": "u-1", "score": 61}]), "{seat}");
        assert_eq!(
            (&told["extra"][format!("{seat}/agents/1")], &told["unrecognised"]),
            (&json!({"name": "other"}), &json!([]))
        );
    }
}

#[test]
fn an_item_of_a_split_batch_belongs_to_the_conversation_of_its_batch() {
    let body = format!(r#"{{"conversationId":"{CONVERSATION}","data":[{{"sentiment":"mixed"}},{{"agentId":"a"}}]}}"#);
    let parts = Splitter::new(&SplitSettings::new(SourceKind::Webhook)).split(&Bytes::from(body)).unwrap();
    let event = Event { conversation: parts[0].conversation.clone(), body: parts[0].body.clone(), ..event("{}") };
    let outcome = crate::Outcome::of(&event);
    assert_eq!(outcome.conversation_id, Some(CONVERSATION));
    assert_eq!(outcome.sentiment.label.map(crate::outcome::Label::as_str), Some("mixed"));
}
