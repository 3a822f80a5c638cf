use flate2::Compression;
use flate2::write::ZlibEncoder;
use rstest::rstest;
use std::io::Write as _;

use super::*;

/// Made with reportlab 5.1.0; see `samples/make.py`. The first page draws a form.
const SAMPLE: &[u8] = include_bytes!("../samples/sample.pdf");
/// A page with a black rectangle only, as a scanned page has a picture only.
const SCAN: &[u8] = include_bytes!("../samples/scan.pdf");
/// Needs the password "secret".
const LOCKED: &[u8] = include_bytes!("../samples/locked.pdf");

fn helvetica() -> Dictionary {
    dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" }
}

/// A one-page document with this content; `resources` may refer to objects that `build` adds.
fn document(content: &str, build: impl FnOnce(&mut Document) -> Dictionary) -> Document {
    let mut document = Document::with_version("1.5");
    let resources = build(&mut document);
    let content = document.add_object(Stream::new(Dictionary::new(), content.as_bytes().to_vec()));
    let tree = document.new_object_id();
    let page = document.add_object(dictionary! {
        "Type" => "Page",
        "Parent" => tree,
        "Contents" => content,
        "Resources" => resources,
    });
    let kids = vec![Object::Reference(page)];
    document.objects.insert(tree, dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => 1 }.into());
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    document.trailer.set("Root", catalog);
    document
}

fn bytes(mut document: Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

fn with_helvetica(_: &mut Document) -> Dictionary {
    dictionary! { "Font" => dictionary! { "F1" => helvetica() } }
}

#[test]
fn a_text_layer_becomes_text() {
    let expected = "Quarterly report\n\nSales grew by 12 % in the caf\u{e9} business.\nNothing else changed.\n\n\
        Approved stamp\n\nSecond page";
    assert_eq!(convert(SAMPLE).unwrap().as_deref(), Some(expected));
}

#[test]
fn a_scan_has_no_text_layer() {
    assert_eq!(convert(SCAN), Err(ContentError::NoTextLayer { format: Format::Pdf }));
}

#[test]
fn a_password_is_named() {
    assert_eq!(convert(LOCKED), Err(ContentError::PasswordProtected { format: Format::Pdf }));
}

#[test]
fn a_cut_file_is_malformed() {
    for length in [0, 9, SAMPLE.len() / 2] {
        let result = convert(&SAMPLE[..length]);
        assert!(matches!(result, Err(ContentError::Malformed { .. })), "{length}: {result:?}");
    }
}

#[rstest]
#[case("BT /F1 12 Tf 12 TL 72 700 Td (one) Tj (two) ' 1 0 (three) \" ET", "one\ntwo\nthree")]
#[case("BT /F1 12 Tf 72 700 Td [(spl) -20 (it)] TJ ET", "split")]
// Colours, pictures in the content and wrong operands do not matter to text.
#[case("/Pattern cs /P1 scn 1 2 cm q BT /F1 12 Tf 72 700 Td (kept) Tj 7 Tj ET Q Q Q", "kept")]
#[case("BI /W 1 /H 1 /BPC 8 /CS /DeviceGray ID x EI BT /F1 12 Tf 72 700 Td (after a picture) Tj ET", "after a picture")]
fn operators_that_show_text(#[case] content: &str, #[case] expected: &str) {
    assert_eq!(convert(&bytes(document(content, with_helvetica))).unwrap().as_deref(), Some(expected));
}

#[rstest]
#[case("BT /F2 12 Tf (lost) Tj ET", "a page shows text with a font that it does not define")]
#[case("BT (lost) Tj ET", "a page shows text with a font that it does not define")]
#[case("BT /F1 12 Tf (lost) Tj ET (unfinished", "the content of a page breaks off")]
fn text_that_cannot_be_read_is_never_passed_over(#[case] content: &str, #[case] reason: &str) {
    assert_eq!(convert(&bytes(document(content, with_helvetica))), Err(malformed(reason)));
}

#[test]
fn text_without_a_mapping_to_characters_is_an_error() {
    let document = document("BT /F1 12 Tf <00410042> Tj ET", |_| {
        let descendant = dictionary! {
            "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "Subset", "DW" => 1000,
            "FontDescriptor" => dictionary! { "Type" => "FontDescriptor", "FontName" => "Subset" },
            "CIDSystemInfo" => dictionary! {
                "Registry" => Object::string_literal("Adobe"),
                "Ordering" => Object::string_literal("Identity"),
                "Supplement" => 0,
            },
        };
        let font = dictionary! {
            "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "Subset", "Encoding" => "Identity-H",
            "DescendantFonts" => vec![descendant.into()],
        };
        dictionary! { "Font" => dictionary! { "F1" => font } }
    });
    assert_eq!(convert(&bytes(document)), Err(malformed("its fonts do not say which characters they draw")));
}

#[test]
fn a_font_name_means_another_font_inside_a_form() {
    let symbols = dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => dictionary! {
            "Type" => "Encoding",
            "Differences" => vec![97.into(), Object::Name(b"alpha".to_vec()), Object::Name(b"beta".to_vec())],
        },
    };
    let content = "BT /F1 12 Tf 72 700 Td (ab) Tj ET 1 0 0 1 72 600 cm /X1 Do BT /F1 12 Tf 0 -50 Td (ab) Tj ET";
    let document = document(content, |document| {
        let form = Stream::new(
            dictionary! {
                "Type" => "XObject", "Subtype" => "Form",
                "Resources" => dictionary! { "Font" => dictionary! { "F1" => symbols } },
            },
            b"BT /F1 12 Tf (ab) Tj ET Q Q".to_vec(),
        );
        let form = document.add_object(form);
        dictionary! {
            "Font" => dictionary! { "F1" => helvetica() },
            "XObject" => dictionary! { "X1" => form },
        }
    });
    let text = convert(&bytes(document)).unwrap().unwrap();
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["ab", "\u{3b1}\u{3b2}", "ab"]);
}

/// A form drawn `count` times by itself.
fn drawn_by_itself(count: usize) -> Document {
    document("/X1 Do", |document| {
        let id = document.new_object_id();
        let form = Stream::new(
            dictionary! {
                "Type" => "XObject", "Subtype" => "Form",
                "Resources" => dictionary! { "XObject" => dictionary! { "X1" => id } },
            },
            "/X1 Do ".repeat(count).into_bytes(),
        );
        document.objects.insert(id, form.into());
        dictionary! { "XObject" => dictionary! { "X1" => id } }
    })
}

#[test]
fn a_form_that_draws_itself_is_refused() {
    let result = convert(&bytes(drawn_by_itself(1)));
    assert!(matches!(result, Err(ContentError::TooLarge { what: "forms inside each other", .. })), "{result:?}");
}

#[test]
fn work_is_bounded_although_forms_multiply() {
    let document = document("/A Do /A Do /A Do", |document| {
        let mut inner = document.add_object(Stream::new(dictionary! { "Subtype" => "Form" }, b"q Q".to_vec()));
        for _ in 0..10 {
            inner = document.add_object(Stream::new(
                dictionary! {
                    "Subtype" => "Form",
                    "Resources" => dictionary! { "XObject" => dictionary! { "A" => inner } },
                },
                b"/A Do /A Do /A Do /A Do".to_vec(),
            ));
        }
        dictionary! { "XObject" => dictionary! { "A" => inner } }
    });
    let page = document.page_iter().next().unwrap();
    let error = page_text::of(&document, page, &mut Work::of(1_000, u64::MAX)).err();
    assert!(matches!(error, Some(ContentError::TooLarge { what: "drawing operations", .. })), "{error:?}");
    let error = page_text::of(&document, page, &mut Work::of(u64::MAX, 1_000)).err();
    assert!(matches!(error, Some(ContentError::TooLarge { what: "bytes of content drawn", .. })), "{error:?}");
}

#[test]
fn a_page_that_is_not_found_is_an_error() {
    let mut document = document("BT /F1 12 Tf (first) Tj ET", with_helvetica);
    let tree = document.catalog().unwrap().get(b"Pages").and_then(Object::as_reference).unwrap();
    document.get_object_mut(tree).and_then(Object::as_dict_mut).unwrap().set("Count", 2);
    assert_eq!(convert(&bytes(document)), Err(malformed("some of its pages cannot be found")));
}

#[test]
fn a_page_tree_that_is_a_circle_ends() {
    let mut circle = document("BT ET", with_helvetica);
    let tree = circle.catalog().unwrap().get(b"Pages").and_then(Object::as_reference).unwrap();
    circle.get_object_mut(tree).and_then(Object::as_dict_mut).unwrap().set("Parent", tree);
    let page = circle.page_iter().next().unwrap();
    circle.get_object_mut(page).and_then(Object::as_dict_mut).unwrap().remove(b"Resources");
    assert_eq!(convert(&bytes(circle)), Err(ContentError::NoTextLayer { format: Format::Pdf }));
}

fn deflated(size: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b' '; size]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn streams_are_measured_before_they_are_unpacked() {
    let packed = Stream::new(dictionary! { "Filter" => "FlateDecode" }, deflated(100_000));
    assert!(packed.content.len() < 2_000, "{}", packed.content.len());
    assert_eq!(stream_guard::stream_size(&packed, 100_000), Ok(100_000));
    let error = stream_guard::stream_size(&packed, 99_999).unwrap_err();
    assert!(matches!(error, ContentError::TooLarge { what: "bytes when unpacked", .. }), "{error}");

    let mut cut = packed.clone();
    cut.content.truncate(100);
    assert!(stream_guard::stream_size(&cut, 100_000).unwrap() > 1_000, "counts up to where it breaks");

    let twice = Stream::new(
        dictionary! { "Filter" => vec![Object::Name(b"FlateDecode".to_vec()), Object::Name(b"FlateDecode".to_vec())] },
        packed.content.clone(),
    );
    assert!(matches!(stream_guard::stream_size(&twice, 100_000), Err(ContentError::Malformed { .. })));

    let lzw = Stream::new(dictionary! { "Filter" => "LZWDecode" }, vec![0; 200_000]);
    let error = stream_guard::stream_size(&lzw, 100_000_000).unwrap_err();
    assert!(matches!(error, ContentError::TooLarge { what: "bytes in an LZW stream", .. }), "{error}");
}

#[test]
fn a_bomb_in_an_object_stream_is_refused_before_the_file_is_parsed() {
    let size = usize::try_from(limits::PDF_DECODED_BYTES).unwrap() + 1;
    let packed = deflated(size);
    let mut file = b"%PDF-1.5\n5 0 obj <</Type/ObjStm /Filter/FlateDecode>> stream\r\n".to_vec();
    file.extend_from_slice(&packed);
    file.extend_from_slice(b"\nendstream endobj\n");
    let error = convert(&file).unwrap_err();
    assert!(matches!(error, ContentError::TooLarge { what: "bytes when unpacked", .. }), "{error}");
}
