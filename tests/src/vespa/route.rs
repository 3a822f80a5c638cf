//! Which operation a path and a method stand for.

use hyper::Method;

use super::document_id::{DocumentId, Location};
use super::reply::Refusal;
use super::target::Target;

/// The paths of `/document/v1`, as its 404 lists them.
const TEMPLATES: [&str; 7] = [
    "/document/v1/",
    "/document/v1/{namespace}/{documentType}/docid/",
    "/document/v1/{namespace}/{documentType}/group/{group}/",
    "/document/v1/{namespace}/{documentType}/number/{number}/",
    "/document/v1/{namespace}/{documentType}/docid/{*}",
    "/document/v1/{namespace}/{documentType}/group/{group}/{*}",
    "/document/v1/{namespace}/{documentType}/number/{number}/{*}",
];

/// Something with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Everything of every type.
    Root,
    /// The documents of one type in one namespace, or those of them in one place.
    Collection {
        /// Namespace of the ids.
        namespace: String,
        /// Document type.
        document_type: String,
        /// Where they lie.
        location: Option<Location>,
    },
    /// One document.
    Document(DocumentId),
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

/// Finds the resource of a path below `/document/v1`.
///
/// # Errors
/// 404 for any other path, 400 for an id that is none.
pub fn resource(target: &Target) -> Result<Resource, Refusal> {
    let segments: Vec<&str> = target.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["document", "v1"] => Ok(Resource::Root),
        ["document", "v1", namespace, document_type, "docid", user @ ..] => {
            one_or_all(namespace, document_type, None, user)
        }
        ["document", "v1", namespace, document_type, "group", group, user @ ..] => {
            one_or_all(namespace, document_type, Some(Location::Group((*group).to_owned())), user)
        }
        ["document", "v1", namespace, document_type, "number", number, user @ ..] => {
            let number = number.parse().map_err(|_| Refusal::bad(format!("'{number}' is not an unsigned number")))?;
            one_or_all(namespace, document_type, Some(Location::Number(number)), user)
        }
        _ => {
            let templates = TEMPLATES.join("\n");
            Err(Refusal::handler(404, format!("Nothing at '{}'. Available paths are:\n{templates}", target.path)))
        }
    }
}

fn one_or_all(
    namespace: &str,
    document_type: &str,
    location: Option<Location>,
    user: &[&str],
) -> Result<Resource, Refusal> {
    if user.is_empty() {
        let (namespace, document_type) = (namespace.to_owned(), document_type.to_owned());
        return Ok(Resource::Collection { namespace, document_type, location });
    }
    Ok(Resource::Document(DocumentId::new(namespace, document_type, location, user.join("/"))?))
}

/// The methods that a resource takes.
#[must_use]
pub fn methods(resource: &Resource) -> &'static [&'static str] {
    match resource {
        Resource::Root => &["GET", "POST", "DELETE"],
        _ => &["GET", "POST", "PUT", "DELETE"],
    }
}

/// Finds the verb of a method.
///
/// # Errors
/// 405 when the resource does not take it.
pub fn verb(method: &Method, resource: &Resource, path: &str) -> Result<Verb, Refusal> {
    let allowed = methods(resource);
    match method.as_str() {
        "GET" => Ok(Verb::Get),
        "POST" => Ok(Verb::Post),
        "DELETE" => Ok(Verb::Delete),
        "PUT" if allowed.contains(&"PUT") => Ok(Verb::Put),
        other => {
            let allowed = allowed.join(", ");
            Err(Refusal::handler(405, format!("'{other}' not allowed at '{path}'. Allowed methods are: {allowed}")))
        }
    }
}
