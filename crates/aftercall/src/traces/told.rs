//! A span as OpenTelemetry has it.

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceId};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use spans::{Kind, Place, Span, Value};

/// Who tells.
const SCOPE: &str = "aftercall";

pub(super) fn told(span: &Span) -> SpanData {
    let mut links = SpanLinks::default();
    links.links = span.links.iter().map(|place| Link::new(context(*place, false), Vec::new(), 0)).collect();
    SpanData {
        span_context: context(span.place, false),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Internal => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: span.began,
        end_time: span.ended,
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: span.failed.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}

fn context(place: Place, is_remote: bool) -> SpanContext {
    let flags = if place.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (TraceId::from_bytes(place.trace), SpanId::from_bytes(place.span));
    SpanContext::new(trace, span, flags, is_remote, TraceState::NONE)
}

fn attribute(key: &'static str, value: &Value) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(key, text.clone()),
        Value::Number(number) => KeyValue::new(key, *number),
    }
}
