//! What people keep: Notion pages and files on Google Drive.

use activities::json::Value;

use super::company::{PROBES, REGIONS};
use super::dice::Dice;
use super::draft::{Draft, FileDraft, instant};
use super::html;
use super::prose;
use super::python_json::{count, from_entries, object, text, texts};

/// A page of the wiki. One in five is long.
pub(super) fn notion_page(dice: &mut Dice) -> Draft {
    let topic = prose::topic(dice);
    let title = prose::subject(dice, topic);
    let created = dice.moment();
    let updated = dice.later(created, 60);
    let long = dice.chance(20);
    let content = if long {
        let sections = dice.between(10, 14);
        prose::page(dice, topic, sections)
    } else {
        let paragraphs = dice.between(2, 5);
        prose::text(dice, topic, paragraphs)
    };
    let (status, owner) = (dice.pick(&["Draft", "In review", "Current", "Archive"]), prose::person(dice).0);
    let page_id = dice.uuid().to_string();
    let url = format!("https://www.notion.so/northwind/{}", page_id.replace('-', ""));
    let icon = dice.pick(&["📘", "🧭", "🛠", "🌊", "🔒"]);
    Draft {
        class: "NotionPageEntity",
        module: "notion",
        id: page_id.clone(),
        name: title.clone(),
        created: Some(created),
        updated: Some(updated),
        breadcrumbs: vec![
            ("northwind-wiki".to_owned(), "Northwind — Wiki".to_owned(), "NotionWorkspaceEntity"),
            (format!("database-{}", topic.key), topic.title.to_owned(), "NotionDatabaseEntity"),
        ],
        file: None,
        fields: vec![
            ("page_id", text(&page_id)),
            ("parent_id", text(&format!("database-{}", topic.key))),
            ("parent_type", text("database_id")),
            ("title", text(&title)),
            ("created_time", instant(created)),
            ("updated_time", instant(updated)),
            ("content", text(&content)),
            (
                "properties",
                object([
                    ("Status", object([("select", object([("name", text(status))]))])),
                    ("Owner", text(owner)),
                    ("Tags", Value::Array(vec![object([("name", text(topic.key))])])),
                ]),
            ),
            ("properties_text", text(&format!("Status: {status} | Owner: {owner} | Tags: {}", topic.key))),
            ("property_entities", Value::Array(vec![])),
            ("files", Value::Array(vec![])),
            ("icon", object([("type", text("emoji")), ("emoji", text(icon))])),
            ("cover", Value::Null),
            ("archived", Value::Bool(status == "Archive")),
            ("in_trash", Value::Bool(false)),
            ("url", text(&url)),
            ("content_blocks_count", count(content.split("\n\n").count())),
            ("max_depth", count(if long { 2 } else { 1 })),
            ("web_url", text(&url)),
        ],
    }
}

/// A file: Markdown, HTML, a table or plain text.
pub(super) fn drive_file(dice: &mut Dice) -> Draft {
    let topic = prose::topic(dice);
    let subject = prose::subject(dice, topic);
    let (extension, mime_type) = FORMATS[dice.below(FORMATS.len())];
    let sections = if dice.chance(15) { dice.between(8, 12) } else { dice.between(1, 3) };
    let bytes = match extension {
        "csv" => readings(dice).into_bytes(),
        "html" => html::document(&subject, &prose::page(dice, topic, sections)).into_bytes(),
        "md" => format!("# {subject}\n\n{}\n", prose::page(dice, topic, sections)).into_bytes(),
        _ => format!("{}\n", prose::text(dice, topic, sections + 1)).into_bytes(),
    };
    let title = format!("{subject}.{extension}");
    let (created, (owner, _)) = (dice.moment(), prose::person(dice));
    let modified = dice.later(created, 90);
    let id = format!("1{}", dice.token(32));
    let link = format!("https://drive.google.com/file/d/{id}/view");
    let description = if dice.chance(30) { text(&prose::paragraph(dice, topic, 1)) } else { Value::Null };
    Draft {
        class: "GoogleDriveFileEntity",
        module: "google_drive",
        id: id.clone(),
        name: title.clone(),
        created: Some(created),
        updated: Some(modified),
        breadcrumbs: vec![("drive-company".to_owned(), "Shared — Company".to_owned(), "GoogleDriveDriveEntity")],
        fields: vec![
            ("file_id", text(&id)),
            ("title", text(&title)),
            ("created_time", instant(created)),
            ("modified_time", instant(modified)),
            ("description", description),
            ("starred", Value::Bool(dice.chance(5))),
            ("trashed", Value::Bool(false)),
            ("explicitly_trashed", Value::Bool(false)),
            ("parents", texts(&[format!("folder-{}", topic.key)])),
            ("owners", Value::Array(vec![object([("displayName", text(owner)), ("me", Value::Bool(false))])])),
            ("shared", Value::Bool(true)),
            ("web_view_link", text(&link)),
            ("icon_link", Value::Null),
            ("md5_checksum", text(&dice.hex(32))),
            ("shared_with_me_time", Value::Null),
            ("modified_by_me_time", Value::Null),
            ("viewed_by_me_time", Value::Null),
            ("web_url", text(&link)),
        ],
        file: Some(FileDraft {
            url: format!("https://www.googleapis.com/drive/v3/files/{id}?alt=media"),
            file_type: "google_drive",
            mime_type,
            name: title,
            bytes,
        }),
    }
}

/// A contact of a customer.
pub(super) fn hubspot_contact(dice: &mut Dice) -> Draft {
    const FIRST: [&str; 12] =
        ["Ingrid", "Paulo", "Keiko", "Marek", "Aoife", "Chidi", "Renée", "Lars", "Noor", "Mateo", "Hana", "Søren"];
    const LAST: [&str; 12] = [
        "Bergström",
        "Ferreira",
        "Mori",
        "Nowak",
        "Byrne",
        "Eze",
        "Dubois",
        "Petersen",
        "Haddad",
        "García",
        "Kim",
        "Holm",
    ];
    let (first, last) = (dice.pick(&FIRST), dice.pick(&LAST));
    let (customer, domain) = prose::customer(dice);
    let created = dice.moment();
    let updated = dice.later(created, 120);
    let topic = prose::topic(dice);
    let id = format!("{}", dice.roll() % 90_000_000_000 + 10_000_000_000);
    let email = format!("{}.{}@{domain}", first.to_lowercase(), last.to_lowercase());
    let mut properties = vec![
        ("company", text(customer)),
        ("lifecyclestage", text(dice.pick(&["lead", "opportunity", "customer", "evangelist"]))),
        ("jobtitle", text(dice.pick(&["Head of operations", "Plant manager", "Procurement", "Lab technician"]))),
    ];
    if dice.chance(60) {
        properties.push(("notes", text(&prose::paragraph(dice, topic, 2))));
    }
    Draft {
        class: "HubspotContactEntity",
        module: "hubspot",
        id: id.clone(),
        name: format!("{first} {last}"),
        created: Some(created),
        updated: Some(updated),
        breadcrumbs: vec![],
        file: None,
        fields: vec![
            ("contact_id", text(&id)),
            ("display_name", text(&format!("{first} {last}"))),
            ("created_time", instant(created)),
            ("updated_time", instant(updated)),
            ("first_name", text(first)),
            ("last_name", text(last)),
            ("email", text(&email)),
            ("properties", from_entries(properties)),
            ("archived", Value::Bool(false)),
            ("web_url_value", Value::Null),
            ("web_url", text("")),
        ],
    }
}

const FORMATS: [(&str, &str); 4] =
    [("md", "text/markdown"), ("html", "text/html"), ("csv", "text/csv"), ("txt", "text/plain")];

/// A table of measurements.
fn readings(dice: &mut Dice) -> String {
    let mut table = String::from("measured_at,site,probe,region,turbidity_ntu,temperature_c,quality\n");
    let site = prose::customer(dice).0;
    for _ in 0..dice.between(8, 40) {
        table.push_str(&format!(
            "{},{site},{},{},{}.{:02},{}.{},{}\n",
            dice.moment().format("%Y-%m-%dT%H:%M:%SZ"),
            dice.pick(&PROBES),
            dice.pick(&REGIONS),
            dice.below(9),
            dice.below(100),
            dice.between(4, 27),
            dice.below(10),
            dice.pick(&["good", "good", "good", "doubtful", "estimated"]),
        ));
    }
    table
}
