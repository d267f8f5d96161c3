//! The description of the admin API, OpenAPI 3.1: made of the code that answers it, and what the guard goes by.
//!
//! Each handler says what it takes and answers, and which scope it needs. What holds for all (tokens, limits, a queue
//! that has stopped) is added here once.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Type,
    path::Operation,
};

use crate::access::Scope;
use crate::problem::{MEDIA_TYPE, Problem};

/// The name of the only way to log in.
const TOKEN: &str = "token";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Aftercall admin API",
        description = "What a running server tells about itself, and what can be done with dead letters and refused \
                       requests. Times are \
                       milliseconds of Unix time. Errors are problem details (RFC 9457)."
    ),
    servers((url = "/")),
    components(schemas(Problem), responses(NotFound, Conflict)),
    tags(
        (name = "status", description = "How the server is doing"),
        (name = "alarms", description = "What is wrong now, and the hand on a destination"),
        (name = "dead letters", description = "What failed for good"),
        (name = "unmatched", description = "Accepted events that no route leads anywhere"),
        (name = "quarantine", description = "Requests that failed verification"),
        (name = "archive", description = "Accepted events in object storage"),
        (name = "erasing", description = "Taking out what was said in a conversation"),
        (name = "replays", description = "Delivering events again that were accepted before"),
        (name = "access", description = "Tokens, and this description")
    )
)]
pub(crate) struct Description;

/// Adds what holds for every request.
pub(crate) fn complete(mut api: OpenApi) -> OpenApi {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("act_ID_SECRET").description(Some(
        "Made by `aftercall tokens create`. A server on a loopback address that never had a token needs none.",
    ));
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer.build()));
    for item in api.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            let has_body = operation.request_body.is_some();
            let mut add = |status: &str, response: Response| {
                operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
            };
            add("400", problem("A value or a name that cannot be understood; the detail names it"));
            add(
                "401",
                with(problem("No token, or none that is good"), "WWW-Authenticate", "What is expected", Type::String),
            );
            add(
                "403",
                problem("The token's scope is not enough, or the name of the host is not one of a loopback address"),
            );
            add(
                "429",
                with(problem("Too many failed logins from this address"), "Retry-After", "Seconds", Type::Integer),
            );
            add("503", with(problem("The queue is closed or has stopped"), "Retry-After", "Seconds", Type::Integer));
            if has_body {
                add("413", problem("The body is too long"));
                add("415", problem("The body is not said to be JSON"));
                add("422", problem("The body is JSON, but not as described; the detail names the place"));
            }
        }
    }
    api
}

/// The same for a server that needs no token: it can be left out.
pub(crate) fn without_token(mut api: OpenApi) -> OpenApi {
    for operation in api.paths.paths.values_mut().flat_map(operations_mut) {
        operation.security.get_or_insert_default().insert(0, SecurityRequirement::default());
    }
    api
}

/// The response to what is not there.
#[derive(utoipa::ToResponse)]
#[response(description = "There is no such thing", content_type = "application/problem+json")]
pub(crate) struct NotFound(#[expect(dead_code, reason = "gives its schema")] Problem);

/// The response to what cannot be done as things are.
#[derive(utoipa::ToResponse)]
#[response(description = "It cannot be done as things are", content_type = "application/problem+json")]
pub(crate) struct Conflict(#[expect(dead_code, reason = "gives its schema")] Problem);

/// A response of problem details.
fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    ResponseBuilder::new().description(description).content(MEDIA_TYPE, content.build()).build()
}

fn with(mut response: Response, header: &str, description: &str, kind: Type) -> Response {
    let schema = ObjectBuilder::new().schema_type(kind);
    let described = HeaderBuilder::new().description(Some(description)).schema(Some(schema));
    response.headers.insert(header.to_owned(), RefOr::T(described.build()));
    response
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    all.into_iter().filter_map(Option::as_mut)
}

/// Which scope each request needs: what its description says.
pub(crate) struct Scopes(HashMap<(Method, String), Scope>);

impl Scopes {
    pub(crate) fn of(api: &OpenApi) -> Self {
        let mut scopes = HashMap::new();
        for (path, item) in &api.paths.paths {
            for (method, operation) in operations(item) {
                if let Some(scope) = declared(operation) {
                    scopes.insert((method, path.clone()), scope);
                }
            }
        }
        Self(scopes)
    }

    /// What a request needs; one to nowhere as much as its method.
    pub(crate) fn needed(&self, method: &Method, path: Option<&str>) -> Scope {
        // What answers GET answers HEAD.
        let asked = if method == Method::HEAD { Method::GET } else { method.clone() };
        let declared = path.and_then(|path| self.0.get(&(asked, path.to_owned())));
        declared.copied().unwrap_or_else(|| crate::access::needed_by_method(method))
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// The scope that an operation says it needs.
fn declared(operation: &Operation) -> Option<Scope> {
    let required = serde_json::to_value(operation.security.as_ref()?).ok()?;
    required[0][TOKEN][0].as_str()?.parse().ok()
}
