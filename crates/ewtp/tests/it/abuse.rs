//! Bad input, and what it gets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ewtp_proto::v1;
use ewtp_tls::TlsIdentity;
use tonic::Code;
use v1::submit_response::Result as Outcome;

use crate::stage::{Hub, advance, all_cases, file, submit, until};

fn one_hub(dir: &std::path::Path) -> Hub {
    let hub = Hub::start(dir, "KE");
    hub.add_account("platform", "platform");
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_fails_the_handshake_and_is_logged_with_its_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let stranger = TlsIdentity::generate("stranger", &["stranger.invalid".into()]).unwrap();
    for address in [hub.process.clients(), hub.process.federation()] {
        let dialled =
            ewtp_hub::client::dial(&stranger, &address, vec![hub.process.server_spki]).await;
        // TLS 1.3: the client may learn of the refusal with its first call only.
        if let Ok(channel) = dialled {
            let mut client = v1::trade_service_client::TradeServiceClient::new(channel);
            assert!(client.list_cases(v1::ListCasesRequest::default()).await.is_err());
        }
    }
    let fingerprint = ewtp_log::Hash(stranger.spki()).to_hex();
    until("the line in the log", || async {
        let log = std::fs::read_to_string(hub.process.log()).unwrap();
        (log.matches(&fingerprint).count() >= 2).then_some(())
    })
    .await;
    // Once per listener, however often it is tried.
    for _ in 0..3 {
        let again = ewtp_hub::client::dial(
            &stranger,
            &hub.process.clients(),
            vec![hub.process.server_spki],
        )
        .await;
        if let Ok(channel) = again {
            let mut client = v1::trade_service_client::TradeServiceClient::new(channel);
            assert!(client.list_cases(v1::ListCasesRequest::default()).await.is_err());
        }
    }
    let log = std::fs::read_to_string(hub.process.log()).unwrap();
    assert_eq!(log.matches(&fingerprint).count(), 2);
    // The other way round: a client that pins another server key refuses this hub.
    let wrong =
        ewtp_hub::client::dial(&hub.identity("platform"), &hub.process.clients(), vec![[7; 32]])
            .await;
    assert!(wrong.unwrap_err().to_string().contains("is not pinned here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_garbage_connections_delay_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::make(dir.path(), "KE");
    hub.process.configure("\n[limits]\nhandshake_ms = 60000\n").unwrap();
    hub.process.start().unwrap();
    hub.save_profile("operator");
    hub.add_account("platform", "platform");
    let mut silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(hub.process.clients()).unwrap()).collect();
    let mut garbage = TcpStream::connect(hub.process.clients()).unwrap();
    garbage.write_all(&[0xa5; 4096]).unwrap();
    let mut trade = hub.trade("platform").await;
    file(&mut trade, advance("BUSY-1", "KE", "BE")).await;
    // Filed while all the silent ones were still waiting for their deadline.
    silent[99].set_nonblocking(true).unwrap();
    assert_eq!(silent[99].read(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    garbage.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut alert = Vec::new();
    garbage.read_to_end(&mut alert).ok();
    assert!(alert.len() < 64, "garbage gets an alert at most, and the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_is_refused_and_the_daemon_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let mut huge = advance("HUGE-1", "KE", "BE");
    huge.goods.as_mut().unwrap().items[0].description = "x".repeat(6 << 20);
    let refused = trade
        .submit(v1::SubmitRequest { filing: Some(huge), ..Default::default() })
        .await
        .unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
    file(&mut trade, advance("HUGE-2", "KE", "BE")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filing_with_ten_faults_gets_ten_violations_and_is_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let before = hub.status().await.log_size;
    let mut bad = advance("an LRN with spaces", "KE", "XX");
    let core = bad.core.as_mut().unwrap();
    core.ucr = "not a ucr".into();
    core.exporter_id = "051234567".into();
    core.transport_mode = "12".into();
    core.departure_date = "2026-02-30".into();
    core.port_of_discharge = "Gent".into();
    core.items[0].commodity_code = "0901".into();
    core.items[0].origin = "Kenya".into();
    bad.goods.as_mut().unwrap().gross_mass_kg = "eleven".into();
    bad.value.as_mut().unwrap().items[0].value.as_mut().unwrap().currency = "DOLLAR".into();
    bad.parties.as_mut().unwrap().importer_address.as_mut().unwrap().country = "BE".into();
    let Outcome::Refused(refused) = submit(&mut trade, bad).await else { panic!("accepted") };
    let mut paths: Vec<&str> = refused.violations.iter().map(|v| v.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "core.country_of_destination",
        "core.departure_date",
        "core.exporter_id",
        "core.items[0].commodity_code",
        "core.items[0].origin",
        "core.lrn",
        "core.port_of_discharge",
        "core.transport_mode",
        "core.ucr",
        "goods.gross_mass_kg",
        "value.items[0].value.currency",
    ];
    assert_eq!(paths, expected);
    for v in &refused.violations {
        assert!(
            !v.code.is_empty()
                && !v.allowed.is_empty()
                && !v.fix.is_empty()
                && !v.wco_path.is_empty(),
            "{v:?}"
        );
    }
    assert_eq!(hub.status().await.log_size, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filing_that_no_peer_could_take_is_refused_before_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let before = hub.status().await.log_size;
    let mut large = advance("LARGE-1", "KE", "BE");
    let core = large.core.as_mut().unwrap();
    let (goods, value) = (large.goods.as_mut().unwrap(), large.value.as_mut().unwrap());
    let (item, good, price) =
        (core.items[0].clone(), goods.items[0].clone(), value.items[0].clone());
    core.items = (1..=999).map(|number| v1::CoreItem { number, ..item.clone() }).collect();
    goods.items = (1..=999)
        .map(|number| v1::GoodsItem { number, description: "x".repeat(500), ..good.clone() })
        .collect();
    value.items = (1..=999).map(|number| v1::ValueItem { number, ..price.clone() }).collect();
    let Outcome::Refused(refused) = submit(&mut trade, large).await else { panic!("accepted") };
    assert_eq!(refused.violations[0].code, "too-large");
    assert_eq!(hub.status().await.log_size, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn amendments_in_flight_become_versions_in_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let first = file(&mut trade, advance("AMEND-0", "KE", "BE")).await;
    let amend = |n: u32| {
        let mut filing = advance(&format!("AMEND-{n}"), "KE", "BE");
        let core = filing.core.as_mut().unwrap();
        core.function = v1::FilingFunction::Amendment as i32;
        core.case_id.clone_from(&first.case_id);
        core.filing_id.clone_from(&first.filing_id);
        v1::SubmitStreamRequest {
            sequence: u64::from(n),
            request: Some(v1::SubmitRequest { filing: Some(filing), ..Default::default() }),
        }
    };
    let requests: Vec<_> = (1..=8).map(amend).collect();
    let mut stream = trade.submit_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut versions = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        match response.response.unwrap().result.unwrap() {
            Outcome::Accepted(accepted) => versions.push(accepted.version),
            Outcome::Refused(refused) => panic!("{refused:?}"),
        }
    }
    versions.sort_unstable();
    assert_eq!(
        versions,
        [2, 3, 4, 5, 6, 7, 8, 9],
        "no version twice, though all were in flight together"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_lrn_gives_the_first_answer_or_the_first_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let first = file(&mut trade, advance("TWICE", "KE", "BE")).await;
    let again = file(&mut trade, advance("TWICE", "KE", "BE")).await;
    assert!(again.repeated_submission);
    assert_eq!(
        (again.case_id, again.mrn, again.commitment),
        (first.case_id, first.mrn, first.commitment.clone())
    );
    let mut other = advance("TWICE", "KE", "BE");
    other.goods.as_mut().unwrap().gross_mass_kg = "12".into();
    let Outcome::Refused(refused) = submit(&mut trade, other).await else { panic!("accepted") };
    assert_eq!(refused.violations[0].code, "lrn-reused");
    let receipt = ewtp_log::receipt::Receipt::parse(&refused.first_receipt).unwrap();
    let proven = receipt.verify(&hub.process.chain.receipt_trust()).unwrap();
    assert_eq!(proven.commitment.0.to_vec(), first.commitment);
    assert_eq!(all_cases(&mut trade).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_credential_loses_its_open_connection() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let mut watch = trade.watch_cases(v1::WatchCasesRequest::default()).await.unwrap().into_inner();
    file(&mut trade, advance("REVOKE-1", "KE", "BE")).await;
    assert!(watch.message().await.unwrap().is_some());
    let spki = ewtp_log::Hash(hub.identity("platform").spki()).to_hex();
    hub.json("operator", &["account", "revoke", "platform", &spki]);
    let ended = tokio::time::timeout(Duration::from_secs(10), watch.message()).await.unwrap();
    assert!(!matches!(ended, Ok(Some(_))), "the open stream ends");
    assert!(
        trade.list_cases(v1::ListCasesRequest::default()).await.is_err(),
        "and nothing opens again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_cases_alone() {
    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    hub.add_account("other", "trader");
    let accepted = file(&mut hub.trade("platform").await, advance("MINE-1", "KE", "BE")).await;
    let mut other = hub.trade("other").await;
    assert!(all_cases(&mut other).await.is_empty());
    let request = v1::GetCaseRequest { case_id: accepted.case_id.clone() };
    assert_eq!(other.get_case(request).await.unwrap_err().code(), Code::NotFound);
    let request = v1::GetReceiptRequest {
        case_id: accepted.case_id,
        commitment: accepted.commitment,
        ..Default::default()
    };
    assert_eq!(other.get_receipt(request).await.unwrap_err().code(), Code::NotFound);
    let denied = hub.run("other", &["hub", "status"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&denied.stderr).contains("needs the role operator"));
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_is_gapless_and_resumes_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    for n in 0..5 {
        file(&mut trade, advance(&format!("WATCH-{n}"), "KE", "BE")).await;
    }
    let mut watch = trade.watch_cases(v1::WatchCasesRequest::default()).await.unwrap().into_inner();
    let (mut cursor, mut seen) = (0, Vec::new());
    for _ in 0..3 {
        let change = watch.message().await.unwrap().unwrap();
        cursor = change.cursor;
        seen.push(change.case.unwrap().lrn);
    }
    hub.process.kill().unwrap();
    hub.process.start().unwrap();
    let mut trade = hub.trade("platform").await;
    file(&mut trade, advance("WATCH-5", "KE", "BE")).await;
    let mut watch = trade.watch_cases(v1::WatchCasesRequest { cursor }).await.unwrap().into_inner();
    while seen.len() < 6 {
        seen.push(watch.message().await.unwrap().unwrap().case.unwrap().lrn);
    }
    assert_eq!(seen, ["WATCH-0", "WATCH-1", "WATCH-2", "WATCH-3", "WATCH-4", "WATCH-5"]);
}

#[test]
fn a_second_daemon_on_one_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(dir.path(), "KE");
    let config = hub.process.config().display().to_string();
    let second = hub.run("operator", &["hub", "run", "--config", &config]);
    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another hub runs on this data directory")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_message_and_garbage_inside_tls_end_that_connection_alone() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let dir = tempfile::tempdir().unwrap();
    let hub = one_hub(dir.path());
    let mut trade = hub.trade("platform").await;
    let pin = hub.process.server_spki;
    let check = move |spki: &[u8; 32]| *spki == pin;
    let config =
        ewtp_tls::client_config(&hub.identity("platform"), std::sync::Arc::new(check)).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    // Garbage; HTTP/2's preface and then garbage; the preface and half of a frame.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let half = [&preface[..], &[0, 0, 200, 0, 0, 0, 0, 0, 1, 7, 7]].concat();
    for bytes in [vec![0xa5; 2048], [&preface[..], &[0xa5; 2048]].concat(), half] {
        let tcp = tokio::net::TcpStream::connect(hub.process.clients()).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut tls = connector.connect(name, tcp).await.unwrap();
        tls.write_all(&bytes).await.unwrap();
        tls.shutdown().await.unwrap();
        // Whatever it answers, it ends the connection.
        let mut answer = Vec::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(10), tls.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection stays open");
    }
    file(&mut trade, advance("HALF-1", "KE", "BE")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_on_connections_holds_and_room_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::make(dir.path(), "KE");
    hub.process.configure("\n[limits]\nconnections = 3\nhandshake_ms = 1500\n").unwrap();
    hub.process.start().unwrap();
    hub.save_profile("operator");
    let connect = || TcpStream::connect(hub.process.clients()).unwrap();
    let _silent: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
    let mut refused = connect();
    refused.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // Closed at once, not after a handshake's deadline.
    assert!(matches!(refused.read(&mut [0; 16]), Ok(0)), "the fourth is closed");
    until("room again", || async {
        hub.run("operator", &["hub", "status"]).status.success().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filed_already_is_answered_while_new_filings_are_told_busy() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::make(dir.path(), "KE");
    let limits = "\n[limits]\nqueue = 1\nfilings_per_second = 100000\nfilings_burst = 100000\n";
    hub.process.configure(limits).unwrap();
    hub.process.start().unwrap();
    hub.save_profile("operator");
    hub.add_account("platform", "platform");
    let mut trade = hub.trade("platform").await;
    let known = advance("KNOWN-1", "KE", "BE");
    let first = file(&mut trade, known.clone()).await;
    let mut busy = 0;
    for round in 0..20 {
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..60 {
            let again = n % 2 == 0;
            let lrn = format!("NEW-{round}-{n}");
            let filing = if again { known.clone() } else { advance(&lrn, "KE", "BE") };
            let (mut trade, request) =
                (trade.clone(), v1::SubmitRequest { filing: Some(filing), ..Default::default() });
            #[expect(clippy::disallowed_methods, reason = "the set is joined below")]
            calls.spawn(async move { (again, trade.submit(request).await) });
        }
        for (again, answer) in calls.join_all().await {
            match answer {
                Ok(answer) => {
                    let Some(Outcome::Accepted(accepted)) = answer.into_inner().result else {
                        panic!("refused")
                    };
                    assert_eq!(accepted.log_index == first.log_index, again);
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    assert!(!again, "a known filing was told {status:?}");
                    busy += 1;
                }
            }
        }
    }
    assert!(busy > 0, "the queue was never full");
}
