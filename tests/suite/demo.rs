//! The demo, on a stack of its own, to a server that somebody has.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{KeywordScore, VespaServer, VespaServerOptions};
use harness::{required_env, syncmux};
use tempfile::TempDir;

/// Points in Qdrant, or documents in Vespa, of a demo of this size.
const ENTITIES: usize = 80;

/// A folder with the prepared tools and nothing that runs yet.
fn dev_dir() -> TempDir {
    let model = required_env("SYNCMUX_MODEL_DIR");
    let prepared = Path::new(&model).parent().expect("the model is in the folder of the prepared tools");
    // Postgres puts its socket below, and a socket's path is short.
    let folder = TempDir::new_in("/tmp").expect("a folder can be made");
    for tool in ["bin", "model", "postgres"] {
        symlink(prepared.join(tool), folder.path().join(tool)).expect("a link can be made");
    }
    folder
}

fn demo(dev_dir: &TempDir, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(syncmux());
    command.args(["demo", "--entities", &ENTITIES.to_string()]).args(arguments);
    for variable in ["QDRANT_URL", "QDRANT_API_KEY", "VESPA_URL"] {
        command.env_remove(variable);
    }
    let output = command.env("SYNCMUX_DEV_DIR", dev_dir.path()).output().expect("the program runs");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said.into_owned()) } else { Err(format!("{said}\n{wrong}")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_goes_to_a_server_of_yours_and_cleans_up_there_when_it_starts_over() {
    let dev_dir = dev_dir();
    for kind in ["qdrant", "vespa"] {
        let refused = demo(&dev_dir, &["--destination", kind]).expect_err("there is no server");
        let setting = format!("say where it is with --{kind}-url or {}_URL", kind.to_uppercase());
        assert!(refused.contains(&setting), "{refused}");
    }
    let options = QdrantServerOptions { api_key: Some("right".to_owned()), ..QdrantServerOptions::default() };
    let qdrant = QdrantServer::start(options).await;
    let options =
        VespaServerOptions { dimensions: 256, keyword_score: KeywordScore::SparseTensor, ..Default::default() };
    let vespa = VespaServer::start(options).await;
    let qdrant_url = qdrant.url().replace("http://", "grpc://");
    let to_qdrant = ["--destination", "qdrant", "--qdrant-url", &qdrant_url, "--qdrant-api-key", "right"];

    let said = demo(&dev_dir, &to_qdrant).unwrap_or_else(|said| panic!("{said}"));
    let points = qdrant.stored_points("syncmux_demo").len();
    assert!(points >= ENTITIES, "{points} points\n{said}");
    let verified = format!("{ENTITIES} entities and {points} points counted");
    for words in ["in Qdrant, collection syncmux_demo", "gRPC at http://127.0.0.1:", &verified, "v1, active"] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    assert!(!said.contains("of an earlier demo"), "{said}");

    let again = demo(&dev_dir, &to_qdrant).unwrap_or_else(|said| panic!("{said}"));
    assert!(again.contains(&format!("{points} points of an earlier demo removed")), "{again}");
    assert_eq!(qdrant.stored_points("syncmux_demo").len(), points);

    let to_vespa = demo(&dev_dir, &["--destination", "vespa", "--vespa-url", &vespa.url()]);
    let said = to_vespa.unwrap_or_else(|said| panic!("{said}"));
    assert_eq!(vespa.ids().len(), points, "{said}");
    assert!(vespa.ids().iter().all(|id| id.starts_with("id:syncmux_demo:")), "{:?}", vespa.ids());
}
