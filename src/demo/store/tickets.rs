//! Work to be done: issues of Jira and Linear, tasks of Asana.

use activities::json::Value;
use chrono::Duration;

use super::dice::Dice;
use super::draft::{Draft, instant};
use super::prose;
use super::python_json::{count, object, text};

/// An issue of the operations or hardware projects.
pub(super) fn jira_issue(dice: &mut Dice, number: usize) -> Draft {
    let topic = prose::topic(dice);
    let (project, project_name) = [("OPS", "Operations"), ("TIDE", "Tideline"), ("PROBE", "Probes")][dice.below(3)];
    let summary = prose::subject(dice, topic);
    let paragraphs = dice.between(1, 4);
    let mut description = prose::text(dice, topic, paragraphs);
    if dice.chance(35) {
        description.push_str("\n\nAcceptance:\n");
        description.push_str(&prose::list(dice, topic));
    }
    let created = dice.moment();
    let updated = dice.later(created, 45);
    let (id, key) = ((10_000 + number).to_string(), format!("{project}-{number}"));
    let link = format!("https://northwind.atlassian.net/browse/{key}");
    Draft {
        class: "JiraIssueEntity",
        module: "jira",
        id: id.clone(),
        name: summary.clone(),
        created: Some(created),
        updated: Some(updated),
        breadcrumbs: vec![(format!("project-{project}"), project_name.to_owned(), "JiraProjectEntity")],
        file: None,
        fields: vec![
            ("issue_id", text(&id)),
            ("issue_key", text(&key)),
            ("summary", text(&summary)),
            ("description", text(&description)),
            ("status", text(dice.pick(&["To Do", "In Progress", "In Review", "Done", "Won't Do"]))),
            ("issue_type", text(dice.pick(&["Bug", "Task", "Story", "Incident"]))),
            ("project_key", text(project)),
            ("created_time", instant(created)),
            ("updated_time", instant(updated)),
            ("web_url_value", text(&link)),
            ("web_url", text(&link)),
        ],
    }
}

/// An issue of the app team.
pub(super) fn linear_issue(dice: &mut Dice, number: usize) -> Draft {
    let topic = prose::topic(dice);
    let title = prose::subject(dice, topic);
    let paragraphs = dice.between(1, 3);
    let description = prose::text(dice, topic, paragraphs);
    let created = dice.moment();
    let updated = dice.later(created, 30);
    let (id, identifier) = (dice.uuid().to_string(), format!("APP-{number}"));
    let due = (updated + Duration::days(14)).format("%Y-%m-%d").to_string();
    let link = format!("https://linear.app/northwind/issue/{identifier}");
    Draft {
        class: "LinearIssueEntity",
        module: "linear",
        id: id.clone(),
        name: title.clone(),
        created: Some(created),
        updated: Some(updated),
        breadcrumbs: vec![("team-app".to_owned(), "App & API".to_owned(), "LinearTeamEntity")],
        file: None,
        fields: vec![
            ("issue_id", text(&id)),
            ("identifier", text(&identifier)),
            ("title", text(&title)),
            ("created_time", instant(created)),
            ("updated_time", instant(updated)),
            ("description", text(&description)),
            ("priority", count(dice.below(5))),
            ("state", text(dice.pick(&["Backlog", "Todo", "In Progress", "Done"]))),
            ("completed_at", Value::Null),
            ("due_date", if dice.chance(40) { text(&due) } else { Value::Null }),
            ("team_id", text("team-app")),
            ("team_name", text("App & API")),
            ("project_id", Value::Null),
            ("project_name", text(topic.title)),
            ("assignee", text(prose::person(dice).0)),
            ("web_url_value", text(&link)),
            ("web_url", text(&link)),
        ],
    }
}

/// A task outside of engineering.
pub(super) fn asana_task(dice: &mut Dice, number: usize) -> Draft {
    let topic = prose::topic(dice);
    let name = prose::subject(dice, topic);
    let sentences = dice.between(2, 6);
    let notes = prose::paragraph(dice, topic, sentences);
    let created = dice.moment();
    let modified = dice.later(created, 30);
    let gid = format!("12{number:014}");
    let (assignee, mailbox) = prose::person(dice);
    let completed = dice.chance(40);
    let link = format!("https://app.asana.com/0/{}/{gid}", topic.key);
    let person = object([("gid", text(mailbox)), ("name", text(assignee)), ("email", Value::Null)]);
    let none = || Value::Array(vec![]);
    Draft {
        class: "AsanaTaskEntity",
        module: "asana",
        id: gid.clone(),
        name,
        created: Some(created),
        updated: Some(modified),
        breadcrumbs: vec![
            ("1200".to_owned(), "Northwind".to_owned(), "AsanaWorkspaceEntity"),
            (format!("project-{}", topic.key), topic.title.to_owned(), "AsanaProjectEntity"),
        ],
        file: None,
        fields: vec![
            ("gid", text(&gid)),
            ("modified_at", instant(modified)),
            ("project_gid", text(&format!("project-{}", topic.key))),
            ("section_gid", Value::Null),
            ("actual_time_minutes", Value::Null),
            ("approval_status", Value::Null),
            ("assignee", person.clone()),
            ("assignee_status", text("inbox")),
            ("completed", Value::Bool(completed)),
            ("completed_at", if completed { instant(modified) } else { Value::Null }),
            ("completed_by", if completed { person } else { Value::Null }),
            ("dependencies", none()),
            ("dependents", none()),
            ("due_at", Value::Null),
            ("due_on", text(&(modified + Duration::days(7)).format("%Y-%m-%d").to_string())),
            ("external", Value::Null),
            ("html_notes", Value::Null),
            ("notes", text(&notes)),
            ("is_rendered_as_separator", Value::Bool(false)),
            ("liked", Value::Bool(false)),
            ("memberships", none()),
            ("num_likes", count(0)),
            ("num_subtasks", count(0)),
            ("parent", Value::Null),
            ("permalink_url", text(&link)),
            ("resource_subtype", text("default_task")),
            ("start_at", Value::Null),
            ("start_on", Value::Null),
            ("tags", Value::Array(vec![object([("gid", text(topic.key)), ("name", text(topic.title))])])),
            ("custom_fields", none()),
            ("followers", none()),
            ("workspace", Value::Null),
            ("web_url", text(&link)),
        ],
    }
}
