//! What a job may be configured with, as each version of the platform reads, keeps and obeys it.

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::Version;

/// Adds the columns that a version has beyond the first. Twice is once.
pub(super) async fn add_columns(pool: &PgPool, version: Version) {
    let columns: &[&str] = match version {
        Version::Original => &[],
        Version::Flat => &["execution_config_json json"],
        Version::Nested => &["sync_config jsonb", "sync_metadata jsonb", "error_category varchar(64)"],
    };
    for column in columns {
        sqlx::query(AssertSqlSafe(format!("ALTER TABLE public.sync_job ADD COLUMN IF NOT EXISTS {column}")))
            .execute(pool)
            .await
            .expect("a column can be added");
    }
}

/// The column that keeps a job's configuration.
pub(super) fn column(version: Version) -> Option<&'static str> {
    match version {
        Version::Original => None,
        Version::Flat => Some("execution_config_json"),
        Version::Nested => Some("sync_config"),
    }
}

/// What a body asks for: the configuration with everything that was left out, and marks. `None` without configuration.
pub(super) fn read(version: Version, body: &Value) -> (Option<Value>, Vec<String>) {
    match version {
        Version::Flat if !body.is_null() => (Some(fill(&flat_defaults(), body)), Vec::new()),
        Version::Nested => {
            let tags = serde_json::from_value(body["tags"].clone()).unwrap_or_default();
            let asked = &body["execution_config"];
            ((!asked.is_null()).then(|| fill(&nested_defaults(), asked)), tags)
        }
        Version::Original | Version::Flat => (None, Vec::new()),
    }
}

/// Whether a job writes everything into the raw store, and nothing else.
pub(super) fn captures_everything(configuration: &Value) -> bool {
    let is = |nested: &str, flat: &str| {
        configuration.pointer(nested).or_else(|| configuration.pointer(flat)).and_then(Value::as_bool)
    };
    is("/handlers/enable_vector_handlers", "/enable_vector_handlers") == Some(false)
        && is("/handlers/enable_postgres_handler", "/enable_postgres_handler") == Some(false)
        && is("/handlers/enable_raw_data_handler", "/enable_raw_data_handler") == Some(true)
        && is("/behavior/skip_hash_comparison", "/skip_hash_comparison") == Some(true)
        && is("/cursor/skip_load", "/skip_cursor_load") == Some(true)
}

/// The defaults with what was given in their place. What they do not have is ignored.
fn fill(defaults: &Value, given: &Value) -> Value {
    let Some(fields) = defaults.as_object() else { return given.clone() };
    let filled: Map<_, _> = fields
        .iter()
        .map(|(name, default)| {
            let value = given.get(name).map_or_else(|| default.clone(), |given| fill(default, given));
            (name.clone(), value)
        })
        .collect();
    Value::Object(filled)
}

fn flat_defaults() -> Value {
    json!({
        "target_destinations": null,
        "exclude_destinations": null,
        "enable_vector_handlers": true,
        "enable_raw_data_handler": true,
        "enable_postgres_handler": true,
        "skip_hash_comparison": false,
        "skip_cursor_load": false,
        "skip_cursor_updates": false,
    })
}

fn nested_defaults() -> Value {
    json!({
        "destinations": { "skip_vespa": false, "target_destinations": null, "exclude_destinations": null },
        "handlers": {
            "enable_vector_handlers": true,
            "enable_raw_data_handler": true,
            "enable_postgres_handler": true,
        },
        "cursor": { "skip_load": false, "skip_updates": false },
        "behavior": { "skip_hash_comparison": false, "replay_from_arf": false, "skip_guardrails": false },
    })
}
