//! Profiles: defaults, validation and the fingerprint that says whether two slots are built alike.

use proto::v1::embedder::Kind;
use proto::v1::profile::Destination;
use proto::v1::qdrant_layout::SharedNames;
use proto::v1::vespa_layout::Documents;
use proto::v1::vespa_mapping::Grain;
use proto::v1::{Chunker, Embedder, Hnsw, PgvectorLayout, Profile, QdrantLayout, StaticTable, VespaLayout};
use sha2::{Digest, Sha256};

use crate::destinations::qdrant::{self, QdrantSettings};
use crate::destinations::vespa::{self, VespaSettings};
use crate::embedding::EmbedderSettings;
use crate::error::{Error, ErrorKind, Result};

/// A profile with every default written out, and its fingerprint.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteProfile {
    /// The settings.
    pub profile: Profile,
    /// SHA-256 in hex over the settings as JSON, without the name. Equal exactly when slots are built alike.
    pub fingerprint: String,
}

impl CompleteProfile {
    /// Fills in the defaults and validates every bound that can be checked without opening anything.
    ///
    /// # Errors
    ///
    /// `InvalidInput` naming the field.
    pub fn new(profile: Option<Profile>) -> Result<Self> {
        let mut profile = profile.ok_or_else(|| invalid("profile is missing; give at least its destination layout"))?;
        if profile.name.len() > 64 {
            return Err(invalid("profile.name is longer than 64 bytes"));
        }
        match intake(&profile) {
            Intake::Chunks => {
                complete_chunker(profile.chunker.get_or_insert_with(Chunker::default));
                complete_embedder(profile.embedder.get_or_insert_with(Embedder::default))?;
            }
            Intake::WholeEntities => refuse_what_the_destination_does(&profile)?,
        }
        match &mut profile.destination {
            Some(Destination::Pgvector(layout)) => complete_pgvector(layout),
            Some(Destination::Qdrant(layout)) => complete_qdrant(layout),
            Some(Destination::Vespa(layout)) => complete_vespa(layout)?,
            None => {
                return Err(invalid(
                    "the profile has no layout; give one of profile.pgvector, profile.qdrant and profile.vespa",
                ));
            }
        }
        let fingerprint = fingerprint(&profile)?;
        Ok(Self { profile, fingerprint })
    }

    /// Reads back a profile that was stored with its slot.
    ///
    /// # Errors
    ///
    /// `Internal` when the stored form is not a profile of this version.
    pub fn from_stored(stored: &serde_json::Value) -> Result<Self> {
        let profile: Profile = serde_json::from_value(stored.clone()).map_err(|error| {
            Error::new(ErrorKind::Internal, "the profile stored with the slot is not readable by this version")
                .with_source(error)
        })?;
        Self::new(Some(profile))
    }

    /// The stored form.
    ///
    /// # Errors
    ///
    /// `Internal` when the message cannot be written as JSON.
    pub fn to_stored(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.profile).map_err(|error| {
            Error::new(ErrorKind::Internal, "the profile cannot be written as JSON").with_source(error)
        })
    }

    /// Kind of the destination this profile lays out, such as `pgvector`.
    #[must_use]
    pub fn destination_kind(&self) -> &'static str {
        match self.profile.destination {
            Some(Destination::Qdrant(_)) => "qdrant",
            Some(Destination::Vespa(_)) => "vespa",
            Some(Destination::Pgvector(_)) | None => "pgvector",
        }
    }

    /// This profile with each layout that the platform itself may have where this one goes. In pgvector it has none.
    ///
    /// # Errors
    ///
    /// Those of [`Self::new`].
    pub fn as_the_platform_does(&self) -> Result<Vec<Self>> {
        let dimensions = self.dimensions()?;
        let layouts: Vec<_> = match &self.profile.destination {
            Some(Destination::Qdrant(_)) => [SharedNames::ByLength, SharedNames::ByModel]
                .map(|names| QdrantLayout { shared_names: names.into(), ..QdrantLayout::default() })
                .into_iter()
                // It has models of some lengths only.
                .filter(|layout| QdrantSettings::from_layout(layout, dimensions).is_ok())
                .map(Destination::Qdrant)
                .collect(),
            // Its raw entities are in the same places as its chunks.
            Some(Destination::Vespa(_)) => {
                vec![Destination::Vespa(VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() })]
            }
            Some(Destination::Pgvector(_)) | None => Vec::new(),
        };
        let profile = |layout| Profile { destination: Some(layout), ..self.profile.clone() };
        layouts.into_iter().map(|layout| Self::new(Some(profile(layout)))).collect()
    }

    /// What the destination is given.
    #[must_use]
    pub fn intake(&self) -> Intake {
        intake(&self.profile)
    }

    /// Length of the dense vectors that are written; 0 when the destination embeds texts itself.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the embedder's settings are out of range.
    pub fn dimensions(&self) -> Result<u32> {
        match self.intake() {
            Intake::Chunks => {
                let dimensions = EmbedderSettings::from_profile(self.profile.embedder.as_ref())?.dimensions();
                u32::try_from(dimensions).map_err(|_| invalid("the embedder's vectors are too long"))
            }
            Intake::WholeEntities => Ok(0),
        }
    }
}

/// What a destination is given of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// Chunks with their vectors.
    Chunks,
    /// The whole text, which the destination cuts and embeds itself.
    WholeEntities,
}

fn intake(profile: &Profile) -> Intake {
    match &profile.destination {
        Some(Destination::Vespa(layout)) => vespa_intake(layout),
        _ => Intake::Chunks,
    }
}

fn vespa_intake(layout: &VespaLayout) -> Intake {
    let is_whole = match layout.documents() {
        Documents::RawEntity => true,
        Documents::Custom => layout.mapping.as_ref().is_some_and(|mapping| mapping.grain() == Grain::Entity),
        Documents::Chunk | Documents::Unspecified => false,
    };
    if is_whole { Intake::WholeEntities } else { Intake::Chunks }
}

/// Settings that would change nothing are a misunderstanding, and would make equal slots look different.
fn refuse_what_the_destination_does(profile: &Profile) -> Result<()> {
    for (given, field, does) in
        [(profile.chunker.is_some(), "chunker", "cuts"), (profile.embedder.is_some(), "embedder", "embeds")]
    {
        if given {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("profile.{field} must be left out: with this layout the destination {does} texts itself"),
            ));
        }
    }
    Ok(())
}

fn complete_chunker(chunker: &mut Chunker) {
    if chunker.max_tokens == 0 {
        chunker.max_tokens = 512;
    }
}

fn complete_embedder(embedder: &mut Embedder) -> Result<()> {
    match embedder.kind.get_or_insert_with(|| Kind::StaticTable(StaticTable::default())) {
        Kind::StaticTable(table) => {
            if table.model.is_empty() {
                "wordllama-l2-supercat-256".clone_into(&mut table.model);
            }
        }
        Kind::OpenAi(server) => {
            for (count, default) in [
                (&mut server.max_batch_texts, 100),
                (&mut server.max_batch_tokens, 100_000),
                (&mut server.concurrency, 4),
            ] {
                if *count == 0 {
                    *count = default;
                }
            }
            if server.dimensions == 0 {
                return Err(invalid(
                    "profile.embedder.open_ai.dimensions is missing; say how long the server's vectors are",
                ));
            }
        }
    }
    Ok(())
}

fn complete_pgvector(layout: &mut PgvectorLayout) {
    use proto::v1::pgvector_layout::{Distance, VectorType};
    if layout.vector_type() == VectorType::Unspecified {
        layout.set_vector_type(VectorType::Vector);
    }
    if layout.distance() == Distance::Unspecified {
        layout.set_distance(Distance::Cosine);
    }
    if let Some(Hnsw { m, ef_construction }) = &mut layout.hnsw {
        if *m == 0 {
            *m = 16;
        }
        if *ef_construction == 0 {
            *ef_construction = 64;
        }
    }
}

fn complete_qdrant(layout: &mut QdrantLayout) {
    use proto::v1::qdrant_layout::{Distance, Quantization, SharedNames};
    if !layout.collection.is_empty() {
        // Without meaning then.
        layout.set_shared_names(SharedNames::Unspecified);
    } else if layout.shared_names() == SharedNames::Unspecified {
        layout.set_shared_names(SharedNames::ByLength);
    }
    if layout.sparse_vector.is_empty() {
        qdrant::DEFAULT_SPARSE_VECTOR.clone_into(&mut layout.sparse_vector);
    }
    if layout.distance() == Distance::Unspecified {
        layout.set_distance(Distance::Cosine);
    }
    if layout.quantization() == Quantization::Unspecified {
        layout.set_quantization(Quantization::Int8);
    }
    let (m, payload_m, ef_construct) = qdrant::DEFAULT_HNSW;
    let hnsw = layout.hnsw.get_or_insert_default();
    hnsw.m.get_or_insert(m);
    hnsw.payload_m.get_or_insert(payload_m);
    hnsw.ef_construct.get_or_insert(ef_construct);
    layout.vectors_on_disk.get_or_insert(true);
    layout.payload_on_disk.get_or_insert(true);
}

/// Writes the defaults out and checks everything but the length of vectors, which belongs to the embedder.
fn complete_vespa(layout: &mut VespaLayout) -> Result<()> {
    vespa::complete(layout);
    VespaSettings::from_layout(layout, 1).map(drop)
}

fn fingerprint(profile: &Profile) -> Result<String> {
    let mut settings = profile.clone();
    settings.name.clear();
    if let Some(Embedder { kind: Some(Kind::OpenAi(server)) }) = &mut settings.embedder {
        // How requests are cut does not change what is stored.
        server.max_batch_texts = 0;
        server.max_batch_tokens = 0;
        server.concurrency = 0;
    }
    if let Some(Destination::Qdrant(layout)) = &mut settings.destination {
        // Where readers look is not how a slot is built.
        layout.alias.clear();
    }
    if let Some(Destination::Vespa(layout)) = &mut settings.destination {
        // How readers search does not change what is stored, and the packages differ in nothing else.
        layout.rank_profiles = None;
        layout.package = 0;
    }
    // `serde_json::Value` keeps its keys sorted, so the text depends on the settings only.
    let text = serde_json::to_value(&settings)
        .map_err(|error| Error::new(ErrorKind::Internal, "the profile cannot be written as JSON").with_source(error))?
        .to_string();
    Ok(hex::encode(Sha256::digest(text.as_bytes())))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use proto::v1::QdrantHnsw;

    use super::*;

    fn minimal() -> Profile {
        Profile { destination: Some(Destination::Pgvector(PgvectorLayout::default())), ..Profile::default() }
    }

    #[test]
    fn defaults_and_names_do_not_change_the_fingerprint() {
        let written_out = CompleteProfile::new(Some(minimal())).unwrap();
        let again = CompleteProfile::new(Some(written_out.profile.clone())).unwrap();
        assert_eq!(written_out, again, "completing twice changes nothing");
        let renamed = CompleteProfile::new(Some(Profile { name: "v7".to_owned(), ..minimal() })).unwrap();
        assert_eq!(renamed.fingerprint, written_out.fingerprint);
    }

    #[test]
    fn settings_change_the_fingerprint() {
        let plain = CompleteProfile::new(Some(minimal())).unwrap();
        let chunked = Profile { chunker: Some(Chunker { max_tokens: 256, overlap_tokens: 0 }), ..minimal() };
        assert_ne!(CompleteProfile::new(Some(chunked)).unwrap().fingerprint, plain.fingerprint);
    }

    fn whole_entities() -> Profile {
        let layout = VespaLayout { documents: Documents::RawEntity.into(), ..VespaLayout::default() };
        Profile { destination: Some(Destination::Vespa(layout)), ..Profile::default() }
    }

    #[test]
    fn whole_entities_need_no_chunker_and_no_embedder_and_take_none() {
        let profile = CompleteProfile::new(Some(whole_entities())).unwrap();
        assert_eq!((profile.intake(), profile.dimensions().unwrap()), (Intake::WholeEntities, 0));
        assert_eq!((&profile.profile.chunker, &profile.profile.embedder), (&None, &None));
        assert_eq!(CompleteProfile::from_stored(&profile.to_stored().unwrap()).unwrap(), profile);

        let chunker = Profile { chunker: Some(Chunker::default()), ..whole_entities() };
        let embedder = Profile { embedder: Some(Embedder::default()), ..whole_entities() };
        for (profile, words) in [(chunker, "chunker must be left out"), (embedder, "the destination embeds")] {
            let refused = CompleteProfile::new(Some(profile)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.message().contains(words), "{refused}");
        }
    }

    #[test]
    fn chunks_of_vespa_are_chunks_as_anywhere() {
        let layout = VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() };
        let profile = Profile { destination: Some(Destination::Vespa(layout)), ..Profile::default() };
        let profile = CompleteProfile::new(Some(profile)).unwrap();
        assert_eq!((profile.intake(), profile.dimensions().unwrap()), (Intake::Chunks, 256));
    }

    fn on_qdrant(layout: QdrantLayout) -> CompleteProfile {
        let profile = Profile { destination: Some(Destination::Qdrant(layout)), ..Profile::default() };
        CompleteProfile::new(Some(profile)).expect("complete")
    }

    #[test]
    fn defaults_of_qdrant_written_out_are_the_same_settings() {
        let left_out = on_qdrant(QdrantLayout::default());
        let written_out = QdrantLayout {
            collection: String::new(),
            shared_names: 1,
            dense_vector: String::new(),
            sparse_vector: "bm25".into(),
            distance: 1,
            hnsw: Some(QdrantHnsw { m: Some(0), payload_m: Some(16), ef_construct: Some(100) }),
            quantization: 1,
            vectors_on_disk: Some(true),
            payload_on_disk: Some(true),
            shards: 0,
            alias: String::new(),
        };
        assert_eq!(left_out.profile.destination, Some(Destination::Qdrant(written_out.clone())));
        assert_eq!(on_qdrant(written_out), left_out);
        let partly = QdrantLayout {
            hnsw: Some(QdrantHnsw { payload_m: Some(16), ..QdrantHnsw::default() }),
            ..QdrantLayout::default()
        };
        assert_eq!(on_qdrant(partly), left_out);
        assert_eq!(CompleteProfile::new(Some(left_out.profile.clone())).expect("complete"), left_out);
        assert_eq!(CompleteProfile::from_stored(&left_out.to_stored().expect("JSON")).expect("readable"), left_out);
    }

    #[test]
    fn the_platform_has_its_own_layouts_for_vectors_of_a_length() {
        let names = |profile: CompleteProfile| -> Vec<_> {
            let name = |profile: CompleteProfile| match profile.profile.destination {
                Some(Destination::Qdrant(layout)) => (layout.collection.clone(), layout.shared_names()),
                other => panic!("not a layout of Qdrant: {other:?}"),
            };
            profile.as_the_platform_does().unwrap().into_iter().map(name).collect()
        };
        let own = on_qdrant(QdrantLayout { collection: "mine".into(), alias: "a".into(), ..QdrantLayout::default() });
        let (by_length, by_model) = ((String::new(), SharedNames::ByLength), (String::new(), SharedNames::ByModel));
        assert_eq!(names(own.clone()), std::slice::from_ref(&by_length), "it has no model with vectors of 256 values");
        let server = proto::v1::OpenAiCompatible {
            base_url: "http://e".into(),
            model: "text-embedding-3-small".into(),
            dimensions: 1536,
            ..Default::default()
        };
        let embedder = Some(Embedder { kind: Some(Kind::OpenAi(server)) });
        let profile = CompleteProfile::new(Some(Profile { embedder, ..own.profile })).unwrap();
        assert_eq!(names(profile), [by_length, by_model]);

        let whole = CompleteProfile::new(Some(whole_entities())).unwrap().as_the_platform_does().unwrap();
        assert_eq!(whole.iter().map(CompleteProfile::destination_kind).collect::<Vec<_>>(), ["vespa"]);
        assert!(CompleteProfile::new(Some(minimal())).unwrap().as_the_platform_does().unwrap().is_empty());
    }

    #[test]
    fn each_setting_of_qdrant_counts_but_the_alias() {
        let plain = on_qdrant(QdrantLayout::default()).fingerprint;
        let changes: [fn(&mut QdrantLayout); 11] = [
            |layout| layout.collection = "mine".into(),
            |layout| layout.shared_names = 2,
            |layout| layout.dense_vector = "text".into(),
            |layout| layout.sparse_vector = "words".into(),
            |layout| layout.distance = 3,
            |layout| layout.hnsw.get_or_insert_default().m = Some(16),
            |layout| layout.hnsw.get_or_insert_default().payload_m = Some(0),
            |layout| layout.quantization = 3,
            |layout| layout.vectors_on_disk = Some(false),
            |layout| layout.payload_on_disk = Some(false),
            |layout| layout.shards = 2,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut layout = QdrantLayout::default();
            change(&mut layout);
            assert_ne!(on_qdrant(layout).fingerprint, plain, "change {at}");
        }
        let aliased = on_qdrant(QdrantLayout { alias: "current".into(), ..QdrantLayout::default() });
        assert_eq!(aliased.fingerprint, plain);
        assert!(matches!(aliased.profile.destination, Some(Destination::Qdrant(layout)) if layout.alias == "current"));
        let named = |shared_names| QdrantLayout { collection: "mine".into(), shared_names, ..QdrantLayout::default() };
        assert_eq!(on_qdrant(named(2)).fingerprint, on_qdrant(named(0)).fingerprint, "without meaning beside a name");
    }

    fn vespa(documents: Documents, change: impl FnOnce(&mut VespaLayout)) -> Result<CompleteProfile> {
        let mut layout = VespaLayout { documents: documents.into(), ..VespaLayout::default() };
        change(&mut layout);
        CompleteProfile::new(Some(Profile { destination: Some(Destination::Vespa(layout)), ..Profile::default() }))
    }

    #[test]
    fn a_vespa_layout_with_its_defaults_written_out_is_the_same() {
        let short = vespa(Documents::Chunk, |_| ()).unwrap();
        let long = vespa(Documents::Chunk, |layout| {
            layout.cluster = "airweave".to_owned();
            layout.namespace = "airweave".to_owned();
            layout.set_ids(proto::v1::vespa_layout::Ids::Platform);
            layout.set_package(proto::v1::vespa_layout::Package::Current);
        });
        assert_eq!(short.fingerprint, long.unwrap().fingerprint);
        assert_eq!(
            CompleteProfile::new(Some(short.profile.clone())).unwrap(),
            short,
            "completing twice changes nothing"
        );
        let searched_otherwise = vespa(Documents::Chunk, |layout| {
            let names = proto::v1::VespaRankProfiles { keyword: "mine".to_owned(), ..Default::default() };
            layout.rank_profiles = Some(names);
        });
        assert_eq!(searched_otherwise.unwrap().fingerprint, short.fingerprint);
        let packaged = vespa(Documents::Chunk, |layout| layout.set_package(proto::v1::vespa_layout::Package::Own));
        assert_eq!(packaged.unwrap().fingerprint, short.fingerprint);
        let elsewhere = vespa(Documents::Chunk, |layout| layout.namespace = "other".to_owned()).unwrap();
        assert_ne!(elsewhere.fingerprint, short.fingerprint);
        assert_eq!(vespa(Documents::Unspecified, |_| ()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn stored_and_read_back_is_the_same() {
        let profile = CompleteProfile::new(Some(minimal())).unwrap();
        assert_eq!(CompleteProfile::from_stored(&profile.to_stored().unwrap()).unwrap(), profile);
    }

    #[test]
    fn what_is_missing_is_named() {
        let told = |profile| CompleteProfile::new(profile).unwrap_err();
        assert!(told(None).message().contains("profile is missing"));
        let no_layout = told(Some(Profile::default()));
        assert_eq!(no_layout.kind(), ErrorKind::InvalidInput);
        assert!(no_layout.message().contains("has no layout"));
    }

    #[test]
    fn a_mapping_says_what_its_documents_are() {
        let mapped = |grain: Grain| {
            let mapping = proto::v1::VespaMapping { grain: grain.into(), ..Default::default() };
            let layout =
                VespaLayout { documents: Documents::Custom.into(), mapping: Some(mapping), ..Default::default() };
            vespa_intake(&layout)
        };
        assert_eq!((mapped(Grain::Entity), mapped(Grain::Chunk)), (Intake::WholeEntities, Intake::Chunks));
    }
}
