//! A peer that lies: good keys, and pages that are not what they should be.

use ewtp_log::LaneNumber;
use ewtp_log::note::NoteSigner;
use ewtp_log::page::{EntryBody, Page};
use ewtp_proto::v1;

use crate::liar_kit::{Log, ORIGIN, Scene, scene};
use crate::stage::until;

impl Scene {
    fn peer(&self) -> serde_json::Value {
        self.be.json("operator", &["peer", "show", "KE"])[0].clone()
    }

    /// Serves a bad page and expects its refusal, by name, with nothing stored.
    async fn refuses(&self, page: Page, code: &str) {
        self.pages.send_replace(Some(page));
        until(code, || async {
            self.peer()["last_error"]
                .as_str()
                .unwrap()
                .contains(&format!("page refused: {code}"))
                .then_some(())
        })
        .await;
        let status = self.be.status().await;
        assert_eq!(
            (status.heard, status.cases, self.peer()["lane_in"].as_u64()),
            (0, 0, Some(0)),
            "{code}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_page_is_refused_by_name_and_stores_nothing_and_a_good_one_follows() {
    let mut scene = scene().await;
    (1..=3).for_each(|n| scene.log.say(n, |_| {}));
    let for_another = scene.log.page(&"SG".parse().unwrap());
    scene.log.entries.pop();
    let good = scene.log.page(&Log::be());
    let spoil = |change: &dyn Fn(&mut Page)| {
        let mut page = good.clone();
        change(&mut page);
        page
    };
    scene.refuses(for_another, "root").await;
    scene.refuses(spoil(&|p| p.first = LaneNumber(2)), "lane-gap").await;
    scene.refuses(spoil(&|p| p.entries.swap(0, 1)), "root").await;
    let flip_blob = spoil(&|p| match &mut p.entries[1].body {
        EntryBody::Statement { parts, .. } => parts[0].1[40] ^= 1,
        EntryBody::Tombstone(_) => {}
    });
    scene.refuses(flip_blob, "part").await;
    let flip_header = spoil(&|p| match &mut p.entries[2].body {
        EntryBody::Statement { header, .. } => header[70] ^= 1,
        EntryBody::Tombstone(_) => {}
    });
    scene.refuses(flip_header, "root").await;
    let unsigned = spoil(&|p| {
        let head = p.head.as_mut().unwrap();
        let text = String::from_utf8(head.checkpoint.clone()).unwrap();
        let other = NoteSigner::log(ORIGIN, &[2; 32]).unwrap();
        head.checkpoint = other
            .sign(text.split("\n\n").next().map(|t| format!("{t}\n")).unwrap().as_str())
            .into_bytes();
    });
    scene.refuses(unsigned, "signature").await;
    // A hub writes no extension lines: they could break the evidence that a head becomes.
    let extended = spoil(&|p| {
        let head = p.head.as_mut().unwrap();
        let text = String::from_utf8(head.checkpoint.clone()).unwrap();
        let text = text.split("\n\n").next().map(|t| format!("{t}\n# end\n")).unwrap();
        head.checkpoint = Log::signer().sign(&text).into_bytes();
    });
    scene.refuses(extended, "checkpoint").await;
    scene.pages.send_replace(Some(good));
    let scene = &scene;
    until("the good page and its decisions", || async move {
        let cases = crate::stage::all_cases(&mut scene.be.trade("operator").await).await;
        (cases.len() == 3 && cases.iter().all(|c| c.decisions.len() == 2)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_statement_anywhere_in_a_page_is_not_honoured_and_answered_and_the_lane_goes_on() {
    for bad in 1..=3 {
        let mut scene = scene().await;
        for n in 1..=3 {
            scene.log.say(n, |core| {
                if n == bad {
                    core.filing_id = "SG-AAAAAAAAAAAAA".into();
                    core.items.clear();
                }
            });
        }
        let before = scene.be.status().await.said;
        let page = scene.log.page(&Log::be());
        scene.pages.send_replace(Some(page));
        let scene = &scene;
        until("two of three decided", || async move {
            let cases = crate::stage::all_cases(&mut scene.be.trade("operator").await).await;
            (cases.len() == 2 && cases.iter().all(|c| c.decisions.len() == 2)).then_some(())
        })
        .await;
        let status = scene.be.status().await;
        assert_eq!(status.heard, 3, "kept though not honoured");
        assert_eq!(
            status.said - before,
            5,
            "four decisions and one acknowledgement with the reasons"
        );
        assert_eq!(scene.peer()["lane_in"].as_u64(), Some(3), "the cursor moved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_far_off_is_said_so_and_stops_nothing() {
    let mut scene = scene().await;
    scene.log.time_ms = 4_000_000_000_000; // the year 2096
    scene.log.say(1, |_| {});
    let page = scene.log.page(&Log::be());
    scene.pages.send_replace(Some(page));
    let scene = &scene;
    let status = until("the page", || async move {
        let status = scene.be.status().await;
        (status.heard == 1).then_some(status)
    })
    .await;
    assert!(status.warnings.iter().any(|w| w.contains("KE's clock is")), "{:?}", status.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_honoured_once_and_its_repetition_is_not_answered() {
    let mut scene = scene().await;
    scene.log.say(1, |_| {});
    scene.log.say_again(1);
    let before = scene.be.status().await.said;
    let page = scene.log.page(&Log::be());
    scene.pages.send_replace(Some(page));
    let scene = &scene;
    until("the decisions on the first", || async move {
        let status = scene.be.status().await;
        (status.heard == 2 && status.inbox == 0 && status.said - before >= 2).then_some(())
    })
    .await;
    let cases = crate::stage::all_cases(&mut scene.be.trade("operator").await).await;
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0].decisions.len(), 2, "{:?}", cases[0]);
    assert_eq!(scene.be.status().await.said - before, 2, "two decisions, no acknowledgement");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_follow_each_other_in_one_page_are_all_honoured() {
    let mut scene = scene().await;
    scene.log.say(1, |_| {});
    scene.log.amend(1, 2);
    scene.log.amend(1, 3);
    let page = scene.log.page(&Log::be());
    scene.pages.send_replace(Some(page));
    let scene = &scene;
    let case = until("the newest version's decisions", || async move {
        let cases = crate::stage::all_cases(&mut scene.be.trade("operator").await).await;
        cases.into_iter().find(|c| c.state() == v1::CaseState::Cleared)
    })
    .await;
    let request = v1::GetCaseRequest { case_id: case.case_id };
    let case = scene
        .be
        .trade("operator")
        .await
        .get_case(request)
        .await
        .unwrap()
        .into_inner()
        .case
        .unwrap();
    let filing = case.filings[0].filing.clone().unwrap().core.unwrap();
    assert_eq!((filing.version, case.not_honoured.len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_erases_and_moves_nothing_that_it_has_no_part_in() {
    let mut scene = scene().await;
    scene.be.add_account("platform", "platform");
    // Belgium's own trader cites a document, in a case that the peer has nothing to do with.
    let bytes = b"%PDF an invoice".to_vec();
    let cited = v1::AttachmentReference {
        digest: ewtp_log::statement::attachment_digest(&[7; 16], &bytes).0.to_vec(),
        size: bytes.len() as u64,
        media_type: "application/pdf".into(),
        salt: vec![7; 16],
    };
    let mut trade = scene.be.trade("platform").await;
    let piece = v1::UploadAttachmentRequest {
        attachment: Some(cited.clone()),
        offset: 0,
        chunk: bytes.clone(),
    };
    trade.upload_attachment(tokio_stream::iter([piece])).await.unwrap();
    let mut filing = crate::stage::advance("HOME-1", "BE", "BE");
    filing.goods.as_mut().unwrap().attachments = vec![cited.clone()];
    filing.core.as_mut().unwrap().conveyance = "SN-1".into();
    let home = crate::stage::file(&mut trade, filing).await;

    scene.log.say(1, |_| {});
    let erasure = |case_id: &str| v1::ErasureCore {
        case_id: case_id.into(),
        digest: cited.digest.clone(),
        reason: "ORDER-1".into(),
        ..Default::default()
    };
    scene.log.say_core("erasure", "own-case", &erasure("KE-BBBBBBBBBBB01"));
    scene.log.say_core("erasure", "their-case", &erasure(&home.case_id));
    scene.log.say_core("erasure", "no-case", &erasure("SG-BBBBBBBBBBBBB"));
    // Nor does it end what others said: of a case that it has no part in, or of one that isn't there.
    let whole = |case_id: &str| v1::ErasureCore {
        case_id: case_id.into(),
        reason: "ORDER-2".into(),
        statements: vec![v1::ErasedStatement {
            statement: Some(v1::StatementRef {
                hub: "KE".into(),
                commitment: vec![7; 32],
                log_index: 1,
            }),
            parts: Vec::new(),
        }],
        whole_case: true,
        ..Default::default()
    };
    scene.log.say_core("erasure", "KE-FFFFFFFFFFFF1", &whole(&home.case_id));
    scene.log.say_core("erasure", "KE-FFFFFFFFFFFF2", &whole("SG-BBBBBBBBBBBBB"));
    scene.log.say_core("erasure", "KE-FFFFFFFFFFFF3", &whole("X * ;\n17 - 0 1 - * ;\nupto 99 ;"));
    let by = v1::event_selector::By::Conveyance("SN-1".into());
    let held = v1::EventCore {
        code: v1::EventCode::Held as i32,
        selector: Some(v1::EventSelector { by: Some(by) }),
        ..Default::default()
    };
    scene.log.say_core("event", "KE-EEEEEEEEEEEEE", &held);
    let page = scene.log.page(&Log::be());
    scene.pages.send_replace(Some(page));
    let scene = &scene;
    until(
        "all of it to be heard",
        || async move { (scene.be.status().await.heard == 8).then_some(()) },
    )
    .await;
    let request = v1::GetCaseRequest { case_id: home.case_id.clone() };
    let case = trade.get_case(request).await.unwrap().into_inner().case.unwrap();
    assert!(case.events.is_empty(), "{:?}", case.events);
    assert_eq!(case.attachments[0].erased, "");
    assert!(case.erased.is_empty() && case.filings[0].filing.as_ref().unwrap().core.is_some());
    let request = v1::FetchAttachmentRequest {
        case_id: home.case_id,
        digest: cited.digest.clone(),
        offset: 0,
    };
    let mut pieces = trade.fetch_attachment(request).await.unwrap().into_inner();
    assert_eq!(pieces.message().await.unwrap().unwrap().chunk, bytes);
}
