//! A collector of OpenTelemetry: takes spans by OTLP over HTTP, and reads them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub(crate) use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use crate::recorder::{Recorder, Request};
use crate::waiting;

/// Runs until the test process ends.
pub(crate) struct Collector {
    recorder: Recorder,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::answering(|_| 200)
    }

    pub(crate) fn answering(answer: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> Self {
        Self { recorder: Recorder::start(answer) }
    }

    /// The table that names it, and what comes behind.
    pub(crate) fn table(&self, more: &str) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\n{more}\n", self.recorder.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.recorder.requests()
    }

    /// The spans that it has taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.recorder.answered(200).into_iter();
        let spans = taken.flat_map(|request| read(&request).resource_spans);
        spans.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }

    /// What it was told of who tells.
    pub(crate) fn resource(&self) -> Vec<(String, String)> {
        let first = read(&self.recorder.answered(200)[0]).resource_spans[0].resource.clone().unwrap();
        first.attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap()))).collect()
    }

    /// Waits for so many spans with these names, in the order in which they began.
    #[track_caller]
    pub(crate) fn until(&self, names: &[&str]) -> Vec<Span> {
        let mut wanted: Vec<_> = names.to_vec();
        wanted.sort_unstable();
        waiting::until_so(&format!("spans {wanted:?}"), || {
            let mut found: Vec<_> = self.spans().into_iter().map(|span| span.name).collect();
            found.sort_unstable();
            assert!(found.len() <= wanted.len(), "there are {found:?}");
            found == wanted
        });
        let mut spans = self.spans();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

fn read(request: &Request) -> ExportTraceServiceRequest {
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    ExportTraceServiceRequest::decode(&*request.body).unwrap()
}

/// An attribute of a span; empty if it has none of this name.
pub(crate) fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key);
    found.map(|pair| text(pair.value.as_ref().unwrap())).unwrap_or_default()
}

pub(crate) fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

fn text(value: &opentelemetry_proto::tonic::common::v1::AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}
