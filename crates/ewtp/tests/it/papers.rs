//! Attachments: uploaded in pieces, cited, fetched across hubs, decided on, erased.

use ewtp_log::statement::attachment_digest;
use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use tonic::Code;

use crate::federation::holds;
use crate::stage::{Hub, advance, file, pin, submit, until};

const CANARY: &str = "PAPERS-CANARY-7731";

/// Half a MiB of bytes that no program takes for a document.
fn document() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..512 << 10).map(|n: u32| (n % 251) as u8).collect();
    bytes.extend_from_slice(CANARY.as_bytes());
    bytes
}

fn reference(bytes: &[u8]) -> v1::AttachmentReference {
    let salt = [7; 16];
    v1::AttachmentReference {
        digest: attachment_digest(&salt, bytes).0.to_vec(),
        size: bytes.len() as u64,
        media_type: "application/pdf".into(),
        salt: salt.to_vec(),
    }
}

/// Uploads bytes from an offset, as one stream of pieces.
async fn upload(
    hub: &Hub,
    reference: &v1::AttachmentReference,
    from: usize,
    bytes: &[u8],
) -> Result<v1::UploadAttachmentResponse, tonic::Status> {
    let piece = |(i, chunk): (usize, &[u8])| v1::UploadAttachmentRequest {
        attachment: (i == 0).then(|| reference.clone()),
        offset: (from + i * (64 << 10)) as u64,
        chunk: chunk.to_vec(),
    };
    let mut pieces: Vec<_> = bytes.chunks(64 << 10).enumerate().map(piece).collect();
    if pieces.is_empty() {
        pieces.push(piece((0, &[])));
    }
    let mut trade = hub.trade("platform").await;
    trade.upload_attachment(tokio_stream::iter(pieces)).await.map(tonic::Response::into_inner)
}

async fn fetch(
    hub: &Hub,
    profile: &str,
    case_id: &str,
    digest: &[u8],
    offset: u64,
) -> Result<Vec<u8>, tonic::Status> {
    let request =
        v1::FetchAttachmentRequest { case_id: case_id.into(), digest: digest.to_vec(), offset };
    let mut pieces = hub.trade(profile).await.fetch_attachment(request).await?.into_inner();
    let mut out = Vec::new();
    while let Some(piece) = pieces.message().await? {
        out.extend(piece.chunk);
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_uploaded_in_pieces_cited_fetched_decided_on_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ke, mut be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    ke.add_account("stranger", "platform");
    ke.add_account("officer", "officer");
    be.add_account("officer", "officer");
    be.add_party("importer", "trader", "BE0123456789");
    let bytes = document();
    let cited = reference(&bytes);

    // Nothing is cited that is not here whole.
    let mut filing = advance("PAPERS-1", "KE", "BE");
    filing.goods.as_mut().unwrap().attachments = vec![cited.clone()];
    let early = submit(&mut ke.trade("platform").await, filing.clone()).await;
    let v1::submit_response::Result::Refused(refused) = early else { panic!("{early:?}") };
    assert_eq!(refused.violations[0].code, "attachment-missing");

    // An upload that broke off goes on where it ended, also after a restart; other bytes are found out.
    let half = 256 << 10;
    assert_eq!(upload(&ke, &cited, 0, &bytes[..half]).await.unwrap().held, half as u64);
    ke.process.stop().unwrap();
    ke.process.start().unwrap();
    assert_eq!(upload(&ke, &cited, 0, &[]).await.unwrap().held, half as u64);
    let gap = upload(&ke, &cited, half + 1, &bytes[half + 1..]).await.unwrap_err();
    assert_eq!(gap.code(), Code::OutOfRange);
    let mut wrong = bytes[half..].to_vec();
    wrong[0] ^= 1;
    let found_out = upload(&ke, &cited, half, &wrong).await.unwrap_err();
    assert_eq!(found_out.code(), Code::InvalidArgument, "{found_out}");
    assert_eq!(upload(&ke, &cited, 0, &[]).await.unwrap().held, 0, "nothing of it is kept");
    assert!(upload(&ke, &cited, 0, &bytes).await.unwrap().complete);
    assert!(upload(&ke, &cited, 0, &bytes[..10]).await.unwrap().complete, "said again");
    let large = v1::AttachmentReference { size: (10 << 20) + 1, ..cited.clone() };
    assert_eq!(upload(&ke, &large, 0, &bytes).await.unwrap_err().code(), Code::InvalidArgument);

    let mut export = filing.clone();
    let core = export.core.as_mut().unwrap();
    core.r#type = v1::FilingType::Export as i32;
    core.lrn = "PAPERS-1E".into();
    core.declarant_id = "KEP051234567X".into();
    core.exporter_id = "KEP051234567X".into();
    export.goods.as_mut().unwrap().items[0].procedure = "1000".into();
    ke.mandates(&crate::federation::principals(dir.path()));
    let exported = file(&mut ke.trade("platform").await, export).await;
    let core = filing.core.as_mut().unwrap();
    core.case_id = exported.case_id;
    core.importer_id = "BE0123456789".into();
    let filed = file(&mut ke.trade("platform").await, filing).await;
    let seen = until("the case at the destination", || async {
        let request = v1::GetCaseRequest { case_id: filed.case_id.clone() };
        let case = be.trade("officer").await.get_case(request).await.ok()?.into_inner().case?;
        (case.filings.len() == 2).then_some(case)
    })
    .await;
    assert_eq!(seen.attachments.len(), 1);
    assert!(!seen.attachments[0].held, "it is fetched when somebody wants it");
    let id = filed.case_id.as_str();
    assert_eq!(fetch(&be, "officer", id, &cited.digest, 0).await.unwrap(), bytes);
    let rest = fetch(&be, "officer", id, &cited.digest, half as u64).await.unwrap();
    assert_eq!(rest, bytes[half..]);
    // Cited by the export filing first and by the advance filing as well, it is the importer's to see.
    assert_eq!(fetch(&be, "importer", id, &cited.digest, 0).await.unwrap(), bytes);
    let stranger = fetch(&ke, "stranger", id, &cited.digest, 0).await.unwrap_err();
    assert_eq!(stranger.code(), Code::NotFound);
    assert!(holds(&be.process.dir, CANARY) && holds(&ke.process.dir, CANARY));

    // A decision names what it was made on; what the case doesn't cite can't be named.
    let cores = seen.filings.iter().filter_map(|f| f.filing.as_ref()?.core.clone());
    let core = cores.into_iter().find(|c| c.r#type() == v1::FilingType::Advance).unwrap();
    let decide = |digest: Vec<u8>, key: &str| v1::DecideRequest {
        case_id: id.into(),
        filing_id: core.filing_id.clone(),
        filing_version: 1,
        effect: v1::Effect::Admissibility as i32,
        code: v1::DecisionCode::ClearPostAudit as i32,
        attachments: vec![digest],
        idempotency_key: key.into(),
        ..Default::default()
    };
    use v1::decide_response::Result as Outcome;
    let mut desk = DeskServiceClient::new(be.channel("officer").await);
    let unknown = desk.decide(decide(vec![9; 32], "a")).await.unwrap().into_inner().result;
    assert!(
        matches!(unknown, Some(Outcome::Refused(no)) if no.violations[0].code == "attachment-unknown")
    );
    let logged = desk.decide(decide(cited.digest.clone(), "b")).await.unwrap().into_inner().result;
    assert!(matches!(logged, Some(Outcome::Logged(_))), "{logged:?}");
    let (ke_, id_) = (&ke, id);
    until("the decision with what it saw", || async move {
        let request = v1::GetCaseRequest { case_id: id_.into() };
        let case = ke_.trade("platform").await.get_case(request).await.ok()?.into_inner().case?;
        let saw =
            |d: &v1::CaseDecision| d.trader.as_ref().is_some_and(|t| t.attachments.len() == 1);
        case.decisions.iter().any(saw).then_some(())
    })
    .await;

    // The hub that was given it erases it by order, and with it the copy at the destination.
    let hex = ewtp_log::Hash::from_slice(&cited.digest).unwrap().to_hex();
    let refused =
        be.run("officer", &["attachment", "erase", id, &hex[..12], "--reason", "ORDER-1"]);
    assert!(!refused.status.success(), "Belgium was not given it");
    ke.json("officer", &["attachment", "erase", id, &hex[..12], "--reason", "ORDER-1"]);
    let be_dir = be.process.dir.clone();
    until("the copy to be gone", || async { (!holds(&be_dir, CANARY)).then_some(()) }).await;
    assert!(!holds(&ke.process.dir, CANARY));
    for (hub, profile) in [(&ke, "platform"), (&be, "officer")] {
        let gone = fetch(hub, profile, id, &cited.digest, 0).await.unwrap_err();
        assert_eq!(gone.code(), Code::FailedPrecondition);
        assert!(gone.message().contains("ORDER-1"), "{gone}");
    }
    assert_eq!(upload(&ke, &cited, 0, &bytes).await.unwrap_err().code(), Code::FailedPrecondition);
    ke.process.stop().unwrap();
    be.process.stop().unwrap();
}
