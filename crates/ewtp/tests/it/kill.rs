//! A kill loop: two hubs as processes under load, each killed again and again, against a ledger of acknowledgements that is
//! kept outside them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ewtp_proto::v1;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use ewtp_tls::TlsIdentity;
use tonic::Code;
use tonic::transport::Channel;

use crate::stage::{Hub, PATIENCE, advance, all_cases, pin, until};

/// SIGKILLs of each hub.
const KILLS: u32 = 50;
/// Clients of each hub, each with one filing in flight.
const CLIENTS: u32 = 4;
/// Changes settle every few filings, so that kills fall into settling and merging as well.
const LIMITS: &str =
    "\n[limits]\nfilings_per_second = 1000000\nfilings_burst = 1000000\nsettle_kib = 64\n";

/// What hubs acknowledged, by (hub, LRN).
type Ledger = Arc<Mutex<BTreeMap<(String, String), v1::Accepted>>>;

/// How a client reaches a hub that may be down.
#[derive(Clone)]
struct Way {
    hub: String,
    address: String,
    pin: [u8; 32],
    identity: TlsIdentity,
}

impl Way {
    async fn client(&self) -> TradeServiceClient<Channel> {
        loop {
            let dialled = ewtp_hub::client::dial(&self.identity, &self.address, vec![self.pin]);
            match dialled.await {
                Ok(channel) => return TradeServiceClient::new(channel),
                Err(_down) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Files until there is an answer: a filing without one may be logged or not, and filing it again finds out.
    async fn file(
        &self,
        client: &mut TradeServiceClient<Channel>,
        lrn: &str,
        to: &str,
    ) -> v1::Accepted {
        let request =
            v1::SubmitRequest { filing: Some(advance(lrn, &self.hub, to)), ..Default::default() };
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "{lrn} at {} has no answer", self.hub);
            match client.submit(request.clone()).await.map(|a| a.into_inner().result) {
                Ok(Some(v1::submit_response::Result::Accepted(accepted))) => return accepted,
                Ok(other) => panic!("{lrn} at {}: {other:?}", self.hub),
                Err(status) => {
                    let down = [Code::Unavailable, Code::Cancelled, Code::Unknown, Code::Internal];
                    assert!(down.contains(&status.code()), "{lrn} at {}: {status}", self.hub);
                    *client = self.client().await;
                }
            }
        }
    }
}

/// Files one after the other, and now and then an acknowledged one again, which must be answered as it was.
async fn load(way: Way, to: String, name: u32, ledger: Ledger, stop: Arc<AtomicBool>) {
    let mut client = way.client().await;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let lrn = format!("K{name}-{n:06}");
        let accepted = way.file(&mut client, &lrn, &to).await;
        let key = (way.hub.clone(), lrn.clone());
        assert_eq!(ledger.lock().unwrap().insert(key, accepted.clone()), None);
        if n % 16 == 0 {
            let again = way.file(&mut client, &lrn, &to).await;
            assert!(again.repeated_submission, "{lrn} at {} was logged twice", way.hub);
            assert_eq!(
                (again.log_index, again.commitment, again.case_id),
                (accepted.log_index, accepted.commitment, accepted.case_id)
            );
        }
    }
}

/// Kills and starts; gives the hub back, running.
fn kill_again_and_again(mut hub: Hub, moments: &[u64; 8], acknowledged: impl Fn() -> usize) -> Hub {
    for n in 0..KILLS as usize {
        let before = acknowledged();
        std::thread::sleep(Duration::from_millis(moments[n % 8]));
        // Killed under load: not before it acknowledged something since it started.
        let started = Instant::now();
        while acknowledged() == before {
            assert!(started.elapsed() < PATIENCE, "{} acknowledges nothing", hub.process.hub);
            std::thread::sleep(Duration::from_millis(1));
        }
        hub.process.kill().unwrap();
        if n % 5 == 4 {
            // Once more before it is ready: in the middle of reading what is true.
            hub.process.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(moments[n % 8] / 2));
            hub.process.kill().unwrap();
        }
        hub.process.start().unwrap();
    }
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_and_decided_after_fifty_kills_of_each_hub() {
    let dir = tempfile::tempdir().unwrap();
    let open = |id: &str, rules: &str| {
        let mut hub = Hub::make(dir.path(), id);
        hub.process.configure(LIMITS).unwrap();
        hub.process.start().unwrap();
        hub.save_profile("operator");
        hub.publish(rules);
        hub.add_account("platform", "platform");
        hub
    };
    let (be, sg) = (open("BE", "be-advance"), open("SG", "sg-advance"));
    pin(&be, &sg, "full");
    let (ledger, stop) = (Ledger::default(), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for (hub, other) in [(&be, &sg), (&sg, &be)] {
        let way = Way {
            hub: hub.process.hub.clone(),
            address: hub.process.clients(),
            pin: hub.process.server_spki,
            identity: hub.identity("platform"),
        };
        for name in 0..CLIENTS {
            let (to, ledger, stop) = (other.process.hub.clone(), ledger.clone(), stop.clone());
            #[expect(clippy::disallowed_methods, reason = "owned by this set and joined below")]
            clients.spawn(load(way.clone(), to, name, ledger, stop));
        }
    }
    // Different rhythms, so that each is killed while the other is up, starting, catching up or down.
    let rhythms = [(be, [5, 60, 20, 150, 1, 90, 35, 10]), (sg, [40, 2, 110, 15, 70, 25, 200, 4])];
    let killers = rhythms.map(|(hub, moments)| {
        let (ledger, name) = (ledger.clone(), hub.process.hub.clone());
        let count = move || ledger.lock().unwrap().keys().filter(|(h, _)| *h == name).count();
        tokio::task::spawn_blocking(move || kill_again_and_again(hub, &moments, count))
    });
    let [be, sg] = killers;
    let (be, sg) = (be.await.unwrap(), sg.await.unwrap());
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    assert!(ledger.len() >= 2 * KILLS as usize, "{} filings are no load", ledger.len());
    for (hub, other) in [(&be, &sg), (&sg, &be)] {
        account_for(hub, other, &ledger).await;
    }
}

/// Every acknowledged filing of a hub stands there and at the other, once, decided, as it was acknowledged.
async fn account_for(hub: &Hub, other: &Hub, ledger: &BTreeMap<(String, String), v1::Accepted>) {
    let name = hub.process.hub.as_str();
    let wanted: BTreeMap<&str, &v1::Accepted> =
        ledger.iter().filter(|((h, _), _)| h == name).map(|((_, l), a)| (l.as_str(), a)).collect();
    let officer = &hub.trade("operator").await;
    let rows = until("the last decision", || async move {
        let rows = all_cases(&mut officer.clone()).await;
        let rows: Vec<_> = rows.into_iter().filter(|r| r.filed_at == name).collect();
        rows.iter().all(|r| !r.decisions.is_empty()).then_some(rows)
    })
    .await;
    let mut found: BTreeMap<&str, &v1::CaseSummary> = BTreeMap::new();
    for row in &rows {
        let before = found.insert(row.lrn.as_str(), row);
        assert!(before.is_none(), "{name} holds {} twice", row.lrn);
    }
    // Each client filed until it had an answer, so both say exactly the same.
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    let theirs = all_cases(&mut other.trade("operator").await).await;
    let theirs: BTreeMap<String, v1::CaseSummary> =
        theirs.into_iter().filter(|r| r.filed_at == name).map(|r| (r.case_id.clone(), r)).collect();
    assert_eq!(theirs.len(), wanted.len());
    let mut client = officer.clone();
    for (lrn, accepted) in wanted {
        let request = v1::GetCaseRequest { case_id: accepted.case_id.clone() };
        let case = client.get_case(request).await.unwrap().into_inner().case.unwrap();
        let statement = case.filings[0].statement.clone().unwrap();
        assert_eq!(
            (statement.log_index, &statement.commitment),
            (accepted.log_index, &accepted.commitment),
            "{lrn} stands elsewhere than was acknowledged"
        );
        let there = &theirs[&accepted.case_id];
        assert_eq!((there.state, &there.decisions), (case.state, &found[lrn].decisions), "{lrn}");
        // One decision on each effect, however often the desk was killed at it.
        let effects: Vec<i32> =
            case.decisions.iter().map(|d| d.core.clone().unwrap().effect).collect();
        let mut once = effects.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), effects.len(), "{lrn} was decided twice: {effects:?}");
    }
}
