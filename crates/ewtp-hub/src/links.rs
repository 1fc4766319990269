//! Cases that have to do with each other: returns, parts of a consignment, consignments of a master, supplements; and which case an import
//! filing that was lodged apart is of.

use ewtp_proto::store::v1::{CaseRecord, FilingRecord};
use ewtp_proto::v1;
use ewtp_store::{StoreError, Views, Whose};
use ewtp_trade::case::{goods_released, is_invalidated};
use ewtp_trade::matching;
use ewtp_trade::selector::{self, Link};
use v1::FilingType;

use crate::casebook::{Casebook, Viewer, filing_of};
use crate::shared::Shared;
use crate::standing;

/// Most cases that are looked at by one name at once.
const NAMED_MAX: usize = 20;
/// Most pages of them.
const NAMED_PAGES: usize = 10;
/// Most cases that are looked at to link one.
const LOOKED_MAX: usize = 100;
/// Most names that are looked up to link one.
const NAMES_MAX: usize = 64;
/// Most cases of an importer that are looked through for candidates.
const CANDIDATES_LOOKED: usize = 500;
/// Most candidates that are shown, the best.
const CANDIDATES_MAX: usize = 10;
/// How many cases of the hub before the import's own one are looked through for them.
const CANDIDATES_BACK: u64 = 20_000;
/// Least that has to agree of a candidate, of 100.
const CANDIDATE_SCORE: u32 = 60;

/// The case of an import filing that names none: that of the goods with its UCR, else with its transport document, whose export filing
/// names the declarant as importer. Nobody is drawn into a case by somebody who merely names them: the export has to be of the
/// exporter that the import names, and by a transport document, which others can guess, it has to name one. One case, or none: where
/// several fit, people choose.
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
    if !core.ucr.is_empty()
        && let Some(case) = only_one(shared, core, &selector::ucr_name(&core.ucr)).await?
    {
        return Ok(Some(case));
    }
    let document = goods.map_or("", |g| g.transport_document.as_str());
    if document.is_empty() || core.exporter_id.is_empty() {
        return Ok(None);
    }
    only_one(shared, core, &selector::document_name(document)).await
}

/// The one case of a name that waits for this import filing.
async fn only_one(
    shared: &Shared,
    core: &v1::FilingCore,
    name: &str,
) -> Result<Option<CaseRecord>, StoreError> {
    let (mut from, mut found) = (0, None);
    for _ in 0..NAMED_PAGES {
        let page = Views(&*shared.store).selected(name, from, NAMED_MAX).await?;
        let Some(last) = page.last() else { break };
        from = last.ordinal + 1;
        for case in page.into_iter().filter(|case| expects(case, core)) {
            if found.replace(case).is_some() {
                return Ok(None);
            }
        }
    }
    Ok(found)
}

/// Whether a case waits for this declarant's import filing.
fn expects(case: &CaseRecord, core: &v1::FilingCore) -> bool {
    let is = |f: &FilingRecord, kind: FilingType| f.r#type == kind as i32;
    let exported = case.filings.iter().any(|f| {
        is(f, FilingType::Export)
            && f.country_of_destination == core.country_of_destination
            && f.importer_id == core.declarant_id
            && !is_invalidated(case, f)
    });
    let exporter = core.exporter_id.is_empty() || case.parties.contains(&core.exporter_id);
    exported && exporter && !is_imported(case) && !goods_released(case)
}

/// Whether a case has an import filing.
fn is_imported(case: &CaseRecord) -> bool {
    let import = |f: &&FilingRecord| f.r#type == FilingType::Import as i32;
    case.filings.iter().filter(import).any(|f| !is_invalidated(case, f))
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
        let mut links = Links { book: self, record, out: Vec::new(), looked: 0, names: 0 };
        for name in record.selectors.iter().map(|s| s.name.as_str()) {
            match Link::parse(name) {
                Some(Link::Ucr(ucr)) => {
                    for kind in ["DCR", "MCR"] {
                        links.add(&selector::cites_name(kind, ucr), &Relation::CitedBy).await?;
                    }
                    links.add(name, &Relation::Beside).await?;
                }
                Some(Link::Cites { kind, ucr }) => {
                    links.add(&selector::ucr_name(ucr), &Relation::Cites).await?;
                    // Consignments of one master; two that cite one consignment have nothing else in common.
                    if kind == "MCR" {
                        links.add(name, &Relation::Beside).await?;
                    }
                }
                Some(Link::Supplements(_)) | None => {}
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
    /// Cases and names looked at so far.
    looked: usize,
    names: usize,
}

impl Links<'_, '_> {
    async fn add(&mut self, name: &str, relation: &Relation) -> Result<(), StoreError> {
        self.names += 1;
        let room = LOOKED_MAX.saturating_sub(self.looked).min(NAMED_MAX);
        if self.names > NAMES_MAX || room == 0 {
            return Ok(());
        }
        let found = Views(&*self.book.shared.store).selected(name, 0, room).await?;
        self.looked += found.len();
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
        let mut from = self.record.ordinal.saturating_sub(CANDIDATES_BACK);
        let (mut best, mut looked) = (Vec::new(), 0);
        while looked < CANDIDATES_LOOKED {
            let views = Views(&*self.book.shared.store);
            let page = views.cases(&whose, from, NAMED_MAX).await?;
            let Some(last) = page.last() else { break };
            (from, looked) = (last.ordinal + 1, looked + page.len());
            for case in page {
                let known = self.out.iter().any(|l| l.case_id == case.case_id);
                if known || is_imported(&case) || goods_released(&case) {
                    continue;
                }
                let score = self.agreement(&case, import).await?;
                if score >= CANDIDATE_SCORE {
                    best.push((score, case));
                }
            }
        }
        // The newest of those that agree as much.
        best.sort_by_key(|(score, case)| std::cmp::Reverse((*score, case.ordinal)));
        for (score, case) in best.into_iter().take(CANDIDATES_MAX) {
            self.push(&case, "candidate", score);
        }
        Ok(())
    }

    /// How much of an import filing agrees with the origin's filing of a case.
    async fn agreement(&self, case: &CaseRecord, import: &v1::Filing) -> Result<u32, StoreError> {
        let kinds = [FilingType::Export as i32, FilingType::Advance as i32];
        let origin = case.filings.iter().find(|f| kinds.contains(&f.r#type));
        let origin = self.book.read(origin.and_then(|f| f.stands.as_ref())).await?;
        Ok(origin.map_or(0, |s| matching::compare(&filing_of(&s), import).score))
    }
}
