//! The description of the admin API: it is the committed one, and says for every request which scope it needs.

use std::path::Path;

use axum::http::Method;
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::access::Scope;
use crate::openapi::{self, Scopes};

/// Set to write the description instead of comparing it.
const WRITE: &str = "UPDATE_OPENAPI";

fn api() -> OpenApi {
    openapi::complete(crate::routes().split_for_parts().1)
}

/// Every request with the scope it says it needs.
fn requests() -> Vec<(Method, String, Option<String>)> {
    let api = serde_json::to_value(api()).unwrap();
    let mut requests = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["token"][0].as_str().map(str::to_owned);
            requests.push((method.to_uppercase().parse().unwrap(), path.clone(), scope));
        }
    }
    requests
}

#[test]
fn the_committed_description_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let described = serde_json::to_string_pretty(&api()).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &described).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == described,
        "docs/openapi.json is old; write it anew with {WRITE}=1 cargo test -p console@0.1.0"
    );
}

#[test]
fn it_is_openapi_3_1_and_every_error_is_a_problem() {
    let api = serde_json::to_value(api()).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    let operations = api["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    for operation in operations {
        let responses = operation["responses"].as_object().unwrap();
        for status in ["200", "401", "403", "429", "503"] {
            assert!(responses.contains_key(status), "{status}: {operation}");
        }
        let errors = responses.iter().filter(|(status, _)| *status != "200");
        for (status, error) in errors.filter(|(_, error)| error["$ref"].is_null()) {
            assert!(error["content"]["application/problem+json"].is_object(), "{status}: {operation}");
        }
    }
}

#[test]
fn every_request_says_which_scope_it_needs() {
    let (scopes, requests) = (Scopes::of(&api()), requests());
    assert!(requests.len() >= 10);
    for (method, path, scope) in &requests {
        let scope: Scope =
            scope.as_deref().unwrap_or_else(|| panic!("{method} {path} names no scope")).parse().unwrap();
        assert_eq!(scopes.needed(method, Some(path)), scope, "{method} {path}");
        // A dry run changes nothing.
        let reads = *method == Method::GET || path.ends_with("/dry-run");
        assert!(reads || scope >= Scope::Operate, "{method} {path}");
    }
    assert_eq!(scopes.needed(&Method::HEAD, Some("/api/v1/tokens")), Scope::Admin);
}

#[test]
fn what_says_nothing_needs_as_much_as_its_method() {
    let scopes = Scopes::of(&api());
    for (method, needed) in
        [("GET", Scope::Read), ("HEAD", Scope::Read), ("DELETE", Scope::Operate), ("ODD", Scope::Operate)]
    {
        assert_eq!(scopes.needed(&method.parse().unwrap(), None), needed, "{method}");
        assert_eq!(scopes.needed(&method.parse().unwrap(), Some("/elsewhere")), needed, "{method}");
    }
}

#[test]
fn names_in_the_description_are_all_there() {
    let text = serde_json::to_string(&api()).unwrap();
    let api: Value = serde_json::from_str(&text).unwrap();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(api.pointer(reference).is_some(), "{reference}");
    }
}
