//! Who may use a route.

use axum::http::{HeaderMap, StatusCode};
use serde_json::json;

use super::Platform;
use super::routes::Answer;

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The key that came along, and the organisation that was named.
pub(super) fn presented(headers: &HeaderMap) -> (Option<String>, Option<String>) {
    (text(headers, "x-api-key").map(str::to_owned), text(headers, "x-organization-id").map(str::to_owned))
}

/// Lets the organisation's key through, and nobody for another organisation.
pub(super) fn own(platform: &Platform, headers: &HeaderMap) -> Result<(), Answer> {
    match text(headers, "x-api-key") {
        None => Err(no_key()),
        Some(key) if key == platform.own_key => of_organization(platform, headers),
        Some(_) => Err(refused("Invalid or expired API key")),
    }
}

/// Lets an administrator's key through. It belongs to another organisation, so it must not name the world's.
pub(super) fn admin(platform: &Platform, headers: &HeaderMap) -> Result<(), Answer> {
    match text(headers, "x-api-key") {
        None => Err(no_key()),
        Some(key) if key == platform.admin_key => match text(headers, "x-organization-id") {
            None => Ok(()),
            Some(_) => Err(refused("API key does not belong to this organization")),
        },
        Some(key) if key == platform.own_key && platform.options.own_key_is_admin => of_organization(platform, headers),
        Some(key) if key == platform.own_key => Err(refused("Admin access required")),
        Some(_) => Err(refused("Invalid or expired API key")),
    }
}

fn of_organization(platform: &Platform, headers: &HeaderMap) -> Result<(), Answer> {
    match text(headers, "x-organization-id") {
        Some(named) if named != platform.organization_id.to_string() => {
            Err(refused("API key does not belong to this organization"))
        }
        _ => Ok(()),
    }
}

fn no_key() -> Answer {
    (StatusCode::UNAUTHORIZED, json!({ "detail": "No valid authentication provided" }))
}

fn refused(detail: &str) -> Answer {
    (StatusCode::FORBIDDEN, json!({ "detail": detail }))
}
