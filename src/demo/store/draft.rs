//! An entity before it is written: what its source says about it. The envelope that all entities share is added here.

use activities::json::Value;
use activities::raw_store::{entity_file_name, safe_name};
use activities::text::{Catalog, Entity, content_hash};
use anyhow::{Context, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::dice::Dice;
use super::python_json::{count, from_entries, object, optional, text, to_indented};
use super::{StoreOptions, captured_at};

/// A step of the way from the workspace down to an entity: id, name, class.
pub(super) type Breadcrumb = (String, String, &'static str);

/// One entity.
#[derive(Debug)]
pub(super) struct Draft {
    /// Class name on the platform.
    pub(super) class: &'static str,
    /// Last part of the class's Python module.
    pub(super) module: &'static str,
    /// Id the source gave it.
    pub(super) id: String,
    /// Display name.
    pub(super) name: String,
    /// When it was made and last changed, where the source says so.
    pub(super) created: Option<DateTime<Utc>>,
    /// See `created`.
    pub(super) updated: Option<DateTime<Utc>>,
    /// From the outside in.
    pub(super) breadcrumbs: Vec<Breadcrumb>,
    /// The file that belongs to it.
    pub(super) file: Option<FileDraft>,
    /// The fields of its class in model order, computed ones last.
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// A file and what its entity says about it.
#[derive(Debug)]
pub(super) struct FileDraft {
    /// Where the source offers it for download.
    pub(super) url: String,
    /// The source's word for its kind.
    pub(super) file_type: &'static str,
    /// Media type.
    pub(super) mime_type: &'static str,
    /// Name with extension.
    pub(super) name: String,
    /// Content.
    pub(super) bytes: Vec<u8>,
}

/// The files that make up one entity, with names below `raw/{sync_id}/`.
#[derive(Debug)]
pub(super) struct Written {
    /// Id of the entity.
    pub(super) id: String,
    /// Name of its JSON.
    pub(super) json_name: String,
    /// Its JSON.
    pub(super) json: String,
    /// Name and bytes of its blob.
    pub(super) blob: Option<(String, Vec<u8>)>,
}

/// A point in time as pydantic writes it.
pub(super) fn instant(moment: DateTime<Utc>) -> Value {
    text(&moment.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

impl Draft {
    /// Adds `more` to what the entity says: to its file, or to its main text.
    pub(super) fn append(&mut self, more: &str) {
        if let Some(file) = &mut self.file {
            let line = match file.mime_type {
                "text/html" => format!("<p>{more}</p>\n"),
                "text/x-python" => format!("\n# {more}\n"),
                code if code.starts_with("text/x-") => format!("\n// {more}\n"),
                _ => format!("\n{more}\n"),
            };
            file.bytes.extend_from_slice(line.as_bytes());
            return;
        }
        // A contact has no text of its own; a longer last name will do.
        const MAIN_TEXTS: [&str; 6] = ["text", "content", "description", "notes", "body", "last_name"];
        if let Some((_, value)) = self.fields.iter_mut().find(|(field, _)| MAIN_TEXTS.contains(field)) {
            *value = text(&format!("{}\n\n{more}", value.as_str().unwrap_or_default()));
        }
    }

    /// Puts the envelope around it, with the hash that the platform would compute.
    pub(super) fn finish(self, options: &StoreOptions, dice: &mut Dice) -> Result<Written> {
        let safe_id = safe_name(&self.id).into_owned();
        let job = options.sync_job_id();
        let mut blob = None;
        let mut file_fields = Vec::new();
        let mut stored_file = None;
        if let Some(file) = self.file {
            // Downloads get a unique and tame name, and that name is what the store keeps.
            let tame: String = file.name.chars().filter(|c| c.is_alphanumeric() || " .-_".contains(*c)).collect();
            let local_name = format!("{}-{tame}", dice.uuid());
            let (stem, extension) = local_name.rsplit_once('.').context("every generated file has an extension")?;
            let name = format!("files/{safe_id}_{}.{extension}", safe_name(stem));
            stored_file = Some(format!("raw/{}/{name}", options.sync_id));
            file_fields = vec![
                ("url", text(&file.url)),
                ("size", count(file.bytes.len())),
                ("file_type", text(file.file_type)),
                ("mime_type", text(file.mime_type)),
                ("local_path", text(&format!("/tmp/airweave/processing/{job}/{local_name}"))),
            ];
            blob = Some((name, file.bytes));
        }

        let breadcrumb = |(id, name, class): &Breadcrumb| {
            object([("entity_id", text(id)), ("name", text(name)), ("entity_type", text(class))])
        };
        let envelope = Envelope {
            before: vec![
                ("entity_id", text(&self.id)),
                ("breadcrumbs", Value::Array(self.breadcrumbs.iter().map(breadcrumb).collect())),
                ("name", text(&self.name)),
                ("created_at", self.created.map_or(Value::Null, instant)),
                ("updated_at", self.updated.map_or(Value::Null, instant)),
                ("textual_representation", Value::Null),
            ],
            class: self.class,
            after: std::iter::once(("access", Value::Null)).chain(file_fields).chain(self.fields).collect(),
            module: format!("airweave.platform.entities.{}", self.module),
            stored_file,
        };
        let blob_hash = blob.as_ref().map(|(_, bytes)| hex::encode(Sha256::digest(bytes)));
        let unhashed = Entity::from_value(envelope.value(options, job, ""), Catalog::builtin())
            .with_context(|| format!("the generated {} is not a valid entity", self.class))?;
        let hash = content_hash(&unhashed, blob_hash.as_deref());
        let json = to_indented(&envelope.value(options, job, &hash));
        Ok(Written { json_name: format!("entities/{}", entity_file_name(&self.id)), id: self.id, json, blob })
    }
}

/// Everything but the hash, which is computed from the rest.
struct Envelope {
    before: Vec<(&'static str, Value)>,
    class: &'static str,
    after: Vec<(&'static str, Value)>,
    module: String,
    stored_file: Option<String>,
}

impl Envelope {
    fn value(&self, options: &StoreOptions, job: Uuid, hash: &str) -> Value {
        let metadata = object([
            ("source_name", text(&options.source_short_name)),
            ("entity_type", text(self.class)),
            ("sync_id", text(&options.sync_id.to_string())),
            ("sync_job_id", text(&job.to_string())),
            ("hash", text(hash)),
            ("chunk_index", Value::Null),
            ("original_entity_id", Value::Null),
            ("dense_embedding", Value::Null),
            ("sparse_embedding", Value::Null),
            ("db_entity_id", Value::Null),
            ("db_created_at", Value::Null),
            ("db_updated_at", Value::Null),
        ]);
        let mut entries = self.before.clone();
        entries.push(("airweave_system_metadata", metadata));
        entries.extend(self.after.iter().cloned());
        entries.push(("__entity_class__", text(self.class)));
        entries.push(("__entity_module__", text(&self.module)));
        entries.push(("__captured_at__", text(&captured_at().to_rfc3339())));
        if self.stored_file.is_some() {
            entries.push(("__stored_file__", optional(self.stored_file.as_deref())));
        }
        from_entries(entries)
    }
}
