//! Entities written by hand into a world's raw store, beside or instead of the generated ones.

use std::fs;
use std::path::PathBuf;

use activities::raw_store::entity_file_name;
use serde_json::{Map, Value, json};

use crate::World;

/// Fields of a small entity of a class that the catalogue knows.
///
/// # Panics
///
/// Never: the literal is an object.
#[must_use]
pub fn entity(id: &str, words: &str) -> Map<String, Value> {
    let fields = json!({
        "entity_id": id,
        "breadcrumbs": [],
        "name": words,
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-01-05T09:00:00Z",
        "textual_representation": null,
        "airweave_system_metadata": { "source_name": "company_tools" },
        "access": null,
        "page_id": id,
        "parent_id": "",
        "parent_type": "workspace",
        "title": words,
        "content": words,
        "__entity_class__": "NotionPageEntity",
        "__entity_module__": "airweave.platform.entities.notion",
        "__captured_at__": "2026-01-05T09:00:00+00:00",
    });
    fields.as_object().expect("the literal is an object").clone()
}

impl World {
    /// The file that the platform keeps an entity in.
    #[must_use]
    pub fn entity_file(&self, id: &str) -> PathBuf {
        self.store().join("entities").join(entity_file_name(id))
    }

    /// Writes a small entity, or overwrites it with other words.
    pub fn put_entity(&self, id: &str, words: &str) {
        let text = serde_json::to_string_pretty(&entity(id, words)).expect("an entity is JSON");
        self.put_entity_text(id, &text);
    }

    /// As [`Self::put_entity`], in one step: no reader sees half of it.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn put_entity_at_once(&self, id: &str, words: &str) {
        let text = serde_json::to_string_pretty(&entity(id, words)).expect("an entity is JSON");
        let aside = self.store().join(format!(".incoming-{}", entity_file_name(id)));
        fs::write(&aside, text).expect("the store is writable");
        fs::rename(&aside, self.entity_file(id)).expect("the store is writable");
    }

    /// Writes any text where an entity's JSON belongs.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn put_entity_text(&self, id: &str, text: &str) {
        fs::write(self.entity_file(id), text).expect("the store is writable");
    }

    /// Removes every entity from the raw store and the platform's tables; the manifest stays.
    ///
    /// # Panics
    ///
    /// When a file or a row cannot be removed.
    pub async fn empty_store(&self) {
        for folder in ["entities", "files"] {
            let folder = self.store().join(folder);
            fs::remove_dir_all(&folder).expect("the store is there");
            fs::create_dir(&folder).expect("a folder can be made");
        }
        sqlx::query("DELETE FROM public.entity").execute(self.database.pool()).await.expect("rows can be deleted");
    }
}
