//! Notifications, beside HMRC's examples of them.

use ewtp_formats::dms::{Fault, Notice, Notification, of_case, write};
use ewtp_formats::responses::{self, Ours, RESPONSES, System};
use ewtp_proto::v1;
use roxmltree::{Document, Node};

use crate::corpus::folder;

const DAY: i64 = 1_573_632_000_000;

fn notification(notice: Notice) -> Notification {
    Notification {
        reference: "BE-17".into(),
        issued_ms: 1_573_665_736_000,
        lrn: "3.1_P1_TT_1311RM41".into(),
        mrn: "19GBCKKCQSXV2FGVA8".into(),
        version: 2,
        notice,
    }
}

/// Names of all elements with their depth, in order; what is empty isn't there.
fn structure(xml: &str) -> Vec<String> {
    fn walk(node: Node<'_, '_>, depth: usize, out: &mut Vec<String>) {
        let text = node.descendants().filter_map(|d| d.text()).any(|t| !t.trim().is_empty());
        if text {
            out.push(format!("{:1$}{2}", "", depth, node.tag_name().name()));
        }
        for child in node.children().filter(Node::is_element) {
            walk(child, depth + 1, out);
        }
    }
    let document = Document::parse(xml).unwrap();
    let mut out = Vec::new();
    let response = document.descendants().find(|n| n.has_tag_name_local("Response")).unwrap();
    walk(response, 0, &mut out);
    out
}

trait Local {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl Local for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

#[test]
fn notifications_have_the_structure_of_hmrcs_examples() {
    let path = |tag| vec![("42A", ""), ("67A", ""), ("28A", ""), ("64A", tag)];
    let fault = Fault {
        code: "CDS12005".into(),
        description: String::new(),
        pointers: vec![("42A", ""), ("17C", "R144")],
    };
    let examples = [
        ("01_DMSACC", Notice::Accepted(DAY)),
        ("02_DMSRCV", Notice::Received),
        ("03_DMSREJ", Notice::Rejected(vec![fault])),
        ("05_DMSCTL", Notice::Control),
        ("06_DMSDOC", Notice::Documents(DAY)),
        ("07_DMSRES", Notice::Corrected(vec![path("L017"), path("L016")])),
        ("08_DMSROG", Notice::MayBeReleased),
        ("09_DMSCLE", Notice::Cleared),
        ("10_DMSINV", Notice::Invalidated("Comments".into())),
        ("11_DMSREQ", Notice::RequestAnswered("39")),
        ("16_DMSEOG", Notice::Exited("GB000041".into(), DAY)),
        ("17_DMSGER", Notice::ExitEnquiry(DAY)),
    ];
    let folder = folder("hmrc-cds/dev/Example_DMS_notifications");
    for (name, notice) in examples {
        let (code, word) = (notice.code(), notice.name());
        let written = write(&notification(notice)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(name.ends_with(word), "{name} {word}");
        assert!(written.contains(&format!("<FunctionCode>{code}</FunctionCode>")), "{written}");
        let Some(folder) = &folder else { continue };
        let example = std::fs::read_to_string(folder.join(format!("{name}.xml"))).unwrap();
        let mut theirs = structure(&example);
        if name == "07_DMSRES" {
            // What a correction quotes of the declaration behind the notification itself, a hub shows in the case.
            theirs.truncate(theirs.iter().rposition(|l| l == " Declaration").unwrap());
        }
        assert_eq!(structure(&written), theirs, "{name}");
    }
    insta::assert_snapshot!(write(&notification(Notice::Accepted(DAY))).unwrap());
}

/// A case whose one filing was registered, inspected and released by BE.
pub(crate) fn case_of(filing: v1::Filing) -> v1::Case {
    let at =
        |index| Some(v1::StatementRef { hub: "BE".into(), log_index: index, ..Default::default() });
    let core = v1::FilingCore {
        filing_id: "F".into(),
        lrn: "L-1".into(),
        mrn: "26BE3XTUBTU421DA60".into(),
        version: 1,
        ..filing.core.unwrap_or_default()
    };
    let decision =
        |index, logged_ms, effect: v1::Effect, code: v1::DecisionCode| v1::CaseDecision {
            core: Some(v1::DecisionCore {
                filing_id: "F".into(),
                filing_version: 1,
                effect: effect as i32,
                code: code as i32,
                ..Default::default()
            }),
            statement: at(index),
            logged_ms,
            ..Default::default()
        };
    v1::Case {
        filings: vec![v1::CaseFiling {
            filing: Some(v1::Filing { core: Some(core), ..filing }),
            statement: at(3),
            logged_ms: 1000,
            ..Default::default()
        }],
        decisions: vec![
            decision(9, 9000, v1::Effect::Release, v1::DecisionCode::Release),
            decision(5, 2000, v1::Effect::Security, v1::DecisionCode::Clear),
            decision(6, 3000, v1::Effect::Admissibility, v1::DecisionCode::PhysControl),
            decision(7, 4000, v1::Effect::Admissibility, v1::DecisionCode::Clear),
        ],
        ..Default::default()
    }
}

#[test]
fn a_case_is_told_in_the_order_in_which_it_was_said() {
    let case = case_of(v1::Filing::default());
    let told: Vec<String> = of_case(&case, "F")
        .iter()
        .map(|n| format!("{} {} {}", n.issued_ms, n.reference, n.notice.name()))
        .collect();
    let expected = [
        "1000 BE-3-R DMSRCV",
        "1000 BE-3 DMSACC",
        "3000 BE-6 DMSCTL",
        "4000 BE-7 DMSROG",
        "9000 BE-9 DMSCLE",
    ];
    assert_eq!(told, expected);
    assert!(of_case(&case, "G").is_empty());
    // What was heard in quarantine isn't relied upon, and the exit is another filing's.
    let mut doubted = case;
    doubted.decisions[0].unproven = true;
    let exited = v1::EventCore { code: v1::EventCode::Exited as i32, ..Default::default() };
    doubted.events = vec![v1::CaseEvent { core: Some(exited), ..Default::default() }];
    let told: Vec<&str> = of_case(&doubted, "F").iter().map(|n| n.notice.name()).collect();
    assert_eq!(told, ["DMSRCV", "DMSACC", "DMSCTL", "DMSROG"]);
}

/// The codes that the design found in real use, system by system.
#[test]
fn every_code_in_real_use_has_a_row_and_every_notice_agrees_with_it() {
    let real = [
        (System::Cds, "01 02 03 05 06 07 08 09 10 11 13 14 15 16 18"),
        (
            System::Ics2,
            "IE3R01 IE3N01 IE3N02 IE3N03 IE3Q01 IE3Q02 IE3R02 IE3Q03 IE3R03 IE3N04 IE3N05 IE3N06 IE3R04 IE3Q04 IE3R07 IE3N99 IE3N07 IE3N09",
        ),
        (
            System::Ncts,
            "IE015 IE028 IE056 IE057 IE060 IE029 IE051 IE013 IE004 IE022 IE014 IE009 IE025 IE043 IE044 IE045 IE035 IE170",
        ),
        (System::Cusres, "1 2 3 4 5 6 7 8 9 10 11 15 16 18"),
        (System::Asycuda, "green|blue|yellow|red|query|stand-by green"),
        (System::Ceb, "1 2 3 4 100 120 300 399 500 501 502 503 599 600 700 800 899"),
    ];
    let mut rows = 0;
    for (system, codes) in real {
        let separator = if codes.contains('|') { '|' } else { ' ' };
        for code in codes.split(separator) {
            assert!(responses::by_code(system, code).is_some(), "{system:?} {code}");
            rows += 1;
        }
    }
    assert_eq!(rows, RESPONSES.len(), "and no row has a code that nobody uses");
    let nothing = |r: &&responses::Response| matches!(r.ours, Ours::Nothing(_));
    let without: Vec<&str> = RESPONSES.iter().filter(nothing).map(|r| r.code).collect();
    let expected = [
        "13", "14", "15", "18", "IE3N02", "IE3N04", "IE3N05", "IE3N07", "IE043", "IE044", "IE045",
        "IE035", "8", "10", "1", "2", "4",
    ];
    assert_eq!(without, expected);
    let notices = [
        (Notice::Cleared, Ours::Decision(v1::Effect::Release, v1::DecisionCode::Release)),
        (Notice::Control, Ours::Decision(v1::Effect::Admissibility, v1::DecisionCode::PhysControl)),
        (Notice::Received, Ours::Filing(v1::FilingState::Submitted)),
        (Notice::Exited(String::new(), 0), Ours::Event(v1::EventCode::Exited)),
    ];
    for (notice, ours) in notices {
        let row = responses::of(System::Cds, ours).next().unwrap();
        assert_eq!((row.code, row.name.split(' ').next().unwrap()), (notice.code(), notice.name()));
    }
}
