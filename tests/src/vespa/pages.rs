//! The pages by which clients find out whom they talk to.

use serde_json::json;

use super::reply::Reply;

/// The answer to a page that is neither a document nor a query.
#[must_use]
pub fn page(path: &str) -> Reply {
    match path {
        "/" => Reply::json(
            200,
            &json!({ "handlers": [
                {
                    "class": "com.yahoo.document.restapi.resource.DocumentV1ApiHandler",
                    "serverBindings": ["http://*/document/v1/*", "http://*/document/v1/*/"],
                },
                { "class": "com.yahoo.search.handler.SearchHandler", "serverBindings": ["http://*/search/*"] },
            ] }),
        ),
        "/ApplicationStatus" => Reply::json(200, &json!({ "application": { "meta": { "date": 0 } } })),
        "/state/v1/health" => Reply::json(200, &json!({ "status": { "code": "up" } })),
        "/status.html" => Reply::new(200, "text/html", "<html><head><title>OK</title></head><body>OK</body></html>\n"),
        _ => Reply::json(404, &json!({ "error-code": "NOT_FOUND", "message": format!("No binding for '{path}'") })),
    }
}
