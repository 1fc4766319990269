//! Cases that have to do with each other: returns, parts of a consignment, consignments of a master, supplements; and which case an import
//! filing that was lodged apart is of.

use ewtp_proto::store::v1::CaseRecord;
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::goods_released;
use ewtp_trade::case::is_invalidated;
use ewtp_trade::matching;
use ewtp_trade::selector;
use v1::FilingType;

use crate::casebook::{Casebook, Viewer, filing_of};
use crate::shared::Shared;
use crate::standing;

/// Most cases that are looked at by one name.
const NAMED_MAX: usize = 20;
/// Most cases of an importer that are looked at for candidates.
const CANDIDATES_MAX: usize = 50;
/// How many cases of the hub before the import's own one are looked through for them.
const CANDIDATES_BACK: u64 = 100_000;
/// Least that has to agree of a candidate, of 100.
const CANDIDATE_SCORE: u32 = 60;

/// The case of an import filing that names none: that of the goods with its UCR, else with its transport document, whose origin names
/// the declarant as importer. One case, or none: where several fit, people choose.
///
/// # Errors
/// Reading.
pub(crate) async fn case_of_import(
    shared: &Shared,
    core: &v1::FilingCore,
    goods: Option<&v1::FilingGoods>,
) -> Result<Option<CaseRecord>, StoreError> {
    let lodged_apart =
        core.case_id.is_empty() && core.filing_id.is_empty() && core.adopts.is_empty();
    if core.r#type() != FilingType::Import || !lodged_apart || core.declarant_id.is_empty() {
        return Ok(None);
    }
    let document = goods.map_or("", |g| g.transport_document.as_str());
    let names = [
        (&*core.ucr, selector::ucr_name(&core.ucr)),
        (document, selector::document_name(document)),
    ];
    for (value, name) in names {
        if value.is_empty() {
            continue;
        }
        let found = Views(&*shared.store).selected(&name, 0, NAMED_MAX).await?;
        let mut found = found.into_iter().filter(|case| expects(case, core));
        if let (Some(one), None) = (found.next(), found.next()) {
            return Ok(Some(one));
        }
    }
    Ok(None)
}

/// Whether a case waits for this declarant's import filing.
fn expects(case: &CaseRecord, core: &v1::FilingCore) -> bool {
    let is = |t: i32, kind: FilingType| t == kind as i32;
    let origin = case.filings.iter().any(|f| {
        (is(f.r#type, FilingType::Export) || is(f.r#type, FilingType::Advance))
            && f.country_of_destination == core.country_of_destination
            && f.importer_id == core.declarant_id
            && !is_invalidated(case, f)
    });
    let imported =
        case.filings.iter().any(|f| is(f.r#type, FilingType::Import) && !is_invalidated(case, f));
    origin && !imported && !goods_released(case)
}

impl Casebook<'_> {
    /// The cases that this one has to do with, of those that the caller sees.
    ///
    /// # Errors
    /// Reading.
    pub(crate) async fn links(
        &self,
        record: &CaseRecord,
        shown: &v1::Case,
    ) -> Result<Vec<v1::CaseLink>, StoreError> {
        let mut links = Links { book: self, record, out: Vec::new() };
        for name in record.selectors.iter().map(|s| s.name.as_str()) {
            if let Some(ucr) = name.strip_prefix("ucr ") {
                for kind in ["DCR", "MCR"] {
                    links.add(&selector::cites_name(kind, ucr), &Relation::CitedBy).await?;
                }
                links.add(name, &Relation::Beside).await?;
            } else if let Some((kind, ucr)) =
                name.strip_prefix("cites ").and_then(|c| c.split_once(' '))
            {
                links.add(&selector::ucr_name(ucr), &Relation::Cites).await?;
                // Consignments of one master; two that cite one consignment have nothing else in common.
                if kind == "MCR" {
                    links.add(name, &Relation::Beside).await?;
                }
            }
        }
        for mrn in record.filings.iter().map(|f| f.mrn.as_str()).filter(|m| !m.is_empty()) {
            links.add(&selector::supplements_name(mrn), &Relation::SupplementedBy).await?;
        }
        if self.viewer == Viewer::Agency {
            links.candidates(shown).await?;
        }
        Ok(links.out)
    }
}

/// How another case was found.
enum Relation {
    /// It cites this one's UCR.
    CitedBy,
    /// This one cites its UCR.
    Cites,
    /// Both have one UCR, or cite one master UCR.
    Beside,
    /// It supplements a simplified declaration of this one.
    SupplementedBy,
}

struct Links<'a, 'b> {
    book: &'a Casebook<'b>,
    record: &'a CaseRecord,
    out: Vec<v1::CaseLink>,
}

impl Links<'_, '_> {
    async fn add(&mut self, name: &str, relation: &Relation) -> Result<(), StoreError> {
        let found = Views(&*self.book.shared.store).selected(name, 0, NAMED_MAX).await?;
        for other in found {
            let known = self.out.iter().any(|l| l.case_id == other.case_id);
            if known || other.case_id == self.record.case_id || !self.sees(&other).await? {
                continue;
            }
            let relation = match relation {
                Relation::Beside => "beside",
                Relation::SupplementedBy => "supplemented-by",
                Relation::CitedBy if self.goes_back(&other, self.record).await? => "returned-by",
                Relation::CitedBy => "holds",
                Relation::Cites if self.goes_back(self.record, &other).await? => "return-of",
                Relation::Cites => "part-of",
            };
            self.push(&other, relation, 0);
        }
        Ok(())
    }

    fn push(&mut self, other: &CaseRecord, relation: &str, score: u32) {
        let ucr = other.filings.first().and_then(|f| f.summary.as_ref()).map(|s| s.ucr.clone());
        self.out.push(v1::CaseLink {
            case_id: other.case_id.clone(),
            ucr: ucr.unwrap_or_default(),
            relation: relation.to_owned(),
            score,
        });
    }

    async fn sees(&self, other: &CaseRecord) -> Result<bool, StoreError> {
        let book = self.book;
        standing::sees(book.shared, book.account, &other.accounts, &other.parties).await
    }

    /// Whether goods go back the way that they came: from where the other case's went, to where those came from.
    async fn goes_back(&self, back: &CaseRecord, there: &CaseRecord) -> Result<bool, StoreError> {
        let (Some(back), Some(there)) = (self.first(back).await?, self.first(there).await?) else {
            return Ok(false);
        };
        Ok(back.country_of_export == there.country_of_destination
            && back.country_of_destination == there.country_of_export)
    }

    /// Core of the first filing of a case.
    async fn first(&self, case: &CaseRecord) -> Result<Option<v1::FilingCore>, StoreError> {
        let stands = case.filings.first().and_then(|f| f.stands.as_ref());
        Ok(self.book.read(stands).await?.and_then(|s| filing_of(&s).core))
    }

    /// Import filings without an export beside them: cases of the same importer whose goods may be the same ones, with how much agrees.
    async fn candidates(&mut self, shown: &v1::Case) -> Result<(), StoreError> {
        let filings = shown.filings.iter().filter_map(|f| f.filing.as_ref());
        let of =
            |f: &&v1::Filing, kind: FilingType| f.core.as_ref().is_some_and(|c| c.r#type() == kind);
        let alone =
            !filings.clone().any(|f| of(&f, FilingType::Export) || of(&f, FilingType::Advance));
        let Some(import) = filings.clone().find(|f| of(f, FilingType::Import)).filter(|_| alone)
        else {
            return Ok(());
        };
        let core = import.core.clone().unwrap_or_default();
        let importer =
            if core.importer_id.is_empty() { &core.declarant_id } else { &core.importer_id };
        let whose = Whose::Of { accounts: Vec::new(), parties: [importer.clone()].into() };
        let from = self.record.ordinal.saturating_sub(CANDIDATES_BACK);
        let cases = Views(&*self.book.shared.store).cases(&whose, from, CANDIDATES_MAX).await?;
        for case in cases {
            let known = self.out.iter().any(|l| l.case_id == case.case_id);
            if known || case.case_id == self.record.case_id {
                continue;
            }
            let kinds = [FilingType::Export as i32, FilingType::Advance as i32];
            let origin = case.filings.iter().find(|f| kinds.contains(&f.r#type));
            let origin = self.book.read(origin.and_then(|f| f.stands.as_ref())).await?;
            let Some(origin) = origin.map(|s| filing_of(&s)) else { continue };
            let score = matching::compare(&origin, import).score;
            if score >= CANDIDATE_SCORE {
                self.push(&case, "candidate", score);
            }
        }
        Ok(())
    }
}
