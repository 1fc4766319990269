//! An estimate of duty and tax in words, a line a step.

use ewtp_proto::v1;

fn money(value: Option<&v1::Money>) -> String {
    value.map_or_else(|| "-".to_owned(), |m| format!("{} {}", m.amount, m.currency))
}

/// The total, with the day for which it holds.
pub(crate) fn total(estimate: &v1::DutyEstimate) -> String {
    let total = money(estimate.total.as_ref());
    let without = if estimate.open.is_empty() { "" } else { ", without what can't be priced" };
    format!("{total}{without} (for {} in {})", estimate.for_date, estimate.time_zone)
}

/// Steps, charges, and what stays open.
pub(crate) fn lines(estimate: &v1::DutyEstimate) -> Vec<String> {
    let of = |item: u32| if item == 0 { "consignment".into() } else { format!("item {item}") };
    let line = |l: &v1::DutyLine| {
        let measure = l.measure.as_ref().map(|q| format!(" and {} {}", q.value, q.unit));
        let note = if l.note.is_empty() { String::new() } else { format!(" ({})", l.note) };
        let rate = if l.rate.is_empty() { String::new() } else { format!(" {}", l.rate) };
        let (base, amount) = (money(l.base.as_ref()), money(l.amount.as_ref()));
        match l.kind.as_str() {
            step @ ("value" | "freight" | "insurance") => {
                format!("{}: {step} {base}{rate}: {amount}{note}", of(l.item))
            }
            charge => format!(
                "{}: {charge}{rate} on {base}{}: {amount}{note}",
                of(l.item),
                measure.unwrap_or_default()
            ),
        }
    };
    let open = |o: &v1::DutyOpen| {
        let rate = if o.rate.is_empty() { String::new() } else { format!(" {}", o.rate) };
        format!("{}: {}{rate}: not priced, missing: {}", of(o.item), o.kind, o.missing)
    };
    estimate.lines.iter().map(line).chain(estimate.open.iter().map(open)).collect()
}
