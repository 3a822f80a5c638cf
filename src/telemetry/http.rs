//! Observes the requests of an HTTP API: a span within the caller's trace, a count, a time.
//!
//! Layer it on the routes, not around the router: what matched is known only there. A request that matched nothing is counted
//! under the route `unmatched`, so that nobody can make time series by asking for paths.

use std::time::Instant;

use activities::metrics::metrics;
use activities::trace_context;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The middleware: `router.layer(axum::middleware::from_fn(telemetry::http::observe))`.
pub async fn observe(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let parent = global::get_text_map_propagator(|it| it.extract(&Headers(request.headers())));
    // An error by level only, so that the trace is logged whatever is filtered out.
    let span = tracing::error_span!(
        "http",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.route = route,
        http.request.method = method,
        http.response.status_code = Empty,
        trace_id = trace_context::trace_id(&parent),
        otel.status_code = Empty,
    );
    // Refused only when the span is recorded nowhere.
    let _ = span.set_parent(parent);
    let answered = async {
        let started = Instant::now();
        let response = next.run(request).await;
        let (span, status) = (Span::current(), response.status());
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "error");
        }
        metrics().http_request(&route, method, status.as_u16(), started.elapsed());
        response
    };
    trace_context::within(span, answered).await
}

/// A caller may send any word as a method.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

struct Headers<'a>(&'a axum::http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::{prometheus_reader, prometheus_text};

    /// The only test of this program that counts: the meter is the process's own.
    #[tokio::test]
    async fn requests_are_counted_by_the_route_that_matched_and_never_by_path_or_made_up_method() {
        let _provider = prometheus_reader::install(None);
        let app = Router::new()
            .route("/sync/{sync_id}", get(async || "ok"))
            .route("/broken", get(async || StatusCode::BAD_GATEWAY))
            .fallback(async || StatusCode::NOT_FOUND)
            .layer(axum::middleware::from_fn(observe));
        for (method, path) in
            [("GET", "/sync/1"), ("GET", "/sync/2"), ("BREW", "/sync/3"), ("GET", "/broken"), ("GET", "/etc/passwd")]
        {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap();
        }
        let text = prometheus_text().unwrap();
        for line in [
            r#"syncmux_http_requests_total{method="GET",route="/sync/{sync_id}",status="200"} 2"#,
            r#"syncmux_http_requests_total{method="other",route="/sync/{sync_id}",status="405"} 1"#,
            r#"syncmux_http_requests_total{method="GET",route="/broken",status="502"} 1"#,
            r#"syncmux_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
            r#"syncmux_http_request_duration_seconds_count{route="/sync/{sync_id}"} 3"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("passwd") && !text.contains("BREW"));
    }
}
