//! The image: how it is made, and that its program runs with its files alone.
//!
//! No daemon builds it here. Its last stage is copies into a base that holds glibc, certificates and a user; so the
//! program as it is built here, with the libraries that it is linked with and nothing else, shows whether those are
//! enough.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{World, required_env, syncmux, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use tempfile::TempDir;
use walkdir::WalkDir;

use super::{deploy, read, succeed, tool};

/// What `gcr.io/distroless/cc-debian12` has of libraries: glibc and libgcc.
const LIBRARIES_OF_THE_BASE: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2"];

/// The user of the image.
const USER: u32 = 65532;

#[test]
fn the_containerfile_is_clean_and_ends_without_root() {
    succeed(tool("hadolint").arg("--failure-threshold=style").arg(deploy().join("Containerfile")));
    let text = read("Containerfile");
    let stages: Vec<_> = text.split("\nFROM ").collect();
    let last = stages.last().expect("a stage");
    assert!(!last.contains("\nRUN "), "the last stage is copies alone: its base has no shell");
    assert!(last.contains(&format!("\nUSER {USER}:{USER}\n")), "Kubernetes has to see that it is not root");
    for line in text.lines().filter(|line| line.starts_with("ARG ") || line.starts_with("ENV ")) {
        let telling = ["SECRET", "PASSWORD", "TOKEN", "KEY", "DATABASE_URL"];
        assert!(!telling.iter().any(|word| line.contains(word)), "{line} would stay in a layer");
    }
    let health = last.lines().find(|line| line.starts_with("HEALTHCHECK ")).expect("a health check");
    let (_, command) = health.split_once(" CMD ").expect("a command");
    let command: Vec<String> = serde_json::from_str(command).expect("without a shell");
    assert_eq!(command[0], "/usr/local/bin/syncmux");
    succeed(Command::new(syncmux()).args(&command[1..]).arg("--help"));
    let context = read("Containerfile.dockerignore");
    assert!(context.lines().any(|line| line == "*"), "nothing is sent but what is named");
    assert!(!context.contains("!deploy\n") && !context.contains("secrets"), "no secrets are sent");
}

/// A root with the image's files: the program, its libraries, certificates, the model; and a raw store, as if mounted.
struct Root {
    folder: TempDir,
}

impl Root {
    fn new(world: &World) -> Self {
        // Beside the program, so that it can be linked instead of copied.
        let folder = TempDir::new_in(syncmux().parent().expect("a folder")).expect("a folder can be made");
        let root = Self { folder };
        root.put(&syncmux(), "/usr/local/bin/syncmux");
        for library in libraries() {
            root.put(&library, library.to_str().expect("a path"));
        }
        root.put(Path::new("/etc/ssl/certs/ca-certificates.crt"), "/etc/ssl/certs/ca-certificates.crt");
        for file in fs::read_dir(required_env("SYNCMUX_MODEL_DIR")).expect("a model") {
            let file = file.expect("a file").path();
            let name = file.file_name().and_then(|it| it.to_str()).expect("a name");
            root.put(&file, &format!("/usr/local/share/syncmux/model/{name}"));
        }
        for file in WalkDir::new(world.store_root().join("raw")).into_iter().filter_map(Result::ok) {
            if file.file_type().is_file() {
                let place = file.path().strip_prefix(world.store_root()).expect("in it");
                root.put(file.path(), &format!("/{}", place.display()));
            }
        }
        fs::create_dir(root.folder.path().join("proc")).expect("ours");
        for folder in WalkDir::new(root.folder.path()).into_iter().filter_map(Result::ok) {
            if folder.file_type().is_dir() {
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("ours");
            }
        }
        root
    }

    fn put(&self, file: &Path, place: &str) {
        let target = self.folder.path().join(place.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("a folder")).expect("ours");
        let file = file.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if fs::hard_link(&file, &target).is_err() {
            fs::copy(&file, &target).expect("it can be copied");
        }
    }

    /// The image's program as the image's user, who sees nothing but this root and is alone in it: process 1, as in a
    /// container.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--root"]).arg(self.folder.path());
        if getuid().is_root() {
            command.arg(format!("--setgid={USER}")).arg(format!("--setuid={USER}"));
        } else {
            command.arg("--user").arg(format!("--map-user={USER}")).arg(format!("--map-group={USER}"));
        }
        command.arg("/usr/local/bin/syncmux").args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SYNCMUX_MODEL_DIR", "/usr/local/share/syncmux/model").env("SYNCMUX_LOG", "info");
        command
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        WalkDir::new(self.folder.path()).into_iter().map(|it| it.expect("readable").into_path()).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for folder in WalkDir::new(self.folder.path()).into_iter().filter_map(Result::ok) {
            if folder.file_type().is_dir() {
                // So that it can be removed.
                let _ = fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755));
            }
        }
    }
}

/// What the program is linked with, as paths.
fn libraries() -> Vec<PathBuf> {
    let listed = succeed(Command::new("ldd").arg(syncmux()));
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", and the loader alone; the kernel's own has no path.
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

#[test]
fn the_program_is_linked_with_nothing_that_the_base_lacks() {
    for library in libraries() {
        let name = library.file_name().and_then(|it| it.to_str()).expect("a name").to_owned();
        let loader = name.starts_with("ld-linux");
        assert!(loader || LIBRARIES_OF_THE_BASE.contains(&name.as_str()), "{name} is not in the image's base");
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_works_with_the_images_files_alone() {
    let world = World::new().await;
    let root = Root::new(&world);
    let before = root.files();
    assert!(succeed(&mut root.command(&["--version"])).starts_with("syncmux "));

    let settings = |command: &mut Command| {
        command
            .env("DATABASE_URL", &world.database_url)
            .env("ENCRYPTION_KEY", encryption_key(&world))
            .env("ARF_STORE_URL", "file:///")
            .env("SYNCMUX_TASK_QUEUE", &world.task_queue)
            .env("TEMPORAL_ADDRESS", &world.temporal_address);
    };
    for arguments in [&["migrate"][..], &["setup"]] {
        let mut command = root.command(arguments);
        settings(&mut command);
        succeed(&mut command);
    }
    let log = world.store_root().join("image.log");
    let mut worker = root.command(&["worker", "--grace-seconds", "5"]);
    settings(&mut worker);
    let file = fs::File::create(&log).expect("a file");
    let worker = worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("it starts");
    let mut worker = Running(worker);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    until("the worker is up, or ends", Duration::from_secs(60), async || {
        ["worker up", "syncmux: ", "panicked"].iter().any(|word| said().contains(word))
    })
    .await;
    assert!(said().contains("worker up"), "it ended: {}", said());
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    assert_eq!((result.entities, result.dead_letter_count), (60, 0));

    kill(child_of(worker.0.id()), Signal::SIGTERM).expect("our own child");
    assert!(worker.0.wait().expect("our own child").success(), "{}", said());
    assert!(root.files() == before, "it wrote into a root that is read-only");
    world.done().await;
}

/// The one process that another started.
fn child_of(parent: u32) -> Pid {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("it runs");
    Pid::from_raw(children.trim().parse().unwrap_or_else(|_| panic!("one child: {children:?}")))
}

fn encryption_key(world: &World) -> String {
    let command = world.command();
    let value = command.get_envs().find(|(name, _)| *name == "ENCRYPTION_KEY").and_then(|(_, value)| value);
    value.and_then(|value| value.to_str()).expect("the world has a key").to_owned()
}
