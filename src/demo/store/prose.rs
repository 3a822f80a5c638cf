//! Sentences become messages, paragraphs and pages.

use chrono::Datelike as _;

use super::company::{CUSTOMERS, PEOPLE, PROBES, REGIONS, SERVICES};
use super::dice::Dice;
use super::topics::{ASIDES, TOPICS, Topic};

/// A topic, at random.
pub(super) fn topic(dice: &mut Dice) -> &'static Topic {
    dice.pick(&TOPICS)
}

/// A headline.
pub(super) fn subject(dice: &mut Dice, topic: &Topic) -> String {
    let template = dice.pick(topic.subjects);
    fill(dice, template)
}

/// `count` sentences of a topic as one paragraph, now and then with an aside in another language.
pub(super) fn paragraph(dice: &mut Dice, topic: &Topic, count: usize) -> String {
    let mut deck = dice.shuffled(topic.sentences);
    deck.truncate(count);
    let mut sentences: Vec<String> = deck.into_iter().map(|template| fill(dice, template)).collect();
    if dice.chance(12) {
        sentences.push(dice.pick(&ASIDES).to_owned());
    }
    sentences.join(" ")
}

/// Several paragraphs of a topic, with an empty line between them.
pub(super) fn text(dice: &mut Dice, topic: &Topic, paragraphs: usize) -> String {
    let parts: Vec<String> = (0..paragraphs).map(|_| sized_paragraph(dice, topic)).collect();
    parts.join("\n\n")
}

/// A page with headings, lists and `sections` sections; every section after the first may turn to another topic.
pub(super) fn page(dice: &mut Dice, topic: &'static Topic, sections: usize) -> String {
    const HEADINGS: [&str; 12] = [
        "Background",
        "What we know",
        "Decision",
        "How it works",
        "Step by step",
        "Numbers",
        "Who does what",
        "Open questions",
        "What we tried",
        "Risks",
        "Next steps",
        "Further reading",
    ];
    let mut page = text(dice, topic, 1);
    let headings = dice.shuffled(&HEADINGS);
    for section in 0..sections {
        let subject = if section == 0 || dice.chance(60) { topic } else { self::topic(dice) };
        let heading = headings[section % headings.len()];
        page.push_str(&format!("\n\n## {heading}: {}\n\n", subject.title.to_lowercase()));
        page.push_str(&text(dice, subject, 2));
        if dice.chance(40) {
            page.push_str("\n\n");
            page.push_str(&list(dice, subject));
        }
    }
    page
}

/// A bulleted list of sentences.
pub(super) fn list(dice: &mut Dice, topic: &Topic) -> String {
    let items: Vec<String> = (0..dice.between(3, 6)).map(|_| format!("- {}", paragraph(dice, topic, 1))).collect();
    items.join("\n")
}

/// Somebody of the company.
pub(super) fn person(dice: &mut Dice) -> (&'static str, &'static str) {
    PEOPLE[dice.below(PEOPLE.len())]
}

/// A customer and its domain.
pub(super) fn customer(dice: &mut Dice) -> (&'static str, &'static str) {
    CUSTOMERS[dice.below(CUSTOMERS.len())]
}

fn sized_paragraph(dice: &mut Dice, topic: &Topic) -> String {
    let count = dice.between(3, 6);
    paragraph(dice, topic, count)
}

/// Fills the blanks of a template.
fn fill(dice: &mut Dice, template: &str) -> String {
    let mut filled = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (blank, after) = after.split_once('}').expect("every template closes its braces, which a test checks");
        filled.push_str(before);
        filled.push_str(&blank_value(dice, blank));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn blank_value(dice: &mut Dice, blank: &str) -> String {
    match blank {
        "customer" => customer(dice).0.to_owned(),
        "person" => person(dice).0.to_owned(),
        "service" => dice.pick(&SERVICES).to_owned(),
        "probe" => dice.pick(&PROBES).to_owned(),
        "region" => dice.pick(&REGIONS).to_owned(),
        "n" => dice.between(11, 59).to_string(),
        "big" => format!("{},{:03}", dice.between(2, 90), dice.below(1000)),
        "version" => format!("{}.{}", dice.between(3, 5), dice.below(20)),
        "ticket" => format!("{}-{}", dice.pick(&["OPS", "TIDE", "PROBE"]), dice.between(100, 999)),
        "date" => {
            let moment = dice.moment();
            format!("{} {}", moment.day(), moment.format("%B"))
        }
        unknown => unreachable!("no template has a blank {unknown:?}, which a test checks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_of_every_template_can_be_filled() {
        let mut dice = Dice::new(1, 1);
        for template in TOPICS.iter().flat_map(|topic| topic.subjects.iter().chain(topic.sentences)) {
            let filled = fill(&mut dice, template);
            assert!(!filled.contains(['{', '}']), "{template}");
        }
    }

    #[test]
    fn long_pages_are_long() {
        let mut dice = Dice::new(1, 2);
        let page = page(&mut dice, TOPICS[0], 10);
        assert!(page.split_whitespace().count() > 1500, "{} words", page.split_whitespace().count());
    }
}
