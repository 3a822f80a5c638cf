//! What people write to each other: Slack messages and mail.

use activities::json::Value;

use super::company::DOMAIN;
use super::dice::Dice;
use super::draft::{Draft, FileDraft, instant};
use super::html;
use super::prose;
use super::python_json::{optional, text, texts};

/// A message in the channel of its topic.
pub(super) fn slack_message(dice: &mut Dice) -> Draft {
    let topic = prose::topic(dice);
    let (author, mailbox) = prose::person(dice);
    let created = dice.moment();
    let sentences = if dice.chance(8) { dice.between(6, 10) } else { dice.between(1, 3) };
    let message = prose::paragraph(dice, topic, sentences);
    let channel = format!("team-{}", topic.key);
    let channel_id = format!("C0{}", topic.key.to_uppercase());
    let ts = format!("{}.{:06}", created.timestamp(), dice.below(1_000_000));
    let link = format!("https://northwind.slack.com/archives/{channel_id}/p{}", ts.replace('.', ""));
    Draft {
        class: "SlackMessageEntity",
        module: "slack",
        id: ts.clone(),
        name: message.clone(),
        created: Some(created),
        updated: None,
        breadcrumbs: vec![(channel_id.clone(), channel.clone(), "SlackChannelEntity")],
        file: None,
        fields: vec![
            ("text", text(&message)),
            ("user", text(&format!("U0{}", mailbox.to_uppercase()))),
            ("username", text(author)),
            ("ts", text(&ts)),
            ("channel_id", text(&channel_id)),
            ("channel_name", text(&channel)),
            ("channel_is_private", Value::Bool(false)),
            ("type", text("message")),
            ("permalink", text(&link)),
            ("team", text("T0NORTHWIND")),
            ("previous_message", Value::Null),
            ("next_message", Value::Null),
            ("score", Value::Null),
            ("iid", Value::Null),
            ("url", Value::Null),
            ("message_time", instant(created)),
            ("web_url_value", text(&link)),
            ("web_url", text(&link)),
        ],
    }
}

/// A mail whose body is an HTML file.
pub(super) fn gmail_message(dice: &mut Dice) -> Draft {
    let topic = prose::topic(dice);
    let (sender, mailbox) = prose::person(dice);
    let (customer, domain) = prose::customer(dice);
    let sent = dice.moment();
    let reply = dice.chance(30);
    let subject = format!("{}{}", if reply { "Re: " } else { "" }, prose::subject(dice, topic));
    let paragraphs = if dice.chance(10) { dice.between(6, 12) } else { dice.between(1, 4) };
    let body = prose::text(dice, topic, paragraphs);
    let snippet: String = body.chars().take(120).collect();
    let id = dice.hex(16);
    let to = format!("operations@{domain}");
    let copy: Vec<String> = (0..dice.below(3)).map(|_| format!("{}@{DOMAIN}", prose::person(dice).1)).collect();
    let labels: &[&str] = if dice.chance(30) { &["INBOX", "UNREAD"] } else { &["INBOX", "CATEGORY_UPDATES"] };
    let link = format!("https://mail.google.com/mail/u/0/#inbox/{id}");
    let html = html::mail(&subject, customer, &body, sender);
    Draft {
        class: "GmailMessageEntity",
        module: "gmail",
        id: format!("msg_{id}"),
        name: subject.clone(),
        created: Some(sent),
        updated: Some(sent),
        breadcrumbs: vec![(format!("thread_{id}"), subject.clone(), "GmailThreadEntity")],
        file: Some(FileDraft {
            url: link.clone(),
            file_type: "html",
            mime_type: "text/html",
            name: format!("{id}.html"),
            bytes: html.into_bytes(),
        }),
        fields: vec![
            ("message_key", text(&format!("msg_{id}"))),
            ("message_id", text(&id)),
            ("subject", text(&subject)),
            ("sent_at", instant(sent)),
            ("internal_timestamp", instant(sent)),
            ("thread_id", text(&id)),
            ("sender", text(&format!("{sender} <{mailbox}@{DOMAIN}>"))),
            ("to", texts(&[to])),
            ("cc", texts(&copy)),
            ("bcc", texts::<&str>(&[])),
            ("date", instant(sent)),
            ("snippet", optional(Some(&snippet))),
            ("label_ids", texts(labels)),
            ("internal_date", instant(sent)),
            ("web_url_value", text(&link)),
            ("web_url", text(&link)),
        ],
    }
}
