//! What engineers write: code files and pull requests on GitHub.

use activities::json::Value;

use super::dice::Dice;
use super::draft::{Draft, FileDraft, instant};
use super::prose;
use super::python_json::{count, text, texts};
use super::source_code::{self, Language};

const OWNER: &str = "northwind";
const REPOSITORIES: [&str; 4] = ["tideline", "probe-firmware", "gateway", "tools"];

/// A code file.
pub(super) fn code_file(dice: &mut Dice, number: usize) -> Draft {
    let topic = prose::topic(dice);
    let repository = dice.pick(&REPOSITORIES);
    let language = Language::ALL[dice.below(Language::ALL.len())];
    let code = source_code::file(dice, topic, language);
    let name = format!("{}_{number}.{}", topic.key, language.extension());
    let path = format!("src/{}/{name}", topic.key);
    let (full_path, directory) = (format!("{OWNER}/{repository}/{path}"), format!("src/{}", topic.key));
    let link = format!("https://github.com/{OWNER}/{repository}/blob/main/{path}");
    Draft {
        class: "GitHubCodeFileEntity",
        module: "github",
        id: full_path.clone(),
        name: name.clone(),
        created: None,
        updated: None,
        breadcrumbs: vec![
            (format!("{OWNER}/{repository}"), format!("{OWNER}/{repository}"), "GitHubRepositoryEntity"),
            (format!("{OWNER}/{repository}/{directory}"), directory, "GitHubDirectoryEntity"),
        ],
        fields: vec![
            ("repo_name", text(repository)),
            ("path_in_repo", text(&path)),
            ("repo_owner", text(OWNER)),
            ("language", text(language.name())),
            ("commit_id", text(&dice.hex(40))),
            ("full_path", text(&full_path)),
            ("branch", text("main")),
            ("sha", text(&dice.hex(40))),
            ("line_count", count(code.lines().count())),
            ("is_binary", Value::Bool(false)),
            ("html_url", text(&link)),
            ("web_url", text(&link)),
        ],
        file: Some(FileDraft {
            url: format!("https://raw.githubusercontent.com/{OWNER}/{repository}/main/{path}"),
            file_type: "code",
            mime_type: language.mime_type(),
            name,
            bytes: code.into_bytes(),
        }),
    }
}

/// A pull request.
pub(super) fn pull_request(dice: &mut Dice, number: usize) -> Draft {
    let topic = prose::topic(dice);
    let repository = dice.pick(&REPOSITORIES);
    let title = prose::subject(dice, topic);
    let paragraphs = dice.between(1, 3);
    let body = format!("{}\n\n{}", prose::text(dice, topic, paragraphs), prose::list(dice, topic));
    let created = dice.moment();
    let updated = dice.later(created, 10);
    let id = format!("{OWNER}/{repository}/pull/{number}");
    let merged = dice.chance(60);
    let link = format!("https://github.com/{id}");
    Draft {
        class: "GitHubPullRequestEntity",
        module: "github",
        id: id.clone(),
        name: title.clone(),
        created: Some(created),
        updated: Some(updated),
        breadcrumbs: vec![(format!("{OWNER}/{repository}"), format!("{OWNER}/{repository}"), "GitHubRepositoryEntity")],
        file: None,
        fields: vec![
            ("pr_id", text(&id)),
            ("title", text(&title)),
            ("body", text(&body)),
            ("number", count(number)),
            ("state", text(if merged { "closed" } else { "open" })),
            ("author", text(prose::person(dice).0)),
            ("labels", texts(&[topic.key])),
            ("assignees", texts::<&str>(&[])),
            ("reviewers", texts(&[prose::person(dice).0])),
            ("base_branch", text("main")),
            ("head_branch", text(&format!("{}/{number}", topic.key))),
            ("additions", count(dice.between(1, 800))),
            ("deletions", count(dice.below(300))),
            ("changed_files", count(dice.between(1, 30))),
            ("changed_files_list", Value::Null),
            ("merge_commit_sha", if merged { text(&dice.hex(40)) } else { Value::Null }),
            ("created_time", instant(created)),
            ("updated_time", instant(updated)),
            ("merged_at", if merged { instant(updated) } else { Value::Null }),
            ("repo_name", text(repository)),
            ("repo_owner", text(OWNER)),
            ("web_url_value", text(&link)),
            ("web_url", text(&link)),
        ],
    }
}
