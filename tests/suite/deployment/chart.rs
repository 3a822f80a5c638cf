//! `deploy/helm/sync-multiplexer`: what Helm makes of it, against the schemas of Kubernetes and what it promises.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::syncmux;
use rstest::rstest;
use serde_json::Value;
use sync_multiplexer::stack::find_dev_dir;

use super::{deploy, documents, succeed, tool};

/// The oldest version that the chart is for, and the newest.
const VERSIONS: [&str; 2] = ["v1.30.0", "v1.37.0"];

fn helm(arguments: &[&str], values: &str) -> Command {
    let mut helm = tool("helm");
    let chart = deploy().join("helm/sync-multiplexer");
    let values = chart.join("ci").join(values);
    helm.args(arguments).arg(chart).arg("--values").arg(values);
    helm
}

fn render(values: &str) -> Vec<Value> {
    documents(&succeed(&mut helm(&["template", "release", "--kube-version", "v1.30.0"], values)))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|it| it["kind"] == kind).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("a name")
}

/// The templates of pods, with whom they belong to.
fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    let pods = objects.iter().filter(|it| it["spec"]["template"]["spec"].is_object());
    pods.map(|it| (name(it), &it["spec"]["template"])).collect()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

#[rstest]
#[case::least("least.yaml", &[])]
#[case::everything("everything.yaml", &["keda.sh/v1alpha1 ScaledObject", "monitoring.coreos.com/v1 ServiceMonitor"])]
fn what_is_rendered_is_what_kubernetes_takes(#[case] values: &str, #[case] without_schema: &[&str]) {
    succeed(&mut helm(&["lint", "--strict"], values));
    let objects = serde_json::to_vec(&render(values)).expect("JSON");
    let kubernetes = find_dev_dir().expect("a checkout").join("kubernetes");
    for version in VERSIONS {
        let mut validate = Command::new("python3")
            .args(["-W", "ignore", "-c", include_str!("kubernetes.py")])
            .arg(kubernetes.join(version))
            .env("PYTHONPATH", &kubernetes)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        validate.stdin.take().expect("a pipe").write_all(&objects).expect("it listens");
        let output = validate.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{version}:\n{said}");
        let unknown: BTreeSet<_> = said.lines().filter_map(|line| line.strip_prefix("no schema: ")).collect();
        assert_eq!(unknown, without_schema.iter().copied().collect(), "{version}");
    }
}

#[rstest]
#[case::least("least.yaml")]
#[case::everything("everything.yaml")]
fn pods_have_no_rights_and_no_secret_but_files(#[case] values: &str) {
    let objects = render(values);
    assert!(of_kind(&objects, "Secret").is_empty(), "secrets are made by others");
    let pods = pods(&objects);
    assert_eq!(pods.len(), 3, "worker, API and migration");
    for (owner, pod) in pods {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{owner}");
        let security = &spec["securityContext"];
        assert_eq!((&security["runAsNonRoot"], &security["runAsUser"]), (&true.into(), &65532.into()), "{owner}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{owner}");
        let mounted: BTreeSet<_> = spec["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|volume| volume["secret"].is_object())
            .flat_map(|volume| volume["secret"]["items"].as_array().expect("named keys"))
            .map(|item| format!("/run/secrets/sync-multiplexer/{}", item["path"].as_str().expect("a path")))
            .collect();
        for container in containers(pod) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{owner}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{owner}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{owner}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{owner}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{owner}");
            secrets_are_files(owner, container, &mounted);
        }
    }
}

/// Every variable is one that the command knows, and none holds a secret.
fn secrets_are_files(owner: &str, container: &Value, mounted: &BTreeSet<String>) {
    let command = container["args"][0].as_str().expect("a command");
    let help = succeed(Command::new(syncmux()).args([command, "--help"]));
    let telling = ["SECRET", "PASSWORD", "TOKEN", "_KEY", "DATABASE_URL"];
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().expect("a name");
        let value = variable["value"].as_str().unwrap_or_default();
        if let Some(secret) = name.strip_suffix("_FILE") {
            assert!(mounted.contains(value), "{owner} does not mount {value}");
            assert!(help.contains(&format!("[env: {secret}")), "`{command}` has no {secret}");
        } else if name == "TEMPORAL_API_KEY" {
            assert!(variable["valueFrom"]["secretKeyRef"].is_object(), "{owner}");
        } else {
            assert!(!telling.iter().any(|word| name.contains(word)), "{owner} has a secret in {name}");
            let others = name.starts_with("TEMPORAL_") || name.starts_with("OTEL_") || name.starts_with("AWS_");
            assert!(others || help.contains(&format!("[env: {name}")), "`{command}` has no {name}");
        }
    }
}

#[rstest]
#[case::least("least.yaml", 60)]
#[case::everything("everything.yaml", 240)]
fn a_worker_has_time_to_hand_over_before_it_is_killed(#[case] values: &str, #[case] grace: u64) {
    let objects = render(values);
    let (_, worker) = pods(&objects).into_iter().find(|(owner, _)| owner.ends_with("-worker")).expect("a worker");
    let variables = worker["spec"]["containers"][0]["env"].as_array().expect("variables");
    let given = variables.iter().find(|it| it["name"] == "SYNCMUX_GRACE_SECONDS").expect("a grace period");
    assert_eq!(given["value"], grace.to_string());
    assert_eq!(worker["spec"]["terminationGracePeriodSeconds"], grace + 30);
}

#[rstest]
#[case::least("least.yaml")]
#[case::everything("everything.yaml")]
fn whatever_selects_pods_selects_some(#[case] values: &str) {
    let objects = render(values);
    let pods = pods(&objects);
    let selected = |selector: &Value| {
        let wanted = selector.as_object().expect("labels");
        let fits = |pod: &Value| wanted.iter().all(|(label, value)| pod["metadata"]["labels"][label] == *value);
        pods.iter().filter(|(_, pod)| fits(pod)).map(|(owner, _)| *owner).collect::<Vec<_>>()
    };
    for (kind, path) in [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ] {
        let objects = of_kind(&objects, kind);
        assert!(objects.len() >= 2, "{kind}");
        for object in objects {
            let selector = object.pointer(path).unwrap_or_else(|| panic!("{kind} without {path}"));
            assert_eq!(selected(selector), [name(object)], "{kind} {}", name(object));
        }
    }
    for service in of_kind(&objects, "Service") {
        let pod = pods.iter().find(|(owner, _)| *owner == name(service)).expect("its pods").1;
        let ports: Vec<_> = containers(pod).flat_map(|it| it["ports"].as_array().expect("ports")).collect();
        for port in service["spec"]["ports"].as_array().expect("ports") {
            assert!(ports.iter().any(|it| it["name"] == port["targetPort"]), "{}: {port}", name(service));
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let asked = &pod["spec"]["containers"][0][probe]["httpGet"];
            assert!(ports.iter().any(|it| it["name"] == asked["port"]), "{}: {asked}", name(service));
        }
    }
}

#[test]
fn migrations_come_first_and_autoscaling_replaces_a_number() {
    let objects = render("everything.yaml");
    let [job] = of_kind(&objects, "Job")[..] else { panic!("one job") };
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    let commands: Vec<_> = containers(&job["spec"]["template"]).map(|it| it["args"][0].clone()).collect();
    assert_eq!(commands, ["migrate", "setup"]);
    // Nothing that the release itself brings is there yet.
    assert!(job["spec"]["template"]["spec"]["serviceAccountName"].is_null());

    let [scaled] = of_kind(&objects, "ScaledObject")[..] else { panic!("one scaled object") };
    let worker = of_kind(&objects, "Deployment").into_iter().find(|it| name(it).ends_with("-worker")).expect("workers");
    assert_eq!(scaled["spec"]["scaleTargetRef"]["name"], name(worker));
    assert!(worker["spec"]["replicas"].is_null(), "two would decide how many there are");
    let trigger = &scaled["spec"]["triggers"][0];
    assert_eq!((&trigger["type"], &trigger["metadata"]["taskQueue"]), (&"temporal".into(), &"another-queue".into()));
    let [monitor] = of_kind(&objects, "ServiceMonitor")[..] else { panic!("one monitor") };
    assert_eq!(monitor["spec"]["endpoints"].as_array().map(Vec::len), Some(2));
    assert_eq!(of_kind(&render("least.yaml"), "Deployment")[1]["spec"]["replicas"], 2);
}

#[rstest]
#[case::misspelt("worker.replcas=3", "replcas")]
#[case::no_store("settings.rawStoreUrl=/raw", "rawStoreUrl")]
#[case::no_secret("secrets.existingSecret=", "existingSecret")]
#[case::no_time("worker.graceSeconds=5", "graceSeconds")]
#[case::secret_in_values("secrets.worker.database-password=x", "database-password")]
#[case::no_limit("worker.resources.limits=null", "resources")]
fn values_that_cannot_work_are_refused(#[case] set: &str, #[case] words: &str) {
    let output = helm(&["template", "release", "--set", set], "least.yaml").output().expect("helm runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{set}: {said}");
}
