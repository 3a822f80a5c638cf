//! `deploy/vespa`: the package says what is fed, and the script deploys it or says why not.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use harness::vespa::{FieldRow, Generation, Indexing, VespaServer, VespaServerOptions, platform_tables};
use harness::{World, WorldOptions};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::{Documents, Package};
use proto::v1::{ForkRequest, VespaLayout};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/vespa/deploy.py")
}

/// Runs the script away from the threads that serve it.
async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new("python3");
    command.arg(script()).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python3 runs")
}

/// Files of a package by name.
fn unpack(package: &[u8]) -> BTreeMap<String, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(package)).expect("a package is a zip file");
    let entries = 0..archive.len();
    let read = |at| {
        let mut file = archive.by_index(at).expect("an entry is readable");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("an entry is UTF-8");
        (file.name().to_owned(), text)
    };
    entries.map(read).collect()
}

/// The package as the script writes it to a file.
async fn package(arguments: &[&str]) -> BTreeMap<String, String> {
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("application.zip");
    let output = run(&[arguments, &["--output", file.to_str().expect("UTF-8")]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    unpack(&std::fs::read(file).expect("the package was written"))
}

/// Fields of a document type, as the server's tables note them: those inside the document, with what they inherit.
fn fields(package: &BTreeMap<String, String>, document_type: &str) -> BTreeMap<String, (String, Indexing)> {
    let schema = &package[&format!("schemas/{document_type}.sd")];
    let mut found = BTreeMap::new();
    let mut blocks: Vec<String> = Vec::new();
    let mut structs = BTreeMap::<String, Vec<String>>::new();
    for line in schema.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let in_document = blocks.iter().any(|block| block.starts_with("document "));
        let in_struct = blocks.last().and_then(|block| block.strip_prefix("struct "));
        if let Some((_, base)) = line.strip_suffix(" {").and_then(|line| line.split_once(" inherits "))
            && line.starts_with("document ")
        {
            found.extend(fields(package, base));
        }
        if let Some((name, kind)) =
            line.strip_prefix("field ").and_then(|rest| rest.strip_suffix(" {")?.split_once(" type "))
            && in_document
        {
            match in_struct {
                Some(of) => structs.entry(of.to_owned()).or_default().push(format!("{name}:{kind}")),
                None => {
                    let kind = structs.iter().fold(kind.to_owned(), |kind, (of, inside)| {
                        kind.replace(&format!("<{of}>"), &format!("<struct{{{}}}>", inside.join(",")))
                    });
                    found.insert(name.to_owned(), (kind, Indexing::SummaryOnly));
                }
            }
        }
        if let Some(indexing) = line.strip_prefix("indexing: ")
            && let [.., document, field] = blocks.as_slice()
            && document.starts_with("document ")
            && let Some((name, _)) = field.strip_prefix("field ").and_then(|rest| rest.split_once(" type "))
        {
            let is = |what: &str| indexing.split(" | ").any(|step| step == what);
            let indexing = match (is("attribute"), is("index")) {
                (true, _) => Indexing::Attribute,
                (false, true) => Indexing::Index,
                (false, false) => Indexing::SummaryOnly,
            };
            found.get_mut(name).expect("a field is open").1 = indexing;
        }
        if let Some(block) = line.strip_suffix(" {") {
            blocks.push(block.to_owned());
        } else if line == "}" {
            blocks.pop().expect("as many blocks are closed as opened");
        }
    }
    assert!(blocks.is_empty(), "{document_type}: {blocks:?} is not closed");
    found
}

fn arguments(documents: Documents) -> &'static [&'static str] {
    match documents {
        Documents::RawEntity => &["--documents", "entity"],
        _ => &["--documents", "chunk", "--dimensions", "256"],
    }
}

#[rstest]
#[case::chunks(Documents::Chunk, Generation::Chunks)]
#[case::entities(Documents::RawEntity, Generation::RawEntities)]
#[tokio::test(flavor = "multi_thread")]
async fn the_package_has_the_fields_that_are_fed(#[case] documents: Documents, #[case] generation: Generation) {
    let package = package(arguments(documents)).await;
    for (name, text) in &package {
        assert!(!text.contains("{{") && !text.contains("}}"), "{name} has a placeholder left");
    }
    let names: Vec<&str> = package.keys().map(String::as_str).collect();
    let services = ["hosts.xml", "schemas/base_entity.sd", "schemas/code_file_entity.sd", "schemas/email_entity.sd"];
    let others =
        ["schemas/file_entity.sd", "schemas/web_entity.sd", "search/query-profiles/default.xml", "services.xml"];
    assert_eq!(names, [services, others].concat());
    let tensors = package["schemas/base_entity.sd"].matches("tensor<bfloat16>(x[256])").count();
    assert_eq!(tensors, usize::from(documents == Documents::Chunk), "the dimension is put in");

    let mut types = Vec::new();
    for (document_type, rows) in platform_tables(generation) {
        assert!(package["services.xml"].contains(&format!("<document type=\"{document_type}\" mode=\"index\"/>")));
        let ours = fields(&package, document_type);
        let theirs =
            rows.iter().map(|(name, kind, indexing)| ((*name).to_owned(), (kind.replace("DIM", "256"), *indexing)));
        assert_eq!(ours, theirs.collect(), "{document_type}");
        types.push((document_type.to_owned(), rows_of(&ours)));
    }

    // A server with the package's own schemas takes everything that is fed: a fork with a real worker.
    let options =
        VespaServerOptions { generation, dimensions: 256, more_types: types, ..VespaServerOptions::default() };
    let server = VespaServer::start(options).await;
    let world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let mut layout = VespaLayout { documents: documents.into(), ..VespaLayout::default() };
    if documents == Documents::Chunk {
        layout.set_package(Package::Own);
    }
    let connection = world.connect_destination("vespa", json!({ "url": server.url() })).await;
    let profile = Some(world.profile_of(Destination::Vespa(layout)));
    let request = ForkRequest { profile, ..world.fork_request(connection) };
    let result = world.fork(&request).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (40, 0));
    assert_eq!(server.ids().len() as u64, result.points);
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

/// The same as rows, whose texts live as long as the test program.
fn rows_of(fields: &BTreeMap<String, (String, Indexing)>) -> Vec<FieldRow> {
    let leak = |text: &String| -> &'static str { text.clone().leak() };
    fields.iter().map(|(name, (kind, indexing))| (leak(name), leak(kind), *indexing)).collect()
}

/// What a config server was asked, and how it is to answer.
#[derive(Default)]
struct ConfigServer {
    refusal: Option<(u16, String)>,
    /// Looks until every service runs the package; none: never.
    looks: Option<usize>,
    package: Mutex<Option<(Option<String>, Bytes)>>,
    looked: Mutex<usize>,
}

impl ConfigServer {
    async fn start(self) -> (Arc<Self>, String) {
        const TENANT: &str = "/application/v2/tenant/default";
        let shared = Arc::new(self);
        let (prepared, looked) = (Arc::clone(&shared), Arc::clone(&shared));
        let prepare = move |headers: HeaderMap, body: Bytes| async move { prepared.prepare(&headers, body) };
        let converge = move || async move { looked.converge() };
        let instance = format!("{TENANT}/application/default/environment/prod/region/default/instance/default");
        let app = Router::new()
            .route(&format!("{TENANT}/prepareandactivate"), post(prepare))
            .route(&format!("{instance}/serviceconverge"), get(converge));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (shared, url)
    }

    fn prepare(&self, headers: &HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
        let kind = headers.get("content-type").map(|kind| kind.to_str().expect("ASCII").to_owned());
        *self.package.lock().expect("no request panicked") = Some((kind, body));
        if let Some((status, message)) = &self.refusal {
            let body = json!({ "error-code": "INVALID_APPLICATION_PACKAGE", "message": message });
            return (StatusCode::from_u16(*status).expect("a status"), Json(body));
        }
        let log = json!([{ "time": 1, "level": "WARNING", "message": "a word of warning" }]);
        (StatusCode::OK, Json(json!({ "tenant": "default", "session-id": "7", "log": log })))
    }

    fn converge(&self) -> Json<Value> {
        let mut looked = self.looked.lock().expect("no request panicked");
        *looked += 1;
        Json(json!({ "converged": self.looks.is_some_and(|looks| *looked >= looks), "wantedGeneration": 7 }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_deploys_and_waits_until_every_service_runs_the_package() {
    let (server, url) = ConfigServer { looks: Some(2), ..ConfigServer::default() }.start().await;
    let output = run(&[arguments(Documents::Chunk), &["--config-server", &format!("{url}/")]].concat()).await;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    assert!(out.contains("WARNING: a word of warning"), "{out}");
    assert!(out.contains("session 7 is active and every service runs it"), "{out}");
    assert_eq!(*server.looked.lock().expect("no request panicked"), 2, "the first look was too early");
    let (kind, sent) = server.package.lock().expect("no request panicked").take().expect("a package was sent");
    assert_eq!(kind.as_deref(), Some("application/zip"));
    assert_eq!(unpack(&sent), package(arguments(Documents::Chunk)).await, "what it writes is what it deploys");
}

#[rstest]
#[case::refused(Some((400, "Invalid application package: field dense_embedding changed")), 1, "answered 400: Invalid application package: field dense_embedding changed")]
#[case::broken(Some((500, "No content cluster")), 1, "answered 500: No content cluster")]
#[case::never_converged(None, 0, "not every service runs it after 0 s")]
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_passed_on_in_words(
    #[case] refusal: Option<(u16, &str)>,
    #[case] looks: usize,
    #[case] words: &str,
) {
    let refusal = refusal.map(|(status, message)| (status, message.to_owned()));
    let looks = (looks > 0).then_some(looks);
    let (_, url) = ConfigServer { refusal, looks, ..ConfigServer::default() }.start().await;
    let output = run(&["--documents", "entity", "--timeout", "0", "--config-server", &url]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(words) && !error.contains("Traceback"), "{error}");
}

#[rstest]
#[case::nobody_there(&["--documents", "entity", "--config-server", "http://127.0.0.1:1"], "is not reachable")]
#[case::no_dimension(&["--documents", "chunk", "--output", "x.zip"], "--dimensions belongs to --documents chunk")]
#[case::superfluous_dimension(&["--documents", "entity", "--dimensions", "8", "--output", "x.zip"], "--dimensions belongs to")]
#[case::absurd_dimension(&["--documents", "chunk", "--dimensions", "0", "--output", "x.zip"], "between 1 and 16384")]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused(#[case] arguments: &[&str], #[case] words: &str) {
    let output = run(arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains(words) && !error.contains("Traceback"), "{error}");
}
