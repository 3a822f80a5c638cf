//! Small programs in several languages, with comments that say what they are about.

use super::dice::Dice;
use super::prose;
use super::topics::Topic;

/// A programming language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// `.py`
    Python,
    /// `.rs`
    Rust,
    /// `.ts`
    TypeScript,
    /// `.go`
    Go,
}

impl Language {
    /// Every language.
    pub(super) const ALL: [Self; 4] = [Self::Python, Self::Rust, Self::TypeScript, Self::Go];

    /// As GitHub calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Rust => "Rust",
            Self::TypeScript => "TypeScript",
            Self::Go => "Go",
        }
    }

    /// Without the dot.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::Rust => "rs",
            Self::TypeScript => "ts",
            Self::Go => "go",
        }
    }

    /// Media type.
    pub(super) fn mime_type(self) -> &'static str {
        match self {
            Self::Python => "text/x-python",
            Self::Rust => "text/x-rust",
            Self::TypeScript => "text/x-typescript",
            Self::Go => "text/x-go",
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Python => "#",
            Self::Rust | Self::TypeScript | Self::Go => "//",
        }
    }

    /// The start of a file.
    fn preamble(self, package: &str) -> String {
        match self {
            Self::Python => "from dataclasses import dataclass\n".to_owned(),
            Self::Rust => "use std::collections::BTreeMap;\n".to_owned(),
            Self::TypeScript => "import { Reading } from \"../reading\";\n".to_owned(),
            Self::Go => format!("package {package}\n\nimport \"errors\"\n"),
        }
    }

    /// A function called `verb`_`noun` in the language's own spelling.
    fn function(self, verb: &str, noun: &str, limit: usize) -> String {
        let (big_verb, big_noun) = (capitalised(verb), capitalised(noun));
        match self {
            Self::Python => format!(
                "@dataclass\nclass {big_noun}Window:\n    start: int\n    end: int\n\n\n\
                 def {verb}_{noun}(readings, window, limit={limit}):\n    kept = []\n    for reading in readings:\n        \
                 if not window.start <= reading.time < window.end:\n            continue\n        \
                 if reading.quality == \"missing\":\n            raise ValueError(f\"no value for {{reading.probe}}\")\n        \
                 kept.append(reading)\n        if len(kept) == limit:\n            break\n    return kept\n"
            ),
            Self::Rust => format!(
                "pub fn {verb}_{noun}(values: &BTreeMap<u64, f64>, from: u64, until: u64) -> Result<Vec<f64>, String> {{\n    \
                 let kept: Vec<f64> = values.range(from..until).map(|(_, value)| *value).take({limit}).collect();\n    \
                 if kept.iter().any(|value| value.is_nan()) {{\n        \
                 return Err(format!(\"a {noun} between {{from}} and {{until}} has no value\"));\n    }}\n    Ok(kept)\n}}\n"
            ),
            Self::TypeScript => format!(
                "export function {verb}{big_noun}(readings: Reading[], from: number, until: number): Reading[] {{\n  \
                 const kept = readings.filter((reading) => reading.time >= from && reading.time < until);\n  \
                 if (kept.length > {limit}) {{\n    \
                 throw new RangeError(`more than {limit} {noun} entries between ${{from}} and ${{until}}`);\n  }}\n  return kept;\n}}\n"
            ),
            Self::Go => format!(
                "// {big_verb}{big_noun} keeps what was measured in the window.\n\
                 func {big_verb}{big_noun}(values map[int64]float64, from, until int64) ([]float64, error) {{\n\t\
                 var kept []float64\n\tfor time, value := range values {{\n\t\tif time >= from && time < until {{\n\t\t\t\
                 kept = append(kept, value)\n\t\t}}\n\t}}\n\tif len(kept) > {limit} {{\n\t\t\
                 return nil, errors.New(\"too many {noun} entries\")\n\t}}\n\treturn kept, nil\n}}\n"
            ),
        }
    }
}

/// A file with a few functions about `topic`.
pub(super) fn file(dice: &mut Dice, topic: &Topic, language: Language) -> String {
    const VERBS: [&str; 8] = ["collect", "merge", "verify", "split", "retry", "round", "export", "replay"];
    const NOUNS: [&str; 8] = ["reading", "invoice", "probe", "window", "alert", "session", "batch", "report"];
    let functions = if dice.chance(15) { dice.between(6, 8) } else { dice.between(1, 4) };
    let (verbs, nouns) = (dice.shuffled(&VERBS), dice.shuffled(&NOUNS));
    let mut code = comment(language, &prose::paragraph(dice, topic, 2));
    code.push_str(&language.preamble(topic.key));
    for (verb, noun) in verbs.into_iter().zip(nouns).take(functions) {
        code.push('\n');
        code.push_str(&comment(language, &prose::paragraph(dice, topic, 1)));
        code.push_str(&language.function(verb, noun, dice.between(50, 5000)));
    }
    code
}

/// `text` as comment lines of moderate width.
fn comment(language: Language, text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + word.len() > 96) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{}{line}\n", language.comment())).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
