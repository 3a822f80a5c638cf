//! What a job that rebuilds the raw store is configured with: capture everything that the source has, write nothing
//! else.
//!
//! The platform ignores what it does not know, so a configuration in the wrong form is an ordinary job. That is why the
//! row of the job is looked at [afterwards](captures_everything). Every part is sent, because some versions fill what
//! is left out with defaults that override the settings of the sync.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::database::sync_jobs::{ConfigurationForm, SyncJob};

/// The body of a request to rebuild the raw store.
pub(super) fn body(form: ConfigurationForm, operation_id: Uuid) -> Value {
    match form {
        ConfigurationForm::Flat => json!({
            "target_destinations": null,
            "exclude_destinations": null,
            "enable_vector_handlers": false,
            "enable_raw_data_handler": true,
            "enable_postgres_handler": false,
            "skip_hash_comparison": true,
            "skip_cursor_load": true,
            "skip_cursor_updates": true,
        }),
        ConfigurationForm::Nested => json!({
            "execution_config": {
                "destinations": { "target_destinations": null, "exclude_destinations": null },
                "handlers": {
                    "enable_vector_handlers": false,
                    "enable_raw_data_handler": true,
                    "enable_postgres_handler": false,
                },
                "cursor": { "skip_load": true, "skip_updates": true },
                "behavior": { "skip_hash_comparison": true, "replay_from_arf": false },
            },
            "tags": [mark(operation_id)],
        }),
    }
}

/// The mark by which a job is known again, where the platform keeps marks.
#[must_use]
pub fn mark(operation_id: Uuid) -> String {
    format!("sync-multiplexer {operation_id}")
}

/// Whether a job captures everything into the raw store and writes to no destination.
#[must_use]
pub fn captures_everything(job: &SyncJob) -> bool {
    let Some(configuration) = &job.configuration else { return false };
    let is = |pointers: [&str; 2], value: bool| {
        pointers.iter().any(|pointer| configuration.pointer(pointer).and_then(Value::as_bool) == Some(value))
    };
    is(["/handlers/enable_vector_handlers", "/enable_vector_handlers"], false)
        && is(["/handlers/enable_raw_data_handler", "/enable_raw_data_handler"], true)
        && is(["/behavior/skip_hash_comparison", "/skip_hash_comparison"], true)
        && is(["/cursor/skip_load", "/skip_cursor_load"], true)
}

/// Whether a job can be the one that a resync asked for: `None` when its marks say neither yes nor no.
#[must_use]
pub fn is_of(job: &SyncJob, operation_id: Uuid) -> Option<bool> {
    let tags = job.tags.as_ref()?.as_array()?;
    Some(tags.iter().any(|tag| tag.as_str() == Some(&mark(operation_id))))
}

#[cfg(test)]
mod tests {
    use sqlx::types::Json;

    use super::*;
    use crate::database::sync_jobs::JobStatus;

    fn job(configuration: Option<Value>, tags: Option<Value>) -> SyncJob {
        SyncJob {
            job_id: Uuid::nil(),
            status: JobStatus::Pending,
            scheduled: false,
            inserted: 0,
            updated: 0,
            deleted: 0,
            kept: 0,
            skipped: 0,
            encountered: None,
            error: None,
            started_at: None,
            ended_at: None,
            configuration: configuration.map(Json),
            tags: tags.map(Json),
        }
    }

    #[test]
    fn a_job_is_what_it_was_asked_to_be_in_both_forms() {
        let flat = body(ConfigurationForm::Flat, Uuid::nil());
        let nested = body(ConfigurationForm::Nested, Uuid::nil())["execution_config"].take();
        assert!(captures_everything(&job(Some(flat.clone()), None)));
        assert!(captures_everything(&job(Some(nested.clone()), None)));
        assert!(!captures_everything(&job(None, None)), "an ordinary job");
        assert!(!captures_everything(&job(Some(json!({})), None)), "an ordinary job");
        for (mut configuration, field) in [
            (flat.clone(), "/enable_vector_handlers"),
            (flat.clone(), "/skip_hash_comparison"),
            (flat, "/enable_raw_data_handler"),
            (nested.clone(), "/handlers/enable_vector_handlers"),
            (nested, "/cursor/skip_load"),
        ] {
            let value = configuration.pointer_mut(field).expect("a field");
            *value = json!(!value.as_bool().expect("a flag"));
            assert!(!captures_everything(&job(Some(configuration), None)), "{field}");
        }
    }

    #[test]
    fn marks_tell_jobs_apart_where_there_are_some() {
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let marked = job(None, Some(body(ConfigurationForm::Nested, ours)["tags"].take()));
        assert_eq!((is_of(&marked, ours), is_of(&marked, other)), (Some(true), Some(false)));
        assert_eq!(is_of(&job(None, None), ours), None);
    }
}
