//! One XML part as a tree, bounded in depth and in number of nodes.
//!
//! Namespace prefixes of element names are dropped: within one Office part the local names that matter are unique.
//! Attributes keep their written name, because there both `id` and `r:id` occur on one element.

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::super::{ContentError, Format, limits};

/// An element with what is inside it.
#[derive(Debug, Default)]
pub(in super::super) struct Element {
    /// Name without prefix.
    pub name: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Element(Element),
    Text(Box<str>),
}

impl Element {
    /// Value of the attribute with this local name; one without a prefix is preferred.
    pub(in super::super) fn attribute(&self, name: &str) -> Option<&str> {
        let exact = self.attributes.iter().find(|(key, _)| &**key == name);
        exact.map_or_else(|| self.prefixed_attribute(name), |(_, value)| Some(value))
    }

    /// Value of the attribute with this local name and some prefix, such as `r:id`.
    pub(in super::super) fn prefixed_attribute(&self, name: &str) -> Option<&str> {
        let matches = |key: &str| key.split_once(':').is_some_and(|(_, local)| local == name);
        self.attributes.iter().find(|(key, _)| matches(key)).map(|(_, value)| &**value)
    }

    /// Elements directly inside.
    pub(in super::super) fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// First element of this name directly inside.
    pub(in super::super) fn child(&self, name: &str) -> Option<&Element> {
        self.children().find(|element| &*element.name == name)
    }

    /// The element reached by following `names` from child to child.
    pub(in super::super) fn descend(&self, names: &[&str]) -> Option<&Element> {
        names.iter().try_fold(self, |element, name| element.child(name))
    }

    /// Text directly inside.
    pub(in super::super) fn text(&self) -> String {
        self.nodes
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(&**text),
                Node::Element(_) => None,
            })
            .collect()
    }
}

/// The root element of `xml`.
pub(in super::super) fn parse(xml: &str, format: Format) -> Result<Element, ContentError> {
    let xml = xml.strip_prefix('\u{feff}').unwrap_or(xml);
    let mut reader = Reader::from_str(xml);
    // The first element of the stack stands for the document and collects the root.
    let mut open = vec![Element::default()];
    let mut nodes = 0_u64;
    loop {
        let event = reader.read_event().map_err(|error| ContentError::malformed(format, error))?;
        nodes += 1;
        if nodes > limits::XML_NODES {
            return Err(ContentError::TooLarge { format, what: "XML nodes", limit: limits::XML_NODES });
        }
        match event {
            Event::Start(tag) => {
                if open.len() as u64 > limits::XML_DEPTH {
                    return Err(ContentError::TooLarge {
                        format,
                        what: "nested XML elements",
                        limit: limits::XML_DEPTH,
                    });
                }
                open.push(element(&tag, format)?);
            }
            Event::Empty(tag) => append(&mut open, Node::Element(element(&tag, format)?)),
            Event::End(_) => {
                let closed = open.pop().filter(|_| !open.is_empty());
                let closed = closed.ok_or_else(|| ContentError::malformed(format, "XML ends an element twice"))?;
                append(&mut open, Node::Element(closed));
            }
            Event::Text(text) => append(&mut open, Node::Text(text.xml10_content().into())),
            Event::CData(text) => append(&mut open, Node::Text(text.xml10_content().into())),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| ContentError::malformed(format, error))?;
                let name = reference.into_inner();
                let text = match (character, resolve_predefined_entity(&name)) {
                    (Some(character), _) => character.to_string(),
                    (None, Some(text)) => text.to_owned(),
                    (None, None) => format!("&{name};"),
                };
                append(&mut open, Node::Text(text.into()));
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(document), true) => document
            .nodes
            .into_iter()
            .find_map(|node| match node {
                Node::Element(root) => Some(root),
                Node::Text(_) => None,
            })
            .ok_or_else(|| ContentError::malformed(format, "XML without an element")),
        _ => Err(ContentError::malformed(format, "XML ends inside an element")),
    }
}

fn append(open: &mut [Element], node: Node) {
    if let Some(parent) = open.last_mut() {
        parent.nodes.push(node);
    }
}

fn element(tag: &BytesStart<'_>, format: Format) -> Result<Element, ContentError> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| ContentError::malformed(format, error))?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| ContentError::malformed(format, error))?;
        attributes.push((attribute.key.as_ref().into(), value.into()));
    }
    Ok(Element { name: tag.local_name().as_ref().into(), attributes, nodes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn holds_names_attributes_and_text() {
        let xml = "\u{feff}<?xml version=\"1.0\"?><w:a r:id=\"r1\" id=\"7\"><w:b>x &amp; &#233;<![CDATA[<z>]]></w:b><c/></w:a>";
        let root = parse(xml, Format::Docx).unwrap();
        assert_eq!(&*root.name, "a");
        assert_eq!(root.attribute("id"), Some("7"));
        assert_eq!(root.prefixed_attribute("id"), Some("r1"));
        assert_eq!(root.descend(&["b"]).unwrap().text(), "x & \u{e9}<z>");
        assert_eq!(root.children().count(), 2);
        assert!(root.descend(&["b", "c"]).is_none());
    }

    #[rstest]
    #[case("")]
    #[case("words")]
    #[case("<a>")]
    #[case("<a></b>")]
    #[case("</a>")]
    #[case("<a x=1/>")]
    #[case("<a>&#xd800;</a>")]
    fn broken_xml_is_an_error(#[case] xml: &str) {
        assert!(matches!(parse(xml, Format::Docx), Err(ContentError::Malformed { .. })), "{xml}");
    }

    #[test]
    fn depth_is_bounded() {
        let depth = usize::try_from(limits::XML_DEPTH).unwrap();
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(&nested(depth), Format::Docx).is_ok());
        let error = parse(&nested(depth + 1), Format::Docx).unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { what: "nested XML elements", .. }), "{error}");
    }

    #[test]
    fn nodes_are_bounded() {
        let many = format!("<a>{}</a>", "<b/>".repeat(usize::try_from(limits::XML_NODES).unwrap()));
        let error = parse(&many, Format::Docx).unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { what: "XML nodes", .. }), "{error}");
    }
}
