//! Certificates: what an authority, or a trader of itself, certified, and which hub vouches for having received it.

use ewtp_proto::v1::{self, CertificateState, CertificateUse, Finding};
use ewtp_trade::codes::Country;
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::quantity::parse_decimal;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::arrangement::{FactKind, HsRange};

/// Names of the parts that lines stand in, one each: whoever is shown one learns nothing of the others.
pub const LINE_PARTS: [&str; LINES_MAX] = [
    "line-1", "line-2", "line-3", "line-4", "line-5", "line-6", "line-7", "line-8", "line-9",
    "line-10", "line-11", "line-12", "line-13", "line-14", "line-15", "line-16", "line-17",
    "line-18", "line-19", "line-20", "line-21", "line-22", "line-23", "line-24", "line-25",
    "line-26", "line-27", "line-28", "line-29", "line-30", "line-31", "line-32",
];
/// Most lines: each is a part of the statement.
pub const LINES_MAX: usize = 32;
/// Most bytes of a text.
const TEXT_BYTES_MAX: usize = 300;

/// A certificate that was checked.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What it certifies.
    pub kind: FactKind,
    /// Whether it holds.
    pub state: CertificateState,
    /// First day.
    pub valid_from: Date,
    /// Last day; open if there is none.
    pub valid_until: Option<Date>,
    /// Its zone: its days begin and end there.
    pub time_zone: TimeZone,
    /// Whom it is about: id and, of operators, the category.
    pub holder: (String, String),
}

impl Certificate {
    /// Reads a certificate by the parts that are known; lines that aren't shown are `None`.
    ///
    /// # Errors
    /// Every fault.
    pub fn read(
        core: &v1::CertificateCore,
        holder: Option<&v1::CertificateHolder>,
        lines: &[Option<v1::CertificateLine>],
    ) -> Result<Self, Vec<Finding>> {
        let mut faults = Faults(Vec::new());
        let kind = faults.kind(&core.kind);
        faults.text("core.issuer", &core.issuer, true);
        faults.text("core.reference", &core.reference, true);
        faults.text("core.reason", &core.reason, false);
        if core.state() == CertificateState::Unspecified {
            faults.add("core.state", &core.state.to_string(), "a state that is known");
        }
        if (core.state() == CertificateState::Replaced) == core.replaced_by.is_empty() {
            let allowed = "the certificate in its place, if and only if it was replaced";
            faults.add("core.replaced_by", &core.replaced_by, allowed);
        }
        let valid_from = faults.day("core.valid_from", &core.valid_from);
        let valid_until = match core.valid_until.as_str() {
            "" => None,
            day => faults.day("core.valid_until", day),
        };
        if let (Some(from), Some(until)) = (valid_from, valid_until)
            && until < from
        {
            faults.add("core.valid_until", &core.valid_until, "a day not before core.valid_from");
        }
        let time_zone = TimeZone::get(&core.time_zone).ok();
        if time_zone.is_none() {
            faults.add("core.time_zone", &core.time_zone, "an IANA name such as Africa/Nairobi");
        }
        if let Some(holder) = holder {
            faults.holder(holder, kind);
        }
        faults.lines(core, lines, kind);
        match (kind, valid_from, time_zone) {
            (Some(kind), Some(valid_from), Some(time_zone)) if faults.0.is_empty() => Ok(Self {
                kind,
                state: core.state(),
                valid_from,
                valid_until,
                time_zone,
                holder: holder.map(|h| (h.id.clone(), h.category.clone())).unwrap_or_default(),
            }),
            _ => Err(faults.0),
        }
    }

    /// Whether it holds at an instant, Unix milliseconds, as far as is known.
    #[must_use]
    pub fn holds_at(&self, at_ms: i64) -> bool {
        let day = jiff::Timestamp::from_millisecond(at_ms)
            .map_or(Date::MIN, |t| self.time_zone.to_datetime(t).date());
        self.state == CertificateState::Valid
            && self.valid_from <= day
            && self.valid_until.is_none_or(|last| day <= last)
    }

    /// Whether it is about a person, whatever the goods.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.kind == FactKind::Aeo
    }
}

/// Whether a certificate in one state may be said to be in another: what was revoked or replaced stays so.
#[must_use]
pub fn may_become(before: CertificateState, after: CertificateState) -> bool {
    use CertificateState::{Replaced, Revoked, Suspended, Valid};
    matches!(
        (before, after),
        (Valid, Suspended | Revoked | Replaced) | (Suspended, Valid | Revoked | Replaced)
    )
}

struct Faults(Vec<Finding>);

impl Faults {
    fn add(&mut self, path: &str, value: &str, allowed: &str) {
        let fix = "correct it and say it again";
        self.0.push(finding(path, value, Say { code: "certificate", allowed, fix }));
    }

    fn text(&mut self, path: &str, text: &str, needed: bool) {
        let fits = text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        if !fits || (needed && text.trim().is_empty()) {
            let least = if needed { 1 } else { 0 };
            self.add(path, text, &format!("one line of {least} to {TEXT_BYTES_MAX} bytes"));
        }
    }

    fn day(&mut self, path: &str, text: &str) -> Option<Date> {
        let day = text.parse().ok();
        if day.is_none() {
            self.add(path, text, "a day as YYYY-MM-DD");
        }
        day
    }

    fn kind(&mut self, name: &str) -> Option<FactKind> {
        let kind = FactKind::by_name(name).filter(|k| *k != FactKind::ExportControl);
        if kind.is_none() {
            let allowed = "aeo, origin, licence, phytosanitary, inspection";
            self.add("core.kind", name, allowed);
        }
        kind
    }

    fn holder(&mut self, holder: &v1::CertificateHolder, kind: Option<FactKind>) {
        self.text("holder.id", &holder.id, true);
        self.text("holder.name", &holder.name, true);
        if Country::parse(&holder.country).is_none() {
            self.add("holder.country", &holder.country, "an ISO 3166-1 code of two letters");
        }
        let operator = kind == Some(FactKind::Aeo);
        self.text("holder.category", &holder.category, operator);
        if !operator && kind.is_some() && !holder.category.is_empty() {
            self.add("holder.category", &holder.category, "a category of operators alone");
        }
    }

    fn lines(
        &mut self,
        core: &v1::CertificateCore,
        lines: &[Option<v1::CertificateLine>],
        kind: Option<FactKind>,
    ) {
        if core.lines as usize != lines.len() || lines.len() > LINES_MAX {
            let allowed = format!("the number of its lines, at most {LINES_MAX}");
            self.add("core.lines", &core.lines.to_string(), &allowed);
        }
        if CertificateUse::try_from(core.r#use).is_err() {
            self.add("core.use", &core.r#use.to_string(), "a use that is known");
        }
        if core.r#use() != CertificateUse::Unspecified && kind == Some(FactKind::Aeo) {
            self.add(
                "core.use",
                core.r#use().as_str_name(),
                "none: an operator's status is not used up",
            );
        }
        if lines.is_empty() && kind.is_some_and(|k| k != FactKind::Aeo) {
            self.add("core.lines", "0", "at least one line: what it certifies is about goods");
        }
        for (i, line) in lines.iter().enumerate() {
            let Some(line) = line else { continue };
            let path = |field: &str| format!("line-{}.{field}", i + 1);
            if HsRange::parse(&line.hs).is_none() {
                self.add(&path("hs"), &line.hs, "2 to 10 digits");
            }
            if let Some(quantity) = &line.quantity
                && parse_decimal(&quantity.value).is_err()
            {
                self.add(&path("quantity"), &quantity.value, "a decimal number");
            }
            if line.quantity.is_none() && core.r#use() == CertificateUse::Quantity {
                self.add(&path("quantity"), "", "how much, since it is used up by quantity");
            }
            self.text(&path("description"), &line.description, false);
            self.text(&path("consignment"), &line.consignment, false);
            if !line.origin.is_empty() && Country::parse(&line.origin).is_none() {
                self.add(&path("origin"), &line.origin, "an ISO 3166-1 code of two letters");
            }
        }
    }
}
