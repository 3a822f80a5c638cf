//! `deploy/compose.yaml`, as Docker Compose itself understands it.

use std::collections::BTreeSet;
use std::process::Command;

use activities::credentials::CredentialReader;
use harness::syncmux;
use serde_json::Value;
use tempfile::TempDir;

use super::{deploy, succeed, tool};

/// The configuration with every profile, and its services by name.
fn configuration() -> Value {
    let mut compose = tool("docker-compose");
    let file = deploy().join("compose.yaml");
    compose.arg("--file").arg(file).args(["--profile", "*", "config", "--format", "json"]);
    for name in ["RAW_STORE", "ARF_STORE_URL", "SYNCMUX_VERSION"] {
        compose.env_remove(name);
    }
    serde_json::from_str(&succeed(&mut compose)).expect("JSON")
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn every_service_is_pinned_limited_watched_and_private() {
    let configuration = configuration();
    let services = configuration["services"].as_object().expect("services");
    let wanted = ["api", "collector", "grafana", "migrate", "postgres", "prometheus", "qdrant", "setup", "temporal"];
    let wanted: BTreeSet<_> = wanted.into_iter().chain(["vespa", "worker"]).collect();
    assert_eq!(names(&configuration["services"]), wanted);
    for (name, service) in services {
        let image = service["image"].as_str().expect("an image");
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.starts_with(|it: char| it.is_ascii_digit() || it == 'v'), "{name}: {image} has no version");
        assert!(service["deploy"]["resources"]["limits"]["memory"].is_string(), "{name} has no limit of memory");
        assert!(service["healthcheck"].is_object(), "{name} says nothing of its health");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is published to others: {port}");
        }
    }
    let observers = services.iter().filter(|(_, service)| service["profiles"][0] == "observe");
    assert_eq!(observers.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["grafana", "prometheus"]);
}

#[test]
fn no_secret_is_a_variable_and_every_file_is_mounted() {
    let configuration = configuration();
    let kept = names(&configuration["secrets"]);
    let telling = ["SECRET", "PASSWORD", "TOKEN", "_KEY", "DATABASE_URL"];
    for (name, service) in configuration["services"].as_object().expect("services") {
        let mounted: BTreeSet<_> =
            service["secrets"].as_array().into_iter().flatten().filter_map(|it| it["source"].as_str()).collect();
        assert!(mounted.is_subset(&kept), "{name} mounts {mounted:?}");
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            if variable.ends_with("_FILE") {
                let file = value.strip_prefix("/run/secrets/").unwrap_or_else(|| panic!("{variable}={value}"));
                assert!(mounted.contains(file), "{name} does not mount {value}");
            } else {
                assert!(!telling.iter().any(|word| variable.contains(word)), "{name} has a secret in {variable}");
            }
        }
    }
}

#[test]
fn ours_run_without_rights_and_stop_in_peace() {
    let configuration = configuration();
    for name in ["migrate", "setup", "worker", "api"] {
        let service = &configuration["services"][name];
        assert_eq!((&service["user"], &service["read_only"]), (&"65532:65532".into(), &true.into()), "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
        let command = service["command"][0].as_str().expect("a command");
        let help = succeed(Command::new(syncmux()).args([command, "--help"]));
        for (variable, _) in service["environment"].as_object().expect("variables") {
            // Temporal and OpenTelemetry have their own.
            if variable.starts_with("TEMPORAL_") || variable.starts_with("OTEL_") {
                continue;
            }
            // `setup` gets what all of them get.
            let known = help.contains(&format!("[env: {}", variable.trim_end_matches("_FILE")));
            assert!(known || (name == "setup" && variable == "DATABASE_URL_FILE"), "`{command}` has no {variable}");
        }
    }
    let worker = &configuration["services"]["worker"];
    let grace: u64 =
        worker["environment"]["SYNCMUX_GRACE_SECONDS"].as_str().and_then(|it| it.parse().ok()).expect("seconds");
    assert_eq!((grace, worker["stop_grace_period"].as_str()), (60, Some("1m30s")), "killed after it has handed over");
    for name in ["migrate", "setup"] {
        assert_eq!(worker["depends_on"][name]["condition"], "service_completed_successfully");
    }
}

#[test]
fn the_script_makes_every_secret_once() {
    let configuration = configuration();
    let folder = TempDir::new().expect("a folder can be made");
    let make = || succeed(Command::new("sh").arg(deploy().join("compose/make-secrets.sh")).arg(folder.path()));
    make();
    let content = || {
        let files = std::fs::read_dir(folder.path()).expect("a folder").map(|it| it.expect("an entry").path());
        let read =
            files.map(|it| (it.file_name().expect("a name").to_owned(), std::fs::read_to_string(&it).expect("text")));
        read.collect::<std::collections::BTreeMap<_, _>>()
    };
    let first = content();
    let made: BTreeSet<_> = first.keys().map(|name| name.to_str().expect("a name")).collect();
    assert_eq!(made, names(&configuration["secrets"]));
    let of = |name: &str| first[std::ffi::OsStr::new(name)].trim().to_owned();
    CredentialReader::new(Some(&of("encryption-key").into())).expect("a Fernet key");
    assert!(of("database-url").contains(&of("postgres-password")), "one password");
    assert!(of("qdrant-config").contains(&of("qdrant-api-key")), "one key");
    make();
    assert!(content() == first, "what is there stays");
}
