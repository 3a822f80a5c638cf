//! HTML as mail programs and office suites write it.

/// The body of a mail; `body` has its paragraphs separated by empty lines.
pub(super) fn mail(subject: &str, customer: &str, body: &str, sender: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{}</title>\
         <style>p {{ margin: 0 0 1em }}</style></head><body>\n<p>Dear colleagues at {},</p>\n{}\
         <p>Kind regards<br>{}<br><i>Northwind Instruments</i></p>\n</body></html>\n",
        escape(subject),
        escape(customer),
        paragraphs(body),
        escape(sender),
    )
}

/// A document from `page`, which knows headings (`## …`), lists (`- …`) and paragraphs.
pub(super) fn document(title: &str, page: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head><body>\n\
         <h1>{0}</h1>\n{1}</body></html>\n",
        escape(title),
        paragraphs(page),
    )
}

fn paragraphs(text: &str) -> String {
    let block = |block: &str| {
        if let Some(heading) = block.strip_prefix("## ") {
            format!("<h2>{}</h2>\n", escape(heading))
        } else if block.starts_with("- ") {
            let items: String =
                block.lines().map(|item| format!("<li>{}</li>", escape(item.trim_start_matches("- ")))).collect();
            format!("<ul>{items}</ul>\n")
        } else {
            format!("<p>{}</p>\n", escape(block))
        }
    };
    text.split("\n\n").map(block).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
