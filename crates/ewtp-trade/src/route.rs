//! Who has a say on a filing's route: offices, territories and competences, as hubs name them in their descriptors.
//!
//! What a route leads to that has a hub is addressed; what lies in a country without any is *not connected*, which is no
//! error; and what a connected country's hubs don't speak for is a violation that lists what is known.

use std::collections::BTreeSet;

use ewtp_proto::v1;
use v1::FilingType;

use crate::finding::{Say, finding};

/// Competence of every hub that assesses filings.
pub const CUSTOMS: &str = "customs";
/// Competences that goods may need beside customs.
pub const COMPETENCES: &[&str] = &[CUSTOMS, "plant-health", "health", "tax"];

/// What one hub speaks for, as its descriptor says.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// Its id.
    pub hub: &'a str,
    /// Territories, ISO 3166-1 alpha-2.
    pub territories: &'a [String],
    /// Offices: a code, or its beginning and `*`.
    pub offices: &'a [String],
    /// Competences, e.g. `customs`.
    pub competences: &'a [String],
}

impl Speaker<'_> {
    /// Whether it speaks for a territory.
    #[must_use]
    pub fn in_territory(&self, country: &str) -> bool {
        self.territories.iter().any(|t| t == country)
    }

    /// Whether it is the hub that a country's filings of this competence go to.
    #[must_use]
    pub fn speaks_for(&self, country: &str, competence: &str) -> bool {
        self.in_territory(country) && self.competences.iter().any(|c| c == competence)
    }

    /// Whether an office is one of its own.
    #[must_use]
    pub fn has_office(&self, office: &str) -> bool {
        self.offices.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => office.starts_with(beginning),
            None => office == pattern,
        })
    }
}

/// What two hubs both speak for, in words; two pinned hubs never do.
#[must_use]
pub fn overlap(one: &Speaker<'_>, other: &Speaker<'_>) -> Option<String> {
    for territory in one.territories.iter().filter(|t| other.in_territory(t)) {
        if let Some(both) = one.competences.iter().find(|c| other.competences.contains(c)) {
            return Some(format!("{both} in {territory}"));
        }
    }
    let covers = |a: &str, b: &str| a.strip_suffix('*').is_some_and(|begin| b.starts_with(begin));
    let pairs = one.offices.iter().flat_map(|a| other.offices.iter().map(move |b| (a, b)));
    let mut both = pairs.filter(|(a, b)| a == b || covers(a, b) || covers(b, a));
    both.next().map(|(office, _)| format!("the offices {office}"))
}

/// Where a filing goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Hub that assesses it; empty while its country has none.
    pub assessed_by: String,
    /// Other hubs on the route, without this one, in order.
    pub audience: BTreeSet<String>,
    /// Countries on the route without a hub, in order.
    pub unconnected: BTreeSet<String>,
}

/// Country whose hub assesses a filing: that of destination, or of transit. `None` for a transit filing that names no office
/// between the two.
#[must_use]
pub fn assessing_country(core: &v1::FilingCore) -> Option<&str> {
    if core.r#type() != FilingType::Transit {
        return Some(&core.country_of_destination);
    }
    transit_countries(core).next()
}

/// Countries of offices that are neither that of export nor that of destination, in the order of the route.
fn transit_countries(core: &v1::FilingCore) -> impl Iterator<Item = &str> {
    let between =
        |c: &&str| *c != core.country_of_export.as_str() && *c != core.country_of_destination;
    core.offices.iter().filter_map(|o| o.get(..2)).filter(between)
}

/// Whether a transit filing is about one territory, as it has one hub that assesses it.
#[must_use]
pub fn crosses_one_territory(core: &v1::FilingCore) -> bool {
    transit_countries(core).collect::<BTreeSet<_>>().len() == 1
}

/// Competences beside customs that goods need where they enter, by HS chapter: living plants, vegetables, fruit, cereals, seeds
/// and wood (IPPC, ISPM 12); food of animal origin and medicines; goods under excise (alcohol, tobacco, mineral oil).
#[must_use]
pub fn competences_of(core: &v1::FilingCore) -> BTreeSet<&'static str> {
    let of = |item: &v1::CoreItem| match item.commodity_code.get(..2)? {
        "06" | "07" | "08" | "10" | "12" | "44" => Some("plant-health"),
        "02" | "03" | "04" | "05" | "16" | "30" => Some("health"),
        "22" | "24" | "27" => Some("tax"),
        _ => None,
    };
    core.items.iter().filter_map(of).collect()
}

/// Finds who has a say on a filing, among this hub and its active peers.
///
/// # Errors
/// Every office and competence that a connected country's hubs don't speak for, with what they do.
pub fn resolve(
    core: &v1::FilingCore,
    me: &Speaker<'_>,
    peers: &[Speaker<'_>],
) -> Result<Resolved, Vec<v1::Finding>> {
    let (resolved, violations) = run(core, me, peers);
    if violations.is_empty() { Ok(resolved) } else { Err(violations) }
}

/// The same for a filing that is logged already: who is known now, and whether somebody is still unknown.
#[must_use]
pub fn resolve_what_can_be(
    core: &v1::FilingCore,
    me: &Speaker<'_>,
    peers: &[Speaker<'_>],
) -> (Resolved, bool) {
    let (resolved, violations) = run(core, me, peers);
    (resolved, !violations.is_empty())
}

fn run(
    core: &v1::FilingCore,
    me: &Speaker<'_>,
    peers: &[Speaker<'_>],
) -> (Resolved, Vec<v1::Finding>) {
    let mut run = Resolve { me, peers, out: Resolved::default(), violations: Vec::new() };
    match core.r#type() {
        FilingType::Export => {
            run.out.assessed_by = me.hub.to_owned();
            run.country(&core.country_of_destination, CUSTOMS, "core.country_of_destination");
        }
        FilingType::Import => run.out.assessed_by = me.hub.to_owned(),
        _ => {
            let country = assessing_country(core).unwrap_or_default();
            let path = match core.r#type() {
                FilingType::Transit => "core.offices",
                _ => "core.country_of_destination",
            };
            run.out.assessed_by = run.country(country, CUSTOMS, path).unwrap_or_default();
        }
    }
    if core.r#type() != FilingType::Import {
        for competence in competences_of(core) {
            run.country(&core.country_of_destination, competence, "core.items");
        }
    }
    for (i, office) in core.offices.iter().enumerate() {
        run.office(office, i);
    }
    run.out.audience.remove(me.hub);
    (run.out, run.violations)
}

struct Resolve<'a> {
    me: &'a Speaker<'a>,
    peers: &'a [Speaker<'a>],
    out: Resolved,
    violations: Vec<v1::Finding>,
}

impl<'a> Resolve<'a> {
    /// All hubs, this one first: nobody else is asked about what it speaks for itself.
    fn all(&self) -> impl Iterator<Item = &'a Speaker<'a>> + use<'a> {
        std::iter::once(self.me).chain(self.peers)
    }

    /// The hub for a country and competence, which becomes one of the audience.
    fn country(&mut self, country: &str, competence: &str, path: &str) -> Option<String> {
        if let Some(found) = self.all().find(|s| s.speaks_for(country, competence)) {
            self.out.audience.insert(found.hub.to_owned());
            return Some(found.hub.to_owned());
        }
        let known: Vec<String> = self
            .all()
            .filter(|s| s.in_territory(country))
            .map(|s| format!("{} for {}", s.hub, s.competences.join(", ")))
            .collect();
        if known.is_empty() {
            self.out.unconnected.insert(country.to_owned());
            return None;
        }
        let allowed = format!("what {country} has hubs for: {}", known.join("; "));
        let say = Say {
            code: "competence-unknown",
            allowed: &allowed,
            fix: "ask the agency of that country which hub speaks for these goods, and have it pinned here",
        };
        self.violations.push(finding(path, competence, say));
        None
    }

    fn office(&mut self, office: &str, at: usize) {
        let country = office.get(..2).unwrap_or_default();
        if let Some(found) = self.all().find(|s| s.has_office(office)) {
            self.out.audience.insert(found.hub.to_owned());
            return;
        }
        let known: Vec<String> = self
            .all()
            .filter(|s| s.in_territory(country))
            .map(|s| format!("{} has {}", s.hub, s.offices.join(", ")))
            .collect();
        if known.is_empty() {
            self.out.unconnected.insert(country.to_owned());
            return;
        }
        let say = Say {
            code: "office-unknown",
            allowed: &known.join("; "),
            fix: "look the office up in its country's list",
        };
        self.violations.push(finding(&format!("core.offices[{at}]"), office, say));
    }
}
