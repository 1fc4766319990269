//! The story, step by step, as it happens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ewtp_proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use v1::submit_response::Result as Outcome;

use super::Score;
use super::filings::{Goods, advance};
use super::stage::{BE, KE, SG, Stage, failed};
use crate::commands::case::{rows, state_name};
use crate::commands::receipt::{fetch, statements};
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Most filings that wait for the strike.
const FILINGS_MAX: u32 = 50_000;
/// Longest wait for anything in the story.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// A receipt on disk and the issuer's descriptors.
pub(crate) struct Kept {
    receipt: PathBuf,
    descriptors: PathBuf,
}

pub(super) fn demo(text: impl Into<String>) -> CliError {
    CliError::Demo(text.into())
}

/// Plays everything that needs running hubs; gives the receipts that are verified after they ended.
pub(crate) async fn play(
    stage: &mut Stage,
    score: &mut Score,
    backlog: u32,
    out: &Output,
) -> Result<Vec<Kept>, CliError> {
    let platform = Session::open(Some(&stage.platform_profile())).await?;
    let mut ledger: BTreeMap<String, String> = BTreeMap::new();
    let mut keep = Vec::new();
    keep.push(cleared(stage, &platform, &mut ledger, out).await?);
    keep.push(asked(stage, &platform, &mut ledger, out).await?);
    keep.push(do_not_load(stage, &platform, &mut ledger, out).await?);
    keep.push(narrow_scope(&platform, &mut ledger, out).await?);
    let receipts = export(stage, &platform, &keep, out).await?;
    crash(stage, &platform, &mut ledger, score, backlog, out).await?;
    settle(stage, &platform, &ledger, score, out).await?;
    Ok(receipts)
}

pub(super) async fn file(platform: &Session, goods: &Goods) -> Result<v1::Accepted, CliError> {
    let response = platform.trade().submit(advance(goods)).await?.into_inner();
    match response.result {
        Some(Outcome::Accepted(accepted)) => Ok(accepted),
        Some(Outcome::Refused(refused)) => {
            Err(demo(format!("{} was refused: {:?}", goods.lrn, refused.violations)))
        }
        None => Err(demo("an empty answer")),
    }
}

/// The same, with an entry in the platform's ledger.
async fn file_and_note(
    platform: &Session,
    goods: &Goods,
    ledger: &mut BTreeMap<String, String>,
) -> Result<v1::Accepted, CliError> {
    let accepted = file(platform, goods).await?;
    ledger.insert(accepted.case_id.clone(), goods.lrn.clone());
    Ok(accepted)
}

pub(super) async fn case(session: &Session, id: &str) -> Result<v1::Case, CliError> {
    let request = session.request(v1::GetCaseRequest { case_id: id.to_owned() });
    session.trade().get_case(request).await?.into_inner().case.ok_or_else(|| demo("no case"))
}

/// Waits until a case is in a state.
pub(super) async fn wait_for(
    session: &Session,
    id: &str,
    state: v1::CaseState,
) -> Result<v1::Case, CliError> {
    let started = Instant::now();
    loop {
        let now = case(session, id).await?;
        if now.state() == state {
            return Ok(now);
        }
        if started.elapsed() > PATIENCE {
            return Err(demo(format!(
                "{id} is {}, not {}",
                state_name(now.state),
                state_name(state as i32)
            )));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn say_decisions(case: &v1::Case, who: &str, out: &Output) {
    for d in &case.decisions {
        let core = d.core.clone().unwrap_or_default();
        let effect = core.effect().as_str_name().trim_start_matches("EFFECT_").to_ascii_lowercase();
        let code = core.code().as_str_name().trim_start_matches("DECISION_CODE_");
        out.say(&format!("  {who} decides on {effect}: {code}"));
        for text in &d.texts {
            out.say(&format!("    {text}"));
        }
        if !core.insufficient_scope.is_empty() {
            out.say(&format!(
                "    not judged for want of data in scope: {}",
                core.insufficient_scope.join(", ")
            ));
        }
        if let Some(estimate) = d.trader.as_ref().and_then(|t| t.estimate.as_ref()) {
            let total = estimate.total.clone().unwrap_or_default();
            out.say(&format!(
                "    duty and tax to expect: {} {}, as of {}",
                total.amount, total.currency, estimate.for_date
            ));
        }
    }
}

async fn cleared(
    stage: &Stage,
    platform: &Session,
    ledger: &mut BTreeMap<String, String>,
    out: &Output,
) -> Result<String, CliError> {
    out.say("\n1. A coffee cooperative in Nyeri, Kenya, sells to a roaster in Gent. Its platform files once, at Kenya's hub.");
    let goods = Goods {
        lrn: "COOP-0001".into(),
        exporter: "Nyeri Hills Farmers Cooperative",
        consignee: "Koffiebranderij De Molen",
        destination: "BE",
        items: vec![
            ("090111", "Arabica coffee, green, washed", "600", "3300"),
            ("090240", "Black tea, fermented", "50", "350"),
            ("460219", "Baskets woven of sisal", "30", "560"),
        ],
        filer_note: "",
    };
    let started = Instant::now();
    let accepted = file_and_note(platform, &goods, ledger).await?;
    out.say(&format!(
        "  filed and durable in {:.1} ms: case {}, MRN {}, log entry {}",
        started.elapsed().as_secs_f64() * 1e3,
        accepted.case_id,
        accepted.mrn,
        accepted.log_index
    ));
    let case = wait_for(platform, &accepted.case_id, v1::CaseState::Cleared).await?;
    out.say(&format!(
        "  cleared {:.0} ms after it was filed, before the goods leave:",
        started.elapsed().as_secs_f64() * 1e3
    ));
    say_decisions(&case, "Belgium", out);
    let replay = stage.ewtp(&[
        "--profile",
        &stage.operator_profile(BE).display().to_string(),
        "case",
        "replay",
        &accepted.case_id,
    ])?;
    if !replay.status.success() {
        return Err(demo(format!(
            "the replay differs: {}",
            String::from_utf8_lossy(&replay.stdout)
        )));
    }
    out.say(
        "  replayed by `ewtp case replay` from receipts of facts and rulesets: the same decisions",
    );
    Ok(accepted.case_id)
}

async fn asked(
    stage: &Stage,
    platform: &Session,
    ledger: &mut BTreeMap<String, String>,
    out: &Output,
) -> Result<String, CliError> {
    let _ = stage;
    out.say("\n2. The next filing says `parts` and nothing more. Belgium asks before it decides.");
    let goods = Goods {
        lrn: "COOP-0002".into(),
        exporter: "Nyeri Hills Farmers Cooperative",
        consignee: "Koffiebranderij De Molen",
        destination: "BE",
        items: vec![("847990", "parts", "12", "480")],
        filer_note: "",
    };
    let started = Instant::now();
    let accepted = file_and_note(platform, &goods, ledger).await?;
    let waiting = wait_for(platform, &accepted.case_id, v1::CaseState::InfoRequested).await?;
    let request = waiting.info_requests.first().cloned().unwrap_or_default();
    out.say(&format!(
        "  asked after {:.0} ms: {}",
        started.elapsed().as_secs_f64() * 1e3,
        request.texts.join(" ")
    ));
    let text = "Spare rollers for a coffee pulping machine, steel, for repair";
    let question = request.trader.and_then(|t| t.questions.first().cloned()).unwrap_or_default();
    let answer = v1::AnswerInformationRequestRequest {
        case_id: accepted.case_id.clone(),
        request: request.statement.unwrap_or_default().commitment,
        answers: vec![v1::Answer { code: question.code, value: text.into() }],
        ..Default::default()
    };
    platform.trade().answer_information_request(answer).await?;
    out.say(&format!("  the filer answers: {text}"));
    let answered = Instant::now();
    let case = wait_for(platform, &accepted.case_id, v1::CaseState::Cleared).await?;
    out.say(&format!(
        "  cleared {:.0} ms after the answer:",
        answered.elapsed().as_secs_f64() * 1e3
    ));
    say_decisions(&case, "Belgium", out);
    Ok(accepted.case_id)
}

async fn do_not_load(
    stage: &Stage,
    platform: &Session,
    ledger: &mut BTreeMap<String, String>,
    out: &Output,
) -> Result<String, CliError> {
    out.say("\n3. Fireworks by air. They must not be loaded; and authorities know something that traders must not see.");
    let goods = Goods {
        lrn: "COOP-0003".into(),
        exporter: "Blackwater Trading Ltd",
        consignee: "Feest NV",
        destination: "BE",
        items: vec![("360410", "Fireworks, assorted rockets", "80", "900")],
        filer_note: "",
    };
    let started = Instant::now();
    let accepted = file_and_note(platform, &goods, ledger).await?;
    let case_here = wait_for(platform, &accepted.case_id, v1::CaseState::DoNotLoad).await?;
    out.say(&format!(
        "  do not load, {:.0} ms after it was filed. What the trader sees:",
        started.elapsed().as_secs_f64() * 1e3
    ));
    say_decisions(&case_here, "Belgium", out);
    let secret = "RISK-EXPORTER";
    let shown = format!("{case_here:?}");
    let officer = stage.operator(BE).await?;
    let there = case(&officer, &accepted.case_id).await?;
    let authority: Vec<String> = there
        .decisions
        .iter()
        .filter_map(|d| d.authority.as_ref())
        .flat_map(|a| a.reasons.iter().map(|r| r.code.clone()))
        .collect();
    if shown.contains(secret) || !authority.iter().any(|code| code == secret) {
        return Err(demo("the reason for authorities is not where it should be"));
    }
    for (_, statement) in statements(&case_here) {
        let (receipt, _) = fetch(platform, &accepted.case_id, &statement, false).await?;
        if receipt.contains("# part authority") || receipt.contains("# part internal") {
            return Err(demo("a trader's receipt shows a part for authorities"));
        }
    }
    let texts: Vec<String> = there.decisions.iter().flat_map(|d| d.texts.clone()).collect();
    out.say("  What Belgium's officers see beside it:");
    for text in texts.iter().filter(|t| !case_here.decisions.iter().any(|d| d.texts.contains(t))) {
        out.say(&format!("    {text}"));
    }
    out.say("  neither the trader's view nor its receipts show that part; its size is padded, so that it says nothing");
    Ok(accepted.case_id)
}

async fn narrow_scope(
    platform: &Session,
    ledger: &mut BTreeMap<String, String>,
    out: &Output,
) -> Result<String, CliError> {
    out.say("\n4. A parcel of tea for Singapore, which Kenya shows only ACDD's fifteen fields: no prices, no addresses.");
    let goods = Goods {
        lrn: "COOP-0004".into(),
        exporter: "Nyeri Hills Farmers Cooperative",
        consignee: "Tea Chapter Pte",
        destination: "SG",
        items: vec![("090240", "Black tea, fermented", "20", "140")],
        filer_note: "",
    };
    let started = Instant::now();
    let accepted = file_and_note(platform, &goods, ledger).await?;
    let case = wait_for(platform, &accepted.case_id, v1::CaseState::Cleared).await?;
    out.say(&format!(
        "  cleared {:.0} ms after it was filed:",
        started.elapsed().as_secs_f64() * 1e3
    ));
    say_decisions(&case, "Singapore", out);
    Ok(accepted.case_id)
}

async fn export(
    stage: &Stage,
    platform: &Session,
    cases: &[String],
    out: &Output,
) -> Result<Vec<Kept>, CliError> {
    let dir = stage.dir.join("receipts");
    std::fs::create_dir_all(&dir).map_err(CliError::io(&dir))?;
    let mut kept = Vec::new();
    for id in cases {
        let case = case(platform, id).await?;
        for (kind, statement) in statements(&case) {
            let (receipt, descriptors) = fetch(platform, id, &statement, false).await?;
            let file =
                dir.join(format!("{}-{}-{kind}.ewtp-receipt", statement.hub, statement.log_index));
            let chain = dir.join(format!("{}.descriptors.jsonl", statement.hub));
            std::fs::write(&file, receipt).map_err(CliError::io(&file))?;
            std::fs::write(&chain, descriptors).map_err(CliError::io(&chain))?;
            kept.push(Kept { receipt: file, descriptors: chain });
        }
    }
    out.say(&format!("\nThe platform takes home {} receipts: filings, questions, answers and decisions of these cases.", kept.len()));
    Ok(kept)
}

/// Statements that BE still has to hear from KE.
async fn lag(stage: &Stage) -> Result<u64, CliError> {
    let of = |session: Session, hub: &'static str| async move {
        let peers =
            session.operator().list_peers(v1::ListPeersRequest {}).await?.into_inner().peers;
        let found = peers.into_iter().find(|p| p.peer.as_ref().is_some_and(|r| r.hub == hub));
        found.ok_or_else(|| demo("no such peer"))
    };
    let said = of(stage.operator(KE).await?, "BE").await?.lane_out;
    let heard = of(stage.operator(BE).await?, "KE").await?.lane_in;
    Ok(said.saturating_sub(heard))
}

async fn crash(
    stage: &mut Stage,
    platform: &Session,
    ledger: &mut BTreeMap<String, String>,
    score: &mut Score,
    backlog: u32,
    out: &Output,
) -> Result<(), CliError> {
    out.say(&format!("\n5. At least {backlog} more filings stream in at Kenya's hub. In the middle of it Belgium's daemon is killed (SIGKILL)."));
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    let struck_flag = AtomicBool::new(false);
    let struck_already = &struck_flag;
    let feed = async move {
        // On a fast machine the destination may keep up for a while: filings go on until the strike has fallen.
        for n in 0..FILINGS_MAX {
            if n >= backlog && struck_already.load(Ordering::Relaxed) {
                return;
            }
            let goods = Goods {
                lrn: format!("BULK-{n:05}"),
                exporter: "Nyeri Hills Farmers Cooperative",
                consignee: "Koffiebranderij De Molen",
                destination: "BE",
                items: vec![("090111", "Arabica coffee, green, washed", "60", "330")],
                filer_note: "",
            };
            let item =
                v1::SubmitStreamRequest { sequence: u64::from(n), request: Some(advance(&goods)) };
            if sender.send(item).await.is_err() {
                return;
            }
        }
    };
    let started = Instant::now();
    let mut trade = platform.trade();
    let acknowledge = async {
        let mut acknowledged = BTreeMap::new();
        let mut responses = trade.submit_stream(ReceiverStream::new(receiver)).await?.into_inner();
        while let Some(response) = responses.message().await? {
            if let Some(Outcome::Accepted(accepted)) = response.response.and_then(|r| r.result) {
                acknowledged.insert(accepted.case_id, format!("BULK-{:05}", response.sequence));
            }
        }
        Ok::<_, CliError>(acknowledged)
    };
    let before = pages(stage, BE).await?;
    let strike = async {
        // Killed the moment it is behind: some of what it heard is decided, some is not, some it never heard.
        loop {
            let behind = lag(stage).await?;
            if behind > 0 {
                return Ok::<_, CliError>((behind, pages(stage, BE).await.unwrap_or(before)));
            }
            if started.elapsed() > PATIENCE {
                return Err(demo("Belgium never fell behind"));
            }
        }
    };
    let ((), acknowledged, struck) = {
        let feeding = async { tokio::join!(feed, acknowledge) };
        tokio::pin!(feeding);
        let struck = tokio::select! {
            struck = strike => struck?,
            (_, acknowledged) = &mut feeding => {
                // All were filed before the strike: then what was filed last is still to be heard.
                let acknowledged = acknowledged?;
                stage.hubs[BE].kill().map_err(failed)?;
                ledger.extend(acknowledged);
                return Err(demo("all filings were acknowledged before Belgium fell behind; use a larger --backlog"));
            }
        };
        stage.hubs[BE].kill().map_err(failed)?;
        struck_flag.store(true, Ordering::Relaxed);
        out.say(&format!("  killed while it was {} statements behind", struck.0));
        let ((), acknowledged) = feeding.await;
        ((), acknowledged?, struck)
    };
    score.pages_verified += struck.1;
    out.say(&format!(
        "  Kenya goes on alone: {} acknowledged and durable there ({:.1} s)",
        acknowledged.len(),
        started.elapsed().as_secs_f32()
    ));
    ledger.extend(acknowledged);
    let restarted = Instant::now();
    stage.hubs[BE].start().map_err(failed)?;
    score.restarts += 1;
    out.say(&format!("  Belgium's daemon starts again, reads what is true and subscribes at its cursor ({:.1} s)", restarted.elapsed().as_secs_f32()));
    Ok(())
}

async fn pages(stage: &Stage, hub: usize) -> Result<u64, CliError> {
    let status = stage
        .operator(hub)
        .await?
        .operator()
        .get_status(v1::GetStatusRequest {})
        .await?
        .into_inner();
    Ok(status.pages_verified)
}

/// Waits until everything is decided, then compares the ledger with what both sides list.
async fn settle(
    stage: &Stage,
    platform: &Session,
    ledger: &BTreeMap<String, String>,
    score: &mut Score,
    out: &Output,
) -> Result<(), CliError> {
    let started = Instant::now();
    let all = loop {
        let all = rows(
            platform,
            v1::ListCasesRequest { page_size: 1000, ..Default::default() },
            usize::MAX,
        )
        .await?;
        let waits = |r: &v1::CaseSummary| {
            !matches!(r.state(), v1::CaseState::Cleared | v1::CaseState::DoNotLoad)
        };
        if !all.iter().any(waits) && all.len() >= ledger.len() {
            break all;
        }
        if started.elapsed() > PATIENCE {
            return Err(demo(format!(
                "{} cases are still undecided",
                all.iter().filter(|r| waits(r)).count()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    out.say(&format!(
        "  everything is decided and known at both sides ({:.1} s)",
        started.elapsed().as_secs_f32()
    ));
    score.filed = ledger.len();
    score.cleared = all.iter().filter(|r| r.state() == v1::CaseState::Cleared).count();
    score.do_not_load = all.iter().filter(|r| r.state() == v1::CaseState::DoNotLoad).count();
    score.info_requests = all.iter().map(|r| r.info_requests).sum();
    let mut there = Vec::new();
    for hub in [BE, SG] {
        let session = stage.operator(hub).await?;
        there.extend(
            rows(
                &session,
                v1::ListCasesRequest { page_size: 1000, ..Default::default() },
                usize::MAX,
            )
            .await?,
        );
    }
    for side in [&all, &there] {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for row in side {
            *seen.entry(row.lrn.as_str()).or_default() += 1;
        }
        score.lost += ledger.values().filter(|lrn| !seen.contains_key(lrn.as_str())).count();
        score.doubled += seen.values().map(|n| n - 1).sum::<usize>();
        // More than one decision per effect would be a doubled piece of work.
        score.doubled += side.iter().map(|r| r.decisions.len().saturating_sub(2)).sum::<usize>();
    }
    for hub in [KE, BE, SG] {
        score.pages_verified += pages(stage, hub).await?;
    }
    out.say(&format!(
        "  by the platform's own ledger: {} acknowledged, {} lost, {} doubled; {} pages verified",
        ledger.len(),
        score.lost,
        score.doubled,
        score.pages_verified
    ));
    Ok(())
}

/// Verifies every receipt from its file and the issuer's descriptors, with nothing else running.
pub(crate) fn verify_offline(
    stage: &Stage,
    receipts: &[Kept],
    score: &mut Score,
    out: &Output,
) -> Result<(), CliError> {
    let started = Instant::now();
    for kept in receipts {
        let (receipt, chain) =
            (kept.receipt.display().to_string(), kept.descriptors.display().to_string());
        let verified = stage.ewtp(&["receipt", "verify", &receipt, "--descriptor", &chain])?;
        if !verified.status.success() {
            return Err(demo(format!("{receipt}: {}", String::from_utf8_lossy(&verified.stderr))));
        }
        score.receipts_verified += 1;
    }
    out.say(&format!(
        "{} receipts verify offline with `ewtp receipt verify`, from receipt and descriptor alone ({:.0} ms).",
        score.receipts_verified,
        started.elapsed().as_secs_f64() * 1e3
    ));
    Ok(())
}
