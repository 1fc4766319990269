//! `ewtp report`: figures as a page, CSV or JSON, and the receipts of published ones.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_clearance::report::{FairnessCell, FairnessReport, RecognitionReport, Times};
use ewtp_proto::v1;
use serde_json::{Value, json};

use crate::args_report::{ReportCommand, Reported};
use crate::commands::arrangement::tell_faults;
use crate::commands::receipt::write_pair;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: &ReportCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    match command {
        ReportCommand::Recognition(asked) => {
            block_on(report("recognition", (asked, false), profile, out))
        }
        ReportCommand::Fairness { asked, publish } => {
            block_on(report("fairness", (asked, *publish), profile, out))
        }
        ReportCommand::Receipt { kind, number, out: dir } => {
            block_on(receipt(kind, *number, dir, profile, out))
        }
    }
}

async fn report(
    kind: &str,
    (asked, publish): (&Reported, bool),
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::ReportRequest {
        kind: kind.to_owned(),
        from_ms: asked.from.as_millisecond(),
        to_ms: asked.to.map_or(0, |t| t.as_millisecond()),
        publish,
    };
    let response = session.desk().report(request).await?.into_inner();
    if !response.violations.is_empty() {
        tell_faults(&response.violations, out);
        out.note("no report was made");
        return Ok(ExitCode::from(1));
    }
    let wrong = |e: serde_json::Error| {
        CliError::usage("figures", e.to_string(), "use the ewtp of the hub's version")
    };
    let figures: Value = serde_json::from_str(&response.figures).map_err(wrong)?;
    if out.is_json() {
        let statement = response.statement.as_ref().map(|s| json!(s));
        out.json_line(
            &json!({"figures": figures, "number": response.number, "statement": statement}),
        );
        return Ok(ExitCode::SUCCESS);
    }
    let table = match kind {
        "recognition" => {
            let report: RecognitionReport = serde_json::from_value(figures).map_err(wrong)?;
            recognition(&report, asked.csv, out)
        }
        _ => {
            let report: FairnessReport = serde_json::from_value(figures).map_err(wrong)?;
            fairness(&report, asked.csv, out)
        }
    };
    if asked.csv {
        out.say(table.trim_end());
    }
    if let Some(statement) = &response.statement {
        out.note(&format!(
            "published as number {}, {} log entry {}; its receipt: ewtp report receipt {kind} {}",
            response.number, statement.hub, statement.log_index, response.number
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn csv(headers: &[&str], rows: &[Vec<String>]) -> String {
    let field = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut text = headers.join(",");
    for row in rows {
        let row: Vec<String> = row.iter().map(|f| field(f)).collect();
        text.push('\n');
        text.push_str(&row.join(","));
    }
    text
}

/// Milliseconds as people read them.
fn span(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{ms} ms"),
        10_000..=599_999 => format!("{} s", ms / 1000),
        600_000..=35_999_999 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

fn recognition(report: &RecognitionReport, as_csv: bool, out: &Output) -> String {
    if as_csv {
        let headers = [
            "hub",
            "document",
            "cases",
            "checks_waived",
            "controlled",
            "control_rate_permille",
            "facts_checked",
            "disagreements",
            "median_ms_with",
            "median_ms_without",
            "comparable_filings",
            "comparable_controlled",
            "comparable_control_rate_permille",
            "comparable_found_false",
        ];
        let row = |a: &ewtp_clearance::report::ArrangementFigures| {
            let numbers = [
                a.document,
                a.cases,
                a.checks_waived,
                a.controlled,
                a.control_rate_permille,
                a.facts_checked,
                a.disagreements,
                a.with_recognition.median_ms,
                a.without_recognition.median_ms,
                a.comparable.filings,
                a.comparable.controlled,
                a.comparable.control_rate_permille,
                a.comparable.found_false,
            ];
            std::iter::once(a.hub.clone()).chain(numbers.map(|n| n.to_string())).collect()
        };
        let rows: Vec<Vec<String>> = report.arrangements.iter().map(row).collect();
        return csv(&headers, &rows);
    }
    out.say(&format!("{} filings assessed here", report.filings));
    for a in &report.arrangements {
        out.say(&format!("\narrangement with {}, document {}", a.hub, a.document));
        let kinds = a.cases_by_kind.iter().map(|(kind, n)| format!("{kind} {n}"));
        let kinds: Vec<String> = kinds.collect();
        out.say(&format!("  filings that relied upon it: {} ({})", a.cases, kinds.join(", ")));
        out.say(&format!("  checks waived: {}", a.checks_waived));
        out.say(&format!(
            "  controlled all the same: {} ({})",
            a.controlled,
            percent(a.control_rate_permille)
        ));
        out.say(&format!(
            "  recognised facts checked on arrival: {}; of these found false: {}",
            a.facts_checked, a.disagreements
        ));
        out.say(&format!("  time to decision: {}", times(&a.with_recognition)));
        out.say(&format!(
            "    filings from {} that relied upon nothing: {}",
            a.hub,
            times(&a.without_recognition)
        ));
        out.say(&format!(
            "  comparable filings without an arrangement: {}, controlled {} ({}), found false {}",
            a.comparable.filings,
            a.comparable.controlled,
            percent(a.comparable.control_rate_permille),
            a.comparable.found_false
        ));
    }
    let random = &report.random;
    out.say(&format!(
        "\nrandom controls: {}; with a result {}, found false {}",
        random.controlled, random.with_result, random.found_false
    ));
    String::new()
}

fn times(times: &Times) -> String {
    match times.decided {
        0 => "none decided".to_owned(),
        n => format!(
            "half within {}, nine in ten within {} ({n} decided)",
            span(times.median_ms),
            span(times.p90_ms)
        ),
    }
}

fn fairness(report: &FairnessReport, as_csv: bool, out: &Output) -> String {
    let by =
        [("size", &report.by_size), ("origin", &report.by_origin), ("channel", &report.by_channel)];
    let row = |group: &str, cell: &FairnessCell, plain: bool| {
        let mut row = vec![group.to_owned(), cell.name.clone()];
        row.extend(match (&cell.shown, plain) {
            (None, _) => vec![if plain { String::new() } else { "too few".to_owned() }; 5],
            (Some(t), true) => [
                t.filings,
                t.times.median_ms,
                t.times.p90_ms,
                t.control_rate_permille,
                t.refusal_rate_permille,
            ]
            .map(|n| n.to_string())
            .to_vec(),
            (Some(t), false) => vec![
                t.filings.to_string(),
                span(t.times.median_ms),
                span(t.times.p90_ms),
                percent(t.control_rate_permille),
                percent(t.refusal_rate_permille),
            ],
        });
        row
    };
    let rows = |plain: bool| -> Vec<Vec<String>> {
        by.iter()
            .flat_map(|(group, cells)| cells.iter().map(move |cell| (group, cell)))
            .map(|(group, cell)| row(group, cell, plain))
            .collect()
    };
    if as_csv {
        let headers = [
            "by",
            "name",
            "filings",
            "median_ms",
            "p90_ms",
            "control_rate_permille",
            "refusal_rate_permille",
        ];
        return csv(&headers, &rows(true));
    }
    let headers = ["by", "", "filings", "half within", "9 in 10 within", "controlled", "refused"];
    out.table(&headers, &rows(false), &Value::Null);
    out.note(&format!(
        "{} filings; cells of fewer than {} are not shown, nor one more where a single one could be worked out",
        report.filings, report.cell_min
    ));
    String::new()
}

async fn receipt(
    kind: &str,
    number: u64,
    dir: &Path,
    profile: Option<&Path>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let request = v1::GetReceiptRequest {
        report: kind.to_owned(),
        report_number: number,
        ..Default::default()
    };
    let response = session.trade().get_receipt(request).await?.into_inner();
    let name = format!("{kind}-{number}");
    let (receipt, descriptors) = write_pair(dir, &name, &format!("{name}.descriptors"), &response)?;
    let facts = [
        ("receipt", receipt.display().to_string()),
        ("descriptors", descriptors.display().to_string()),
    ];
    out.facts(&facts, &json!({"receipt": receipt, "descriptors": descriptors}));
    Ok(ExitCode::SUCCESS)
}
