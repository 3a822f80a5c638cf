//! Python's `str.title()`.

/// Text in title case: a letter after anything that is no letter is capitalised, every other one lowered.
///
/// The mappings follow Unicode: `ǆ` becomes `ǅ`, `ß` becomes `Ss`, Georgian letters stay, and a final sigma is `ς`.
/// Letters that got their case after Unicode 15 follow this program's Unicode, not the platform's.
#[must_use]
pub fn title_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Lower case depends on context (final sigma), so it is taken from the text lowered as a whole.
    let lowered = text.to_lowercase();
    let mut lowered = lowered.chars();
    let mut after_letter = false;
    for character in text.chars() {
        let low: Vec<char> = lowered.by_ref().take(character.to_lowercase().count()).collect();
        if after_letter {
            out.extend(low);
        } else {
            push_title(&mut out, character);
        }
        after_letter = is_cased(character);
    }
    out
}

/// Unicode's `Cased`: upper, lower or title case.
fn is_cased(character: char) -> bool {
    character.is_lowercase() || character.is_uppercase() || is_title(character)
}

/// Unicode's general category Lt.
fn is_title(character: char) -> bool {
    matches!(character,
        'ǅ' | 'ǈ' | 'ǋ' | 'ǲ'
        | '\u{1F88}'..='\u{1F8F}' | '\u{1F98}'..='\u{1F9F}' | '\u{1FA8}'..='\u{1FAF}'
        | '\u{1FBC}' | '\u{1FCC}' | '\u{1FFC}')
}

/// Appends the title-case mapping of a character, which is its upper case but for the ones listed here.
fn push_title(out: &mut String, character: char) {
    match character {
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        // Georgian has capitals, but does not capitalise.
        '\u{10D0}'..='\u{10FA}' | '\u{10FD}'..='\u{10FF}' => out.push(character),
        _ if is_title(character) => out.push(character),
        // Greek with iota subscript, which upper case would write out.
        '\u{1F80}'..='\u{1FAF}' => out.extend(char::from_u32(u32::from(character) + 8)),
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => out.extend(char::from_u32(u32::from(character) + 9)),
        '\u{1FB2}' => out.push_str("\u{1FBA}\u{345}"),
        '\u{1FB4}' => out.push_str("\u{386}\u{345}"),
        '\u{1FB7}' => out.push_str("\u{391}\u{342}\u{345}"),
        '\u{1FC2}' => out.push_str("\u{1FCA}\u{345}"),
        '\u{1FC4}' => out.push_str("\u{389}\u{345}"),
        '\u{1FC7}' => out.push_str("\u{397}\u{342}\u{345}"),
        '\u{1FF2}' => out.push_str("\u{1FFA}\u{345}"),
        '\u{1FF4}' => out.push_str("\u{38F}\u{345}"),
        '\u{1FF7}' => out.push_str("\u{3A9}\u{342}\u{345}"),
        // One character that is several letters: only the first of them is capital.
        'ß' | 'և' | '\u{FB00}'..='\u{FB06}' | '\u{FB13}'..='\u{FB17}' => {
            let mut upper = character.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
        _ => out.extend(character.to_uppercase()),
    }
}

#[cfg(test)]
mod tests;
