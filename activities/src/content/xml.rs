//! XML, indented by two spaces inside a Markdown fence.
//!
//! Entities are not expanded and nothing outside the file is read. Text that is not well-formed, or nested deeper than
//! [`limits::XML_DEPTH`], is fenced as it is.

use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::output::Output;
use super::{ContentError, Format, limits, utf8};

/// The fenced text; `None` for an empty file.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let text = utf8::decode_ignoring_errors(bytes);
    let text = utf8::strip(utf8::without_byte_order_mark(&text));
    if text.is_empty() {
        return Ok(None);
    }
    let indented = indent(text);
    let mut output = Output::new(Format::Xml);
    output.push("```xml\n")?;
    output.push(indented.as_deref().unwrap_or(text))?;
    output.push("\n```")?;
    Ok(output.finish())
}

/// The indented document, or `None` when `text` is not one well-formed XML document.
fn indent(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let (mut depth, mut has_root, mut after_reference) = (0_u64, false, false);
    loop {
        let event = reader.read_event().ok()?;
        match &event {
            Event::Start(_) | Event::Empty(_) if depth == 0 && has_root => return None,
            Event::Start(_) => {
                has_root = true;
                depth += 1;
                if depth > limits::XML_DEPTH {
                    return None;
                }
            }
            Event::Empty(_) => has_root = true,
            Event::End(_) => depth = depth.checked_sub(1)?,
            // White space between elements makes room for the indentation; after a reference it separates words.
            Event::Text(content) if !after_reference && content.xml10_content().trim().is_empty() => continue,
            Event::Text(content) if depth == 0 && content.xml10_content().trim().is_empty() => continue,
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if depth == 0 => return None,
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
        after_reference = matches!(event, Event::GeneralRef(_));
        let event = match event {
            // The writer gives a reference a line of its own, but not a text.
            Event::GeneralRef(name) => Event::Text(BytesText::from_escaped(format!("&{};", name.into_inner()))),
            other => other,
        };
        writer.write_event(event).ok()?;
    }
    (has_root && depth == 0).then(|| String::from_utf8(writer.into_inner()).ok())?
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "<?xml version=\"1.0\"?><a x=\"1\"><b>one &amp; two</b><c/><!-- note --></a>".as_bytes(),
        "```xml\n<?xml version=\"1.0\"?>\n<a x=\"1\">\n  <b>one &amp; two</b>\n  <c/>\n  <!-- note -->\n</a>\n```"
    )]
    #[case(b"<p>mixed <b>bold</b> text</p>", "```xml\n<p>mixed <b>bold</b> text</p>\n```")]
    #[case(b"<p>&lt;a&gt; &amp; b</p>", "```xml\n<p>&lt;a&gt; &amp; b</p>\n```")]
    #[case(b"<p><![CDATA[a <b>]]> c</p>", "```xml\n<p><![CDATA[a <b>]]> c</p>\n```")]
    #[case(b"<a><b></a>", "```xml\n<a><b></a>\n```")]
    #[case(b"<a><b>", "```xml\n<a><b>\n```")]
    #[case(b"no markup", "```xml\nno markup\n```")]
    #[case(b"<a/><b/>", "```xml\n<a/><b/>\n```")]
    #[case(b"<caf\xe9/>", "```xml\n<caf/>\n```")]
    fn xml_is_indented_and_anything_else_kept(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(convert(bytes).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = b"<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
        let text = convert(bomb).unwrap().unwrap();
        assert!(text.contains("<a>&y;</a>"), "{text}");
    }

    #[test]
    fn deep_nesting_is_kept_as_it_is() {
        let depth = usize::try_from(limits::XML_DEPTH).unwrap() + 1;
        let deep = format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(convert(deep.as_bytes()).unwrap(), Some(format!("```xml\n{deep}\n```")));
    }
}
