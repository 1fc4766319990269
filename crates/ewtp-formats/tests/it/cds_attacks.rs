//! Documents that are no declarations: told where, in bounded memory.

use ewtp_formats::cds::{self, CdsError};
use ewtp_formats::xml::XmlError;
use proptest::prelude::*;

const SAMPLE: &str = include_str!("../samples/import.xml");

fn malformed(xml: &str) -> (u32, u32, String) {
    match cds::read(xml.as_bytes()) {
        Err(CdsError::Xml(XmlError::Malformed { line, column, problem })) => {
            (line, column, problem)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn entities_are_neither_expanded_nor_fetched() {
    let bomb = "<?xml version=\"1.0\"?>\n<!DOCTYPE m [<!ENTITY a \"aaaaaaaaaa\">\n\
        <!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;\">]>\n<m>&c;</m>";
    let (line, _, problem) = malformed(bomb);
    assert!(line >= 1 && problem.contains("DTD"), "{line} {problem}");
    let external = "<!DOCTYPE m [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><m>&a;</m>";
    assert!(malformed(external).2.contains("DTD"));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cut = SAMPLE.get(..SAMPLE.len() / 2).unwrap();
    assert!(malformed(cut).0 > 10);
    let lines: Vec<&str> = SAMPLE.lines().collect();
    let at = lines.iter().position(|l| l.contains("<TypeCode>")).unwrap();
    let violations = |xml: String| match cds::read(xml.as_bytes()) {
        Err(CdsError::Invalid(all)) => all,
        other => panic!("{other:?}"),
    };
    let too_long = violations(SAMPLE.replacen("<TypeCode>IMD", "<TypeCode>IMPORT", 1));
    assert_eq!((too_long[0].line as usize, too_long[0].path.as_str()), (at + 1, "TypeCode"));
    assert_eq!(too_long[0].allowed, "at most 3 characters");
    // All at once: an unknown element, one in another namespace, one out of order, one twice, a text among elements.
    let all = violations(
        SAMPLE
            .replacen("<TypeCode>", "<Unheard/>text<x:ID xmlns:x=\"urn:x\"/><TypeCode>", 1)
            .replacen("</Declaration>", "<ID>1</ID><ID>2</ID></Declaration>", 1),
    );
    let told: Vec<String> = all.iter().map(|v| format!("{}: {}", v.path, v.allowed)).collect();
    insta::assert_snapshot!(told.join("\n"));
    let root = cds::read(b"<MetaData/>").unwrap_err().to_string();
    assert!(root.contains("MetaData in namespace none"), "{root}");
}

#[test]
fn large_and_deep_documents_end_early() {
    let large = vec![b' '; 100 << 20];
    assert_eq!(
        cds::read(&large).unwrap_err(),
        CdsError::Xml(XmlError::TooLarge { bytes: 100 << 20 })
    );
    let deep = "<a>".repeat(1 << 20);
    assert!(malformed(&deep).2.contains("deeper than 64"));
    let wide = format!("<a>{}</a>", "<b/>".repeat(2 << 20));
    assert!(malformed(&wide).2.contains("limit"));
}

/// A parser compares attributes and namespaces with one another: without a bound these would take hours.
#[test]
fn many_attributes_and_namespaces_end_early() {
    let many = |name: &str| (0..500_000).map(|i| format!(" {name}{i}=\"x\"")).collect::<String>();
    let (line, _, problem) = malformed(&format!("\n<a{}/>", many("b")));
    assert_eq!((line, problem.as_str()), (2, "an element has more than 64 attributes"));
    assert!(malformed(&format!("<a{}/>", many("xmlns:b"))).2.contains("32 namespaces"));
    let each: String = (0..200_000).map(|i| format!("<b xmlns:c{i}=\"u{i}\"/>")).collect();
    assert!(malformed(&format!("<a>{each}</a>")).2.contains("10000 namespaces"));
    // A comment that seems to end where it begins hides nothing, nor does a tag that never ends.
    let hidden = format!("<a><!--> <a ' --><r{}/></a>", many("b"));
    assert!(malformed(&hidden).2.contains("64 attributes"));
    assert!(malformed("<a><b c='").2.contains("doesn't end"));
    let scope: String = (0..40).map(|i| format!("<b xmlns:c{i}=\"u{i}\">")).collect();
    assert!(malformed(&format!("<a>{scope}</a>")).2.contains("32 namespaces"));
    // What looks like many attributes in a comment or a text is none.
    let told = SAMPLE.replacen(
        "<Declaration ",
        &format!("<!-- {} > -->\n<Declaration ", "=".repeat(99)),
        1,
    );
    assert!(cds::read(told.as_bytes()).is_ok());
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let error = cds::read(b"<a>\n  \xff</a>").unwrap_err();
    let problem = "not UTF-8".to_owned();
    assert_eq!(error, CdsError::Xml(XmlError::Malformed { line: 2, column: 3, problem }));
}

proptest! {
    /// Whatever is cut out or put into a document, it is read or refused.
    #[test]
    fn nothing_panics(at in 0..SAMPLE.len(), len in 0..40usize, put in "[ -~<>&/\"=]{0,12}") {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        if let Ok(read) = cds::read(&bytes) {
            let written = cds::write(&read).unwrap();
            prop_assert!(written.lost.is_empty());
            let text = String::from_utf8(bytes).unwrap();
            // Codes are tokens: white space inside them counts as one space (XML Schema part 2, 3.3.2).
            let tokens = |xml: &str| -> Vec<String> {
                let one = |l: String| l.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                crate::canonical::lines(xml).into_iter().map(one).collect()
            };
            prop_assert_eq!(tokens(&text), tokens(&written.xml));
        }
    }
}
