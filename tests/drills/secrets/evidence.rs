//! Everything that others can read of a run: histories, tables, logs, what commands print.

use std::process::{Command, Output};

use futures::StreamExt as _;
use harness::{World, progress};
use prost::Message as _;
use sqlx::AssertSqlSafe;
use temporalio_client::{
    NamespacedClient as _, WorkflowDescribeOptions, WorkflowExecutionInfo, WorkflowFetchHistoryOptions,
    WorkflowListOptions,
};

use super::known::Secrets;

/// Pieces by what they are.
#[derive(Default)]
pub(super) struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    /// Keeps a piece.
    pub(super) fn add(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((what.into(), bytes.into()));
    }

    /// Runs a command, and keeps what it prints.
    pub(super) fn add_command(&mut self, command: Command) -> Output {
        self.add_commands(vec![command]).remove(0)
    }

    /// Runs commands side by side, and keeps what they print.
    pub(super) fn add_commands(&mut self, commands: Vec<Command>) -> Vec<Output> {
        let running: Vec<_> = commands
            .into_iter()
            .map(|mut command| {
                // What else stands on the line is the caller's own.
                let name = command.get_args().next().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
                (name, std::thread::spawn(move || command.output().expect("the program runs")))
            })
            .collect();
        let ended = running.into_iter().map(|(name, running)| (name, running.join().expect("no panic")));
        ended
            .map(|(name, output)| {
                self.add(format!("the command {name}, its output"), output.stdout.clone());
                self.add(format!("the command {name}, its messages and logs"), output.stderr.clone());
                output
            })
            .collect()
    }

    /// Keeps histories, descriptions and progress of everything that ran on the world's queue. Returns how many there
    /// were.
    pub(super) async fn add_workflows(&mut self, world: &World) -> usize {
        let query = format!("TaskQueue = '{}'", world.task_queue);
        let listed: Vec<_> = world.client.list_workflows(query, WorkflowListOptions::default()).collect().await;
        let count = listed.len();
        for execution in listed {
            let execution = execution.expect("workflows can be listed");
            let id = execution.id().to_owned();
            let handle = WorkflowExecutionInfo::builder()
                .namespace(world.client.namespace())
                .workflow_id(&id)
                .run_id(execution.run_id().to_owned())
                .build()
                .bind_untyped(world.client.clone());
            let description = handle.describe(WorkflowDescribeOptions::default()).await.expect("it can be described");
            self.add(format!("the description of {id}"), description.raw_description.encode_to_vec());
            let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
            for event in history.into_events().await.expect("a history can be read") {
                self.add(format!("event {} of {id}", event.event_id), event.encode_to_vec());
            }
            if let Some(progress) = progress(&handle).await {
                self.add(format!("the progress of {id}"), serde_json::to_vec(&progress).expect("it can be written"));
            }
        }
        count
    }

    /// Keeps every row of our schemas.
    pub(super) async fn add_tables(&mut self, world: &World) {
        let pool = world.database.pool();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
             WHERE table_schema LIKE 'sync\\_multiplexer%' AND table_type = 'BASE TABLE'",
        )
        .fetch_all(pool)
        .await
        .expect("tables can be listed");
        for table in tables {
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT row::text FROM {table} AS row")))
                .fetch_all(pool)
                .await
                .expect("a table can be read");
            self.add(format!("the table {table}"), rows.join("\n"));
        }
    }

    /// How many bytes of what begins so.
    pub(super) fn bytes_of(&self, what: &str) -> usize {
        self.0.iter().filter(|(it, _)| it.starts_with(what)).map(|(_, bytes)| bytes.len()).sum()
    }

    /// What holds a secret.
    pub(super) fn leaks(&self, secrets: &Secrets) -> Vec<String> {
        let found = |(what, bytes): &(String, Vec<u8>)| {
            secrets.found_in(bytes).into_iter().map(|leak| format!("{what} holds {leak}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(found).collect()
    }
}
