//! Which grammar cuts which code file.

use text_splitter::{ChunkConfig, CodeSplitter};

use super::tokens::Cl100k;
use crate::error::{Error, ErrorKind, Result};

/// A splitter for the language of a file extension, or nothing when no grammar is known for it.
pub(super) fn splitter(extension: &str, config: ChunkConfig<Cl100k>) -> Result<Option<CodeSplitter<Cl100k>>> {
    let extension = extension.trim_start_matches('.').to_ascii_lowercase();
    let splitter = match extension.as_str() {
        "py" => CodeSplitter::new(tree_sitter_python::LANGUAGE, config),
        "rs" => CodeSplitter::new(tree_sitter_rust::LANGUAGE, config),
        "js" | "jsx" => CodeSplitter::new(tree_sitter_javascript::LANGUAGE, config),
        "ts" => CodeSplitter::new(tree_sitter_typescript::LANGUAGE_TYPESCRIPT, config),
        "tsx" => CodeSplitter::new(tree_sitter_typescript::LANGUAGE_TSX, config),
        "go" => CodeSplitter::new(tree_sitter_go::LANGUAGE, config),
        "java" => CodeSplitter::new(tree_sitter_java::LANGUAGE, config),
        "c" => CodeSplitter::new(tree_sitter_c::LANGUAGE, config),
        // A header may be either; the C++ grammar reads nearly all of C.
        "cpp" | "hpp" | "h" => CodeSplitter::new(tree_sitter_cpp::LANGUAGE, config),
        "rb" => CodeSplitter::new(tree_sitter_ruby::LANGUAGE, config),
        "php" => CodeSplitter::new(tree_sitter_php::LANGUAGE_PHP, config),
        _ => return Ok(None),
    };
    splitter.map(Some).map_err(|error| {
        Error::new(ErrorKind::Internal, format!("the grammar for .{extension} files does not load")).with_source(error)
    })
}
