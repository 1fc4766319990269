//! Mandates: who may file for whom, for what, from when until when.

use ewtp_proto::v1;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use v1::FilingType;

use crate::finding::{Say, finding};
use crate::lists::begin;

/// A mandate whose days and kinds are known to be real.
#[derive(Clone, Debug)]
pub struct Mandate {
    kinds: Vec<FilingType>,
    from_ms: i64,
    until_ms: i64,
    revoked: bool,
}

const KINDS: &[(&str, FilingType)] = &[
    ("export", FilingType::Export),
    ("advance", FilingType::Advance),
    ("transit", FilingType::Transit),
    ("import", FilingType::Import),
];

impl Mandate {
    /// Reads a mandate; all violations at once. Days begin and end in its time zone; the last day counts whole.
    ///
    /// # Errors
    /// Every violation.
    pub fn parse(core: &v1::MandateCore) -> Result<Self, Vec<v1::Finding>> {
        let mut violations = Vec::new();
        let mut refuse = |path: &str, value: &str, say: Say<'_>| {
            violations.push(finding(path, value, say));
        };
        if !crate::codes::party_id_syntax(&core.principal_id) {
            let say = Say {
                code: "party-id",
                allowed: "a country code of 2 letters and a national id, at most 35 characters",
                fix: "give the registered id of the party that gives the mandate",
            };
            refuse("principal_id", &core.principal_id, say);
        }
        let mut kinds = Vec::new();
        for name in &core.filing_types {
            match KINDS.iter().find(|(n, _)| n == name) {
                Some((_, kind)) => kinds.push(*kind),
                None => {
                    let allowed = "export, advance, transit, import";
                    let say = Say { code: "filing-type", allowed, fix: "name kinds of filing" };
                    refuse("filing_types", name, say);
                }
            }
        }
        if core.filing_types.len() > KINDS.len() {
            let allowed = "each of export, advance, transit, import once";
            let say = Say { code: "filing-type", allowed, fix: "name each kind once" };
            refuse("filing_types", "", say);
        }
        if core.filing_types.is_empty() {
            let allowed = "at least one of export, advance, transit, import";
            let say = Say { code: "filing-type", allowed, fix: "say what it is for" };
            refuse("filing_types", "", say);
        }
        let zone = TimeZone::get(&core.time_zone).ok();
        if zone.is_none() {
            let say = Say {
                code: "time-zone",
                allowed: "an IANA time zone",
                fix: "name the zone in which its days begin and end, such as Africa/Nairobi",
            };
            refuse("time_zone", &core.time_zone, say);
        }
        let mut day = |path: &str, text: &str| {
            let day = text.parse::<Date>().ok().filter(|_| text.len() == 10);
            if day.is_none() {
                let say = Say {
                    code: "date",
                    allowed: "a day of the calendar, YYYY-MM-DD",
                    fix: "every mandate has a first and a last day",
                };
                refuse(path, text, say);
            }
            day
        };
        let (from, until) =
            (day("valid_from", &core.valid_from), day("valid_until", &core.valid_until));
        if from.zip(until).is_some_and(|(from, until)| until < from) {
            let say = Say {
                code: "date",
                allowed: "a last day that is not before the first",
                fix: "exchange the two",
            };
            refuse("valid_until", &core.valid_until, say);
        }
        let bounds = from.zip(until).zip(zone).and_then(|((from, until), zone)| {
            Some((begin(from, &zone)?, begin(until.tomorrow().ok()?, &zone)?))
        });
        match bounds {
            Some((from_ms, until_ms)) if violations.is_empty() => {
                Ok(Self { kinds, from_ms, until_ms, revoked: core.revoked })
            }
            _ => Err(violations),
        }
    }

    /// Whether it is in force at an instant, Unix milliseconds.
    #[must_use]
    pub const fn in_force(&self, at_ms: i64) -> bool {
        !self.revoked && self.from_ms <= at_ms && at_ms < self.until_ms
    }

    /// Whether it allows this kind of filing at an instant, Unix milliseconds.
    #[must_use]
    pub fn allows(&self, kind: FilingType, at_ms: i64) -> bool {
        self.in_force(at_ms) && self.kinds.contains(&kind)
    }
}
