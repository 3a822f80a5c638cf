//! The description of the API: `/openapi.json`, made from the routes, and `/`, a page that shows it.
//!
//! What every route has in common is added here and once: who may, the headers, and the refusals. The page is ours and needs
//! nothing from anywhere else; its policy lets a browser load and ask nothing but this server.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};
use workflows::domain::ErrorKind;

use super::Api;
use super::problem::{FieldError, PROBLEM_JSON, Problem};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What is known before any route is.
pub(super) fn head() -> OpenApi {
    let scheme = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The internal token of the platform's backend; X-Organization-ID says for whom it asks."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("sync-multiplexer")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Moves a sync to another vector destination without downtime. What takes long is answered with 202 and an \
                     operation to look at. A POST may carry an Idempotency-Key: sent again with it, it is one request.",
                ))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme("api_key", scheme("X-API-Key"))
                .security_scheme("internal_token", SecurityScheme::Http(bearer))
                .schema(Problem::name(), Problem::schema())
                .schema(FieldError::name(), FieldError::schema())
                .build(),
        ))
        .tags(Some(
            [
                ("destinations", "The destinations of a sync, and what is done with them"),
                ("syncs", "A sync as a whole"),
                ("collections", "All syncs of a collection at once"),
                ("operations", "What was begun: listed, watched, steered"),
            ]
            .map(|(name, words)| TagBuilder::new().name(name).description(Some(words)).build()),
        ))
        .build()
}

/// The description and the page.
pub(super) fn routes(openapi: OpenApi) -> Router<Arc<Api>> {
    let text = complete(serde_json::to_value(openapi).unwrap_or_default()).to_string();
    Router::new()
        .route("/openapi.json", get(async move || asset("application/json", text.clone())))
        .route("/", get(async || asset("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/page.js", get(async || asset("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/page.css", get(async || asset("text/css; charset=utf-8", include_str!("page/page.css"))))
}

/// A path that is none of ours.
pub(super) async fn nowhere(uri: Uri) -> Problem {
    // Only the path: a query may hold what is nobody's business.
    Problem::new(ErrorKind::NotFound, format!("there is no {}; /openapi.json lists what there is", uri.path()))
}

fn asset(content_type: &'static str, text: impl IntoResponse) -> Response {
    const FRAMES: HeaderName = HeaderName::from_static("x-frame-options");
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (FRAMES, "DENY"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// Adds to every operation what all have in common.
fn complete(mut openapi: Value) -> Value {
    let paths = openapi.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(operation) = operation.as_object_mut() else { continue };
            operation.insert("operationId".to_owned(), operation_id(method, path).into());
            operation.insert("security".to_owned(), json!([{ "api_key": [] }, { "internal_token": [] }]));
            let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
            if let Some(parameters) = parameters.as_array_mut() {
                parameters.extend(headers(method));
            }
            let responses = operation.entry("responses").or_insert_with(|| json!({}));
            if let Some(responses) = responses.as_object_mut() {
                refusals(method, responses);
            }
        }
    }
    openapi
}

/// An id that no two routes share, from method and path.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(['/', '-', '{', '}']).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

fn headers(method: &str) -> Vec<Value> {
    let header = |name: &str, words: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": words, "schema": schema });
    let mut headers = vec![header(
        "X-Organization-ID",
        "The organization; needed with the internal token, otherwise that of the key.",
        json!({ "type": "string", "format": "uuid" }),
    )];
    if method == "post" {
        headers.push(header(
            "X-Requested-By",
            "With the internal token: for whom the backend asks, for the audit trail.",
            json!({ "type": "string", "maxLength": 1000 }),
        ));
        headers.push(header(
            "Idempotency-Key",
            "Sent again with the same key, the request is one request; the key is kept for a day.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9._~-]+$" }),
        ));
    }
    headers
}

/// The refusals and failures that a route may answer with.
fn refusals(method: &str, responses: &mut Map<String, Value>) {
    const EVERYWHERE: [(&str, &str); 10] = [
        ("400", "The request does not read"),
        ("401", "No credentials were given"),
        ("403", "The credentials are wrong, or this is not allowed"),
        ("404", "There is no such thing in the organization"),
        ("422", "The request reads, and something in it is wrong"),
        ("429", "Too many requests; Retry-After says when to go on"),
        ("500", "A bug"),
        ("503", "Something is away; try again"),
        ("504", "Something took too long"),
        ("507", "There is no space left"),
    ];
    const OF_CHANGES: [(&str, &str); 4] = [
        ("409", "The present state does not allow it"),
        ("413", "The body is too large"),
        ("415", "The body is no JSON"),
        ("502", "The destination refused our credentials"),
    ];
    let changes: &[_] = if method == "post" { &OF_CHANGES } else { &[] };
    for (status, words) in EVERYWHERE.iter().chain(changes) {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let mut response = json!({ "description": words, "content": { PROBLEM_JSON: { "schema": schema } } });
        if matches!(*status, "429" | "503") {
            response["headers"] = json!({
                "Retry-After": { "description": "Seconds", "schema": { "type": "integer", "minimum": 1 } }
            });
        }
        responses.entry(*status).or_insert(response);
    }
}
