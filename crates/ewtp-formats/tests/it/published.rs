//! What is published is what the types say: `docs/data-model.md` and `docs/filing.schema.json`, written anew with
//! `EWTP_WRITE_DOCS=1 cargo test -p ewtp-formats published`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use ewtp_formats::responses::{Ours, RESPONSES, System};
use ewtp_formats::types::{self, Kind, TYPES};
use ewtp_formats::{cds, json_schema};
use ewtp_proto::v1::ConsignmentCategory as Category;
use ewtp_trade::elements::{Column, ELEMENTS, Need};
use ewtp_trade::wco::{ROWS, wco_path};

fn current(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("EWTP_WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let hint = "write it anew: EWTP_WRITE_DOCS=1 cargo test -p ewtp-formats published";
    assert!(found == wanted, "docs/{name} is not what the types say; {hint}");
}

/// M where it must be there, by filing type; small letters where only some categories of consignment ask for it.
fn needs(path: &str) -> String {
    let Some(element) = ELEMENTS.iter().find(|e| path == e.path || below(path, e.path)) else {
        return " |  |  |  | ".to_owned();
    };
    let columns =
        [Column::Export, Column::Advance, Column::Partial, Column::Import, Column::Transit];
    let categories = [
        (Category::Documents, '1'),
        (Category::LowValueFree, '2'),
        (Category::LowValueDutiable, '3'),
        (Category::HighValue, '4'),
    ];
    let one = |column: &Column| {
        let asked = categories.iter().filter(|(c, _)| element.need(*column, *c) == Need::M);
        let asked: String = asked.map(|(_, digit)| *digit).collect();
        match asked.as_str() {
            "" => String::new(),
            "1234" => "M".to_owned(),
            some => format!("M {some}"),
        }
    };
    columns.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn below(path: &str, element: &str) -> bool {
    path.strip_prefix(element).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
}

fn data_model() -> String {
    let mut out = String::from(
        "# Data model of a filing\n\n\
        Made from `proto/ewtp/v1/filing.proto`, the table of what is mandatory (`ewtp-trade/src/elements.rs`) and the table of WCO paths\n\
        (`ewtp-trade/src/wco/rows.rs`); a test keeps it current. Element numbers (#) are those of the design's table, which cites EU DE,\n\
        ACDD and CN23. WCO paths are those of WCO Data Model 3.6 under `Declaration`, as HMRC's schemas have it; *not in CDS* marks those\n\
        that HMRC's schema has no place for. **M**: mandatory in a filing of that type; with digits, only for those consignment categories\n\
        (1 documents, 2 low value free, 3 low value dutiable, 4 high value). Everything else is checked where it is given. An item's net mass\n\
        stands in for its gross mass, its price for its value.\n",
    );
    let mut part = String::new();
    for element in types::elements() {
        let (name, _) = element.path.split_once('.').unwrap();
        if name != part {
            name.clone_into(&mut part);
            let filing = &TYPES.messages["Filing"];
            let about = filing.fields.iter().find(|f| f.name == part).unwrap();
            let _ = write!(
                out,
                "\n## Part `{part}`\n\n{}\n\n| element | holds | WCO path | export | advance | 7+1 | import | transit | what it is |\n\
                |---|---|---|---|---|---|---|---|---|\n",
                about.comment
            );
        }
        let holds = match &element.kind {
            Kind::Text => "text".to_owned(),
            Kind::Bytes => "bytes".to_owned(),
            Kind::Number | Kind::LongNumber => "number".to_owned(),
            Kind::Flag => "yes or no".to_owned(),
            Kind::Map => "texts by name".to_owned(),
            Kind::Message(of) => of.to_lowercase(),
            Kind::Enum(of) => format!("`{of}`"),
        };
        let looked_up = match element.path.as_str() {
            "core.type" => "core.declaration_type",
            path => path,
        };
        let row = ROWS.iter().find(|r| r.ours == looked_up || r.ours == first(looked_up));
        let wco = match row {
            Some(row) if cds::has_place(row) => format!("`{}`", row.wco()),
            Some(row) => format!("`{}` (not in CDS)", row.wco()),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "| `{}` | {holds} | {wco} | {} | {} |",
            element.path.strip_prefix(&format!("{part}.")).unwrap(),
            needs(&element.path),
            element.comment.replace('|', "\\|"),
        );
    }
    out.push_str("\n## Values\n");
    for name in ["FilingType", "ConsignmentCategory", "FilingFunction"] {
        let _ = write!(out, "\n`{name}`:\n\n");
        for (value, comment) in &TYPES.enums[name] {
            let _ = writeln!(out, "- `{value}`: {comment}");
        }
    }
    out.push_str(
        "\n## Warnings\n\n\
        A finding refuses a filing (violation) or is kept with it exactly, counted and shown (warning): digits beyond a currency's minor unit in\n\
        a declared price, a code that left its list, a zero price or mass, the unknown origin `ZZ`, a foreign MRN without its check digit, a\n\
        unit outside an excerpt.\n",
    );
    out
}

fn response_codes() -> String {
    let mut out = String::from(
        "# Response codes in real use\n\n\
        Made from the table in `ewtp-formats/src/responses.rs`; a test keeps it current. It says which of our states, decisions, questions and\n\
        events a code of another system is; where several codes say one thing, the first is written. A code that says nothing a hub says is\n\
        listed with what a hub does with it.\n\n| system | code | name | ours |\n|---|---|---|---|\n",
    );
    for row in RESPONSES {
        let system = match row.system {
            System::Cds => "HMRC CDS",
            System::Ics2 => "ICS2",
            System::Ncts => "NCTS phase 5",
            System::Cusres => "CUSRES 7365",
            System::Asycuda => "ASYCUDA lane",
            System::Ceb => "China CEB",
        };
        let short = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_ascii_lowercase();
        let ours = match row.ours {
            Ours::Filing(state) => {
                format!("filing {}", short(state.as_str_name(), "FILING_STATE_"))
            }
            Ours::Decision(effect, code) => format!(
                "decision on {}: {}",
                short(effect.as_str_name(), "EFFECT_"),
                code.as_str_name().trim_start_matches("DECISION_CODE_")
            ),
            Ours::Request(code) => {
                let name = code.as_str_name().trim_start_matches("INFO_REQUEST_CODE_");
                format!("information request {name}")
            }
            Ours::Answer => "answer to an information request".to_owned(),
            Ours::Event(code) => format!("event {}", short(code.as_str_name(), "EVENT_CODE_")),
            Ours::Amendment => "the next version of the filing".to_owned(),
            Ours::Nothing(what) => format!("– ({what})"),
        };
        let _ = writeln!(out, "| {system} | {} | {} | {ours} |", row.code, row.name);
    }
    out
}

#[test]
fn the_response_codes_in_the_docs_are_current() {
    current("response-codes.md", &response_codes());
}

/// The path of a list's first, for rows that name one.
fn first(path: &str) -> String {
    path.strip_suffix("[]").map(|p| format!("{p}[0]")).unwrap_or_default()
}

#[test]
fn the_data_model_in_the_docs_is_current() {
    current("data-model.md", &data_model());
}

#[test]
fn the_json_schema_in_the_docs_is_current() {
    let text = serde_json::to_string_pretty(&json_schema::filing()).unwrap();
    current("filing.schema.json", &format!("{text}\n"));
}

/// Whoever renames a field finds what still has the old name.
#[test]
fn every_row_and_every_mandatory_element_is_of_the_types() {
    let known: BTreeSet<String> = types::elements().into_iter().map(|e| e.path).collect();
    for row in ROWS.iter() {
        let path = row.ours.replace("[0]", "[]");
        assert!(known.contains(&path), "{} is no element", row.ours);
    }
    for element in ELEMENTS {
        let there = |p: &String| p == element.path || below(p, element.path);
        assert!(known.iter().any(there), "{} is no element", element.path);
    }
    let without: Vec<&str> =
        ELEMENTS.iter().map(|e| e.path).filter(|p| wco_path(p).is_none()).collect();
    assert_eq!(without, ["core.category", "goods.transit_time_limit", "core.retention_class"]);
    let not_in_cds: BTreeSet<&str> =
        ROWS.iter().filter(|r| !cds::has_place(r)).map(|r| r.ours.as_str()).collect();
    let expected = [
        "core.conveyance",
        "core.departure_date",
        "core.port_of_discharge",
        "goods.containers[].seals[].party",
        "goods.containers[].size_type",
        "goods.master_document",
        "goods.transport_document",
    ];
    assert_eq!(not_in_cds, BTreeSet::from(expected));
}
