//! Source code: the text unchanged, because indentation and line ends are part of it.

use super::utf8;

/// The code as it is; `None` when there is nothing but white space.
pub(super) fn convert(bytes: &[u8]) -> Option<String> {
    let text = utf8::decode_ignoring_errors(bytes);
    (!utf8::strip(&text).is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"\n\tdef f():\r\n\t\treturn 1\n\n", Some("\n\tdef f():\r\n\t\treturn 1\n\n"))]
    #[case(b"// caf\xe9\nint x;", Some("// caf\nint x;"))]
    #[case(b"\n\n  \n", None)]
    fn nothing_is_stripped(#[case] bytes: &[u8], #[case] expected: Option<&str>) {
        assert_eq!(convert(bytes).as_deref(), expected);
    }
}
