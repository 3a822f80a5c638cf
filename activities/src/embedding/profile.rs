//! From the embedder part of a profile to an embedder.

use std::path::PathBuf;
use std::sync::Arc;

use proto::v1;
use secrecy::SecretString;
use v1::embedder::Kind;

use super::{Embedder, OpenAi, OpenAiSettings, StaticTable, static_table};
use crate::error::{Error, ErrorKind, Result};

/// Which embedder, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedderSettings {
    /// The local table.
    StaticTable,
    /// A server that speaks OpenAI's shape.
    OpenAi(Box<OpenAiSettings>),
}

/// What a worker brings along for embedders: nothing of it is part of a profile.
#[derive(Debug, Clone, Default)]
pub struct EmbedderResources {
    /// The folder with the files of the local table (`SYNCMUX_MODEL_DIR`).
    pub model_dir: Option<PathBuf>,
    /// The key for the embedding server; servers on the own network may need none.
    pub open_ai_key: Option<SecretString>,
}

impl EmbedderSettings {
    /// Reads the part of a profile.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, naming the field, when it is absent or out of range.
    pub fn from_profile(embedder: Option<&v1::Embedder>) -> Result<Self> {
        match embedder.and_then(|embedder| embedder.kind.as_ref()) {
            Some(Kind::StaticTable(table)) => {
                if table.model.is_empty() || table.model == static_table::MODEL {
                    Ok(Self::StaticTable)
                } else {
                    Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!(
                            "embedder.static_table.model is unknown; the only model is \"{}\"",
                            static_table::MODEL
                        ),
                    ))
                }
            }
            Some(Kind::OpenAi(server)) => {
                OpenAiSettings::from_profile(server).map(|settings| Self::OpenAi(Box::new(settings)))
            }
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                "embedder is missing; give embedder.static_table or embedder.open_ai",
            )),
        }
    }

    /// Length of the vectors, known without opening anything.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        match self {
            Self::StaticTable => static_table::DIMENSIONS,
            Self::OpenAi(settings) => settings.dimensions,
        }
    }

    /// Makes the embedder ready. Reads the files of the local table, but asks no server.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the resources do not fit; the message says what to do.
    pub async fn open(&self, resources: &EmbedderResources) -> Result<Arc<dyn Embedder>> {
        match self {
            Self::StaticTable => {
                let Some(folder) = resources.model_dir.clone() else {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        "the local embedding model needs a folder: run `make`, or set SYNCMUX_MODEL_DIR",
                    ));
                };
                let table = tokio::task::spawn_blocking(move || StaticTable::load(&folder)).await.map_err(|error| {
                    Error::new(ErrorKind::Internal, "loading the local embedding model broke off").with_source(error)
                })?;
                Ok(Arc::new(table?))
            }
            Self::OpenAi(settings) => {
                Ok(Arc::new(OpenAi::new(settings.as_ref().clone(), resources.open_ai_key.clone())?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(kind: Kind) -> v1::Embedder {
        v1::Embedder { kind: Some(kind) }
    }

    #[test]
    fn the_local_table_is_known_by_name_and_by_default() {
        for model in ["", "wordllama-l2-supercat-256"] {
            let embedder = profile(Kind::StaticTable(v1::StaticTable { model: model.to_owned() }));
            let settings = EmbedderSettings::from_profile(Some(&embedder)).expect("known");
            assert_eq!((settings.dimensions(), settings), (256, EmbedderSettings::StaticTable));
        }
    }

    #[test]
    fn an_unknown_table_names_the_field() {
        let embedder = profile(Kind::StaticTable(v1::StaticTable { model: "word2vec".to_owned() }));
        let error = EmbedderSettings::from_profile(Some(&embedder)).expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("embedder.static_table.model"), "{error}");
    }

    #[test]
    fn no_embedder_is_an_error() {
        for embedder in [None, Some(v1::Embedder::default())] {
            let error = EmbedderSettings::from_profile(embedder.as_ref()).expect_err("missing");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[tokio::test]
    async fn a_server_opens_without_being_asked_and_a_table_needs_its_folder() {
        let server = v1::OpenAiCompatible {
            base_url: "http://127.0.0.1:9/v1".to_owned(),
            model: "m".to_owned(),
            dimensions: 12,
            ..Default::default()
        };
        let settings = EmbedderSettings::from_profile(Some(&profile(Kind::OpenAi(server)))).expect("valid");
        assert_eq!(settings.dimensions(), 12);
        let embedder = settings.open(&EmbedderResources::default()).await.expect("opens");
        assert_eq!(embedder.dimensions(), 12);

        let error = EmbedderSettings::StaticTable.open(&EmbedderResources::default()).await.err().expect("no folder");
        assert!(error.message().contains("SYNCMUX_MODEL_DIR"), "{error}");
    }
}
