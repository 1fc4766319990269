//! Code lists between hubs: editions that this hub publishes to its peers, and those that it heard.
//!
//! A hub that joins is told the editions that hold or will hold; what is over isn't said again.

use std::sync::Arc;

use ewtp_log::HubId;
use ewtp_proto::store::v1::StoredCodeList;
use ewtp_proto::v1;
use ewtp_store::{Store, StoreError, Views};
use ewtp_trade::CodeLists;
use ewtp_trade::finding::{Say, finding};
use ewtp_trade::lists::Edition;
use ewtp_trade::route::{CUSTOMS, Speaker};
use ewtp_trade::scope::shows_statement;

use crate::directory::{Directory, Peer};
use crate::draft::{Draft, NewStatement, SayError};
use crate::shared::Shared;

/// Most editions of one peer that are taken: all of them are read whenever one is added.
const EDITIONS_MAX: usize = 400;

/// Reads an edition as its hub published it: of codes by country, those of its own territories alone.
///
/// # Errors
/// Every fault.
pub fn edition(
    core: &v1::CodeListCore,
    publisher: &str,
    hub: &Speaker<'_>,
) -> Result<Edition, Vec<v1::Finding>> {
    let edition = Edition::published(core, publisher)?;
    let foreign: Vec<v1::Finding> = edition
        .countries()
        .filter(|country| !hub.speaks_for(country, CUSTOMS))
        .map(|country| {
            let allowed = format!("codes of {}", hub.territories.join(", "));
            let fix = "leave other countries' codes to their hubs";
            finding("text", country, Say { code: "territory", allowed: &allowed, fix })
        })
        .collect();
    if foreign.is_empty() { Ok(edition) } else { Err(foreign) }
}

/// What is wrong with an edition that a peer said: its name is used once, though it may be said again as it was.
///
/// # Errors
/// Reading.
pub async fn heard(
    store: &dyn Store,
    peer: &Peer,
    core: &v1::CodeListCore,
) -> Result<Vec<v1::Finding>, StoreError> {
    if let Err(faults) = edition(core, peer.hub.as_str(), &peer.speaker()) {
        return Ok(faults);
    }
    let stored = Views(store).code_lists().await?;
    let theirs: Vec<&v1::CodeListCore> = stored
        .iter()
        .filter(|s| s.hub == peer.hub.as_str())
        .filter_map(|s| s.core.as_ref())
        .collect();
    let same = theirs.iter().find(|c| (&c.list, &c.edition) == (&core.list, &core.edition));
    let fault = |value: &str, allowed: &str| {
        let fix = "say it under another name";
        vec![finding("core.edition", value, Say { code: "edition", allowed, fix })]
    };
    Ok(match same {
        Some(before) if **before == *core => Vec::new(),
        Some(_) => fault(&core.edition, "the edition as it was said first"),
        None if theirs.len() >= EDITIONS_MAX => {
            fault(&theirs.len().to_string(), "at most 400 editions of one hub")
        }
        None => Vec::new(),
    })
}

/// The lists that hold for a while: until another edition begins, or the directory knows others.
pub(crate) struct InForce {
    directory: Arc<Directory>,
    from_ms: i64,
    until_ms: i64,
    lists: Arc<CodeLists>,
}

/// The lists that hold now. Every filing asks for them, and they change once in weeks.
pub(crate) fn in_force(shared: &Shared, now_ms: i64) -> Arc<CodeLists> {
    let directory = shared.directory.load_full();
    let known = shared.lists_in_force.load();
    let fits = |known: &&Arc<InForce>| {
        Arc::ptr_eq(&known.directory, &directory)
            && (known.from_ms..known.until_ms).contains(&now_ms)
    };
    if let Some(known) = known.as_ref().filter(fits) {
        return Arc::clone(&known.lists);
    }
    let book = shared.lists.with(&directory.code_lists);
    let lists = Arc::new(book.at(now_ms));
    let until_ms = book.next_beginning(now_ms);
    let in_force = InForce { directory, from_ms: now_ms, until_ms, lists: Arc::clone(&lists) };
    shared.lists_in_force.store(Some(Arc::new(in_force)));
    lists
}

/// Editions as the store has them, for the directory.
///
/// # Errors
/// Reading.
pub async fn load(store: &dyn Store) -> Result<Vec<Arc<Edition>>, StoreError> {
    let mut stored = Views(store).code_lists().await?;
    // Of two editions from the same day the one that was said later holds, whatever its name.
    stored.sort_by_key(|s| s.first);
    // They were checked when they were said or heard.
    let read = |s: StoredCodeList| Edition::published(&s.core?, &s.hub).ok().map(Arc::new);
    Ok(stored.into_iter().filter_map(read).collect())
}

/// Publishes an edition to every peer; whom it is said to.
///
/// # Errors
/// [`SayError`].
pub async fn publish(
    shared: &Arc<Shared>,
    core: &v1::CodeListCore,
) -> Result<Vec<String>, SayError> {
    let own = shared.own_descriptor();
    edition(core, "", &crate::directory::speaker(&own)).map_err(SayError::Faults)?;
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let stored = Views(&*shared.store).code_lists().await?;
    let used = stored.iter().filter(|s| s.hub.is_empty()).filter_map(|s| s.core.as_ref());
    if used.into_iter().any(|c| (&c.list, &c.edition) == (&core.list, &core.edition)) {
        let say = Say {
            code: "edition",
            allowed: "a name that was not used before: what was said stays said",
            fix: "publish the correction under another name, from the same day",
        };
        return Err(SayError::Faults(vec![finding("edition", &core.edition, say)]));
    }
    let directory = shared.directory.load_full();
    let audience: Vec<HubId> = listeners(&directory).cloned().collect();
    let told = audience.iter().map(ToString::to_string).collect();
    let statement = statement(core, next_number(&stored, &core.list), audience)?;
    let draft = Draft { statements: vec![statement], ..Draft::default() };
    shared.own.submit_act(draft, act).await?;
    Ok(told)
}

/// Says what this hub published to peers that joined since.
///
/// # Errors
/// [`SayError`].
pub async fn tell_newcomers(shared: &Arc<Shared>) -> Result<(), SayError> {
    let act = Arc::clone(&shared.acts).lock_owned().await;
    let stored = Views(&*shared.store).code_lists().await?;
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let now = in_force(shared, now_ms);
    let directory = shared.directory.load_full();
    let active: Vec<&HubId> = listeners(&directory).collect();
    let mut draft = Draft::default();
    for list in stored.iter().filter(|s| s.hub.is_empty()) {
        let Some(core) = &list.core else { continue };
        let Ok(edition) = Edition::published(core, "") else { continue };
        if edition.from_ms <= now_ms && !now.has(&edition) {
            continue;
        }
        let untold = active.iter().filter(|h| !list.told.iter().any(|t| t == h.as_str()));
        let audience: Vec<HubId> = untold.map(|h| (*h).clone()).collect();
        if !audience.is_empty() {
            let said = draft.statements.iter().filter(|s| s.id.subject == core.list).count() as u64;
            let number = next_number(&stored, &core.list) + said;
            draft.statements.push(statement(core, number, audience)?);
        }
    }
    if !draft.statements.is_empty() {
        shared.own.submit_act(draft, act).await?;
    }
    Ok(())
}

/// Active peers whose data scope has this kind.
fn listeners(directory: &Directory) -> impl Iterator<Item = &HubId> {
    let told = |p: &&Arc<Peer>| {
        let scope = p.record.scope.as_ref();
        p.is_active() && scope.is_some_and(|s| shows_statement(s, "code-list", None))
    };
    directory.peers.values().filter(told).map(|p| &p.hub)
}

fn next_number(stored: &[StoredCodeList], list: &str) -> u64 {
    let own = stored.iter().filter(|s| s.hub.is_empty());
    let of_list = own.filter(|s| s.core.as_ref().is_some_and(|c| c.list == list));
    of_list.map(|s| s.number).max().unwrap_or(0) + 1
}

fn statement(
    core: &v1::CodeListCore,
    number: u64,
    audience: Vec<HubId>,
) -> Result<NewStatement, getrandom::Error> {
    let mut statement = NewStatement::new("code-list", &core.list, number)?.part("core", core)?;
    statement.audience = audience;
    Ok(statement)
}

/// All editions, those that come with the program first.
#[must_use]
pub fn rows(shared: &Shared) -> Vec<v1::CodeListRow> {
    let now_ms = i64::try_from(shared.clock.now_ms()).unwrap_or(i64::MAX);
    let book = shared.lists.with(&shared.directory.load().code_lists);
    let now = in_force(shared, now_ms);
    let row = |e: &Edition| v1::CodeListRow {
        hub: e.publisher.clone(),
        list: e.kind.name().to_owned(),
        edition: e.name.clone(),
        from_ms: e.from_ms,
        codes: u32::try_from(e.len()).unwrap_or(u32::MAX),
        in_force: now.has(e),
    };
    book.editions().map(row).collect()
}
