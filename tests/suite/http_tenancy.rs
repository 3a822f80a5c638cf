//! With another organisation's ids nothing is found, nothing changes and nothing is told: every route that the API describes, and
//! every command that works for an organisation. Both are walked as they describe themselves, so a new one is walked too.

use clap::{Arg, Command, CommandFactory as _};
use harness::{Api, World};
use reqwest::Method;
use serde_json::{Value, json};
use sync_multiplexer::cli::Cli;
use sync_multiplexer::temporal;
use uuid::Uuid;

/// What a stranger knows of the world's organisation.
struct Known {
    sync: Uuid,
    collection: Uuid,
    slot: Uuid,
    operation: Uuid,
    connection: Uuid,
    profile: String,
}

impl Known {
    async fn of(world: &World) -> Self {
        let first = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
        world.switch(&world.switch_request(&first.slot_id)).await.expect("it can be promoted");
        let second = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("the fork completes");
        let profile = world.store_root().join("strange.toml");
        std::fs::write(&profile, "name = \"strange\"\npgvector = {}\n").expect("writable");
        Self {
            sync: world.ids.sync_id,
            collection: world.ids.collection_id,
            slot: second.slot_id.parse().expect("an id"),
            operation: second.operation_id.parse().expect("an id"),
            connection: world.ids.connection_v1,
            profile: profile.to_string_lossy().into_owned(),
        }
    }

    /// A path of the description with the ids in it.
    fn path(&self, template: &str) -> String {
        [
            ("{sync_id}", self.sync),
            ("{collection_id}", self.collection),
            ("{slot_id}", self.slot),
            ("{operation_id}", self.operation),
        ]
        .into_iter()
        .fold(template.to_owned(), |path, (name, id)| path.replace(name, &id.to_string()))
    }

    /// A field of a body that must be there.
    fn field(&self, name: &str) -> Value {
        match name {
            "destination_connection_id" => json!(self.connection),
            "reason" => json!("curiosity"),
            "lanes" => json!(1),
            other => panic!("this test has no value for the field {other}: give it one"),
        }
    }

    /// A value for an argument that must be there, or that names something.
    fn argument(&self, id: &str) -> Option<String> {
        Some(match id {
            "sync" => self.sync.to_string(),
            "collection" => self.collection.to_string(),
            "to" | "slot" => self.slot.to_string(),
            "operation" => self.operation.to_string(),
            "destination" | "connection" => self.connection.to_string(),
            "profile" => self.profile.clone(),
            "reason" | "question" => "curiosity".to_owned(),
            "entities_per_second" => "1".to_owned(),
            _ => return None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_finds_nothing_over_http_or_by_command() {
    let world = World::new().await;
    let worker = world.worker();
    let known = Known::of(&world).await;
    // The follow would go on writing how slots stand.
    temporal::terminate_all(&world.client, &world.task_queue).await.expect("the follow can be ended");
    let stranger = world.stranger().await;
    world.enable(stranger).await;
    let key = world.api_key(stranger, "1 day").await;
    let api = world.api(&["--answer-wait-seconds", "0"]).await;

    let before = world.every_row().await;
    let walked = walk_routes(&api, &world, &known, &key).await;
    assert!(walked >= 25, "only {walked} routes were walked");
    assert_eq!(world.every_row().await, before, "no route changed anything");

    let walked = walk_commands(&world, &known, stranger).await;
    assert!(walked >= 10, "only {walked} commands were walked");
    assert_eq!(world.every_row().await, before, "no command changed anything");
    drop((api, worker));
    world.done().await;
}

async fn walk_routes(api: &Api, world: &World, known: &Known, key: &str) -> usize {
    let openapi = api.send(api.request(Method::GET, "/openapi.json", &[])).await.expect(200);
    let mut walked = 0;
    for (template, item) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let path = known.path(template);
            assert!(!path.contains('{'), "this test has no value for an id in {template}: give it one");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let mut request = api.request(method.clone(), &path, &[("x-api-key", key)]);
            if let Some(body) = operation.get("requestBody") {
                request = request.json(&body_for(&openapi, body, known));
            }
            let reply = api.send(request).await;
            let unknown = api.send(api.request(method.clone(), &path, &[])).await;
            let _ = unknown.refusal(401, "Unauthorized");
            if template != "/operations" {
                assert!(
                    matches!(reply.status, 403 | 404),
                    "{method} {path} was answered {}: {}",
                    reply.status,
                    reply.text
                );
            } else {
                // A list without an id is of the caller's own: empty.
                assert_eq!(reply.expect(200)["items"], json!([]), "{method} {path}");
                for filter in [format!("sync_id={}", known.sync), format!("collection_id={}", known.collection)] {
                    let reply =
                        api.send(api.request(method.clone(), &format!("{path}?{filter}"), &[("x-api-key", key)]));
                    let _ = reply.await.refusal(404, "NotFound");
                }
            }
            assert_no_leak(world, &reply.text);
            walked += 1;
        }
    }
    walked
}

/// The body with every field that must be there.
fn body_for(openapi: &Value, body: &Value, known: &Known) -> Value {
    let schema = &body["content"]["application/json"]["schema"];
    let named = schema["$ref"].as_str().or_else(|| {
        schema["oneOf"].as_array().and_then(|options| options.iter().find_map(|option| option["$ref"].as_str()))
    });
    let name = named.and_then(|it| it.rsplit('/').next()).unwrap_or_else(|| panic!("a body of its own: {schema}"));
    let mut required: Vec<String> =
        serde_json::from_value(openapi["components"]["schemas"][name]["required"].clone()).unwrap_or_default();
    // Without it nothing gets as far as the ids.
    if openapi["components"]["schemas"][name]["properties"].get("reason").is_some() {
        required.push("reason".to_owned());
    }
    let mut fields: serde_json::Map<_, _> =
        required.into_iter().map(|field| (field.clone(), known.field(&field))).collect();
    if openapi["components"]["schemas"][name]["properties"].get("profile").is_some() {
        fields.insert("profile".to_owned(), json!({ "pgvector": {} }));
    }
    Value::Object(fields)
}

async fn walk_commands(world: &World, known: &Known, stranger: Uuid) -> usize {
    let mut walked = 0;
    for (words, command) in commands(&[], &Cli::command()) {
        let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
        if !has("organization") {
            continue;
        }
        for about in ABOUT.into_iter().filter(|about| has(about)) {
            let arguments = arguments(&command, known, about);
            let mut run = world.command();
            run.env("SYNCMUX_ORGANIZATION_ID", stranger.to_string()).args(&words).args(&arguments);
            let output = tokio::task::spawn_blocking(move || run.output()).await.expect("it runs").expect("it runs");
            let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
            let code = output.status.code().expect("it ends by itself");
            let refused = match words[0].as_str() {
                // It only begins the follow, which then finds nothing.
                "follow" => code == 0,
                // It says of everything whether it is well, and what is not there is not.
                "doctor" => code == 10 && said.contains("does not exist"),
                _ => matches!(code, 3 | 4),
            };
            assert!(refused, "{words:?} {arguments:?} exited with {code}: {said}");
            assert_no_leak(world, &said);
            walked += 1;
        }
    }
    walked
}

/// What a command may be about: one of them at a time.
const ABOUT: [&str; 4] = ["sync", "collection", "operation", "connection"];

/// Every command that does something, with the words that call it.
fn commands(words: &[String], command: &Command) -> Vec<(Vec<String>, Command)> {
    let below = |command: &Command| {
        let words: Vec<_> = words.iter().cloned().chain([command.get_name().to_owned()]).collect();
        if command.has_subcommands() { commands(&words, command) } else { vec![(words, command.clone())] }
    };
    command.get_subcommands().flat_map(below).collect()
}

/// The arguments of a command that is about one thing of the world.
fn arguments(command: &Command, known: &Known, about: &str) -> Vec<String> {
    let wanted = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        let fits = match id {
            "to" => about != "collection",
            "slot" | "profile" | "reason" | "question" => true,
            // A throttle without a limit is none.
            "entities_per_second" => true,
            _ => argument.is_required_set(),
        };
        id == about || fits && !ABOUT.contains(&id) && id != "organization" && !id.contains("database_url")
    };
    let mut given = Vec::new();
    for argument in command.get_arguments().filter(wanted) {
        let id = argument.get_id().as_str();
        let Some(value) = known.argument(id) else {
            // What is required and set by the environment is no id of anybody's.
            assert!(argument.get_env().is_some(), "this test has no value for {id} of {command}: give it one");
            continue;
        };
        given.extend(argument.get_long().map(|long| format!("--{long}")));
        given.push(value);
    }
    given
}

/// Nothing of the world's organisation that the stranger did not know is said.
fn assert_no_leak(world: &World, said: &str) {
    for secret in ["Vectors v", "Company", "Northwind", "company-knowledge", &world.ids.organization_id.to_string()] {
        assert!(!said.contains(secret), "{secret:?} was told: {said}");
    }
}
