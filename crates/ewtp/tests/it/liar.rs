//! A peer that lies: a federation listener of our own making, with good keys and pages that are not what they should be.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ewtp_hub::network::{Network as _, Tcp};
use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{LaneTable, Slot, lane_leaf, slot_blind};
use ewtp_log::note::NoteSigner;
use ewtp_log::page::{EntryBody, HeadPart, Page, PageEntry};
use ewtp_log::statement::{Header, StatementId, commitment, format_time, part_digest, seal_part};
use ewtp_log::tree::{Frontier, range_hashes};
use ewtp_log::{Checkpoint, Hash, HubId, LaneNumber, LogIndex, TreeSize};
use ewtp_proto::v1::federation_service_server::{FederationService, FederationServiceServer};
use ewtp_proto::{Message as _, v1};
use ewtp_tls::TlsIdentity;
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::Envelope;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::stage::{Hub, until};

const ORIGIN: &str = "log.ke.hub.example/ewtp/g1";
const SLOT_KEY: [u8; 32] = [9; 32];
const SLOT: u16 = 3;

/// Log index, header, parts.
type Spoken = (LogIndex, Vec<u8>, Vec<(String, Vec<u8>)>);

/// A log with one lane, to BE.
struct Log {
    signer: NoteSigner,
    entries: Vec<Hash>,
    lane: Vec<Spoken>,
    time_ms: u64,
}

impl Log {
    fn new(first: Hash) -> Self {
        Self {
            signer: NoteSigner::log(ORIGIN, &[1; 32]).unwrap(),
            entries: vec![first],
            lane: Vec::new(),
            time_ms: 1_780_000_000_000,
        }
    }

    fn be() -> HubId {
        "BE".parse().unwrap()
    }

    /// Says a statement to BE; `change` may spoil its core.
    fn say(&mut self, n: u32, change: impl FnOnce(&mut v1::FilingCore)) {
        let filing = crate::stage::advance(&format!("LIAR-{n}"), "KE", "BE");
        let mut core = filing.core.unwrap();
        core.filing_id = format!("KE-AAAAAAAAAAA{n:02}");
        core.case_id = format!("KE-BBBBBBBBBBB{n:02}");
        core.version = 1;
        core.assessed_by = "BE".into();
        let subject = core.filing_id.clone();
        change(&mut core);
        let contents = [
            ("core", core.encode_to_vec()),
            ("parties", filing.parties.unwrap().encode_to_vec()),
            ("goods", filing.goods.unwrap().encode_to_vec()),
            ("value", filing.value.unwrap().encode_to_vec()),
        ];
        let parts: Vec<(String, Vec<u8>)> = contents
            .iter()
            .map(|(name, c)| ((*name).to_owned(), seal_part(name, c, [n as u8; 16])))
            .collect();
        let header = Header {
            hub: "KE".into(),
            origin: ORIGIN.into(),
            nonce: [n as u8; 16],
            id: StatementId { kind: "filing".into(), subject, number: 1 },
            time: format_time(self.time_ms),
            refs: Vec::new(),
            parts: parts
                .iter()
                .map(|(name, blob)| (name.clone(), part_digest(name, blob)))
                .collect(),
            later: Vec::new(),
        };
        let header = header.to_text().unwrap().into_bytes();
        let index = LogIndex(self.entries.len() as u64);
        self.entries.push(commitment(&header));
        self.lane.push((index, header, parts));
    }

    /// Says the identity of statement `n` once more, under another nonce.
    fn say_again(&mut self, n: usize) {
        let (_, header, parts) = self.lane[n - 1].clone();
        let mut again = Header::parse(&header).unwrap();
        again.nonce = [77; 16];
        let header = again.to_text().unwrap().into_bytes();
        let index = LogIndex(self.entries.len() as u64);
        self.entries.push(commitment(&header));
        self.lane.push((index, header, parts));
    }

    /// Says a statement of any kind with one part.
    fn say_core(&mut self, kind: &str, subject: &str, core: &impl ewtp_proto::Message) {
        let blob = seal_part("core", &core.encode_to_vec(), [9; 16]);
        let header = Header {
            hub: "KE".into(),
            origin: ORIGIN.into(),
            nonce: [8; 16],
            id: StatementId { kind: kind.into(), subject: subject.into(), number: 1 },
            time: format_time(self.time_ms),
            refs: Vec::new(),
            parts: vec![("core".into(), part_digest("core", &blob))],
            later: Vec::new(),
        };
        let header = header.to_text().unwrap().into_bytes();
        let index = LogIndex(self.entries.len() as u64);
        self.entries.push(commitment(&header));
        self.lane.push((index, header, vec![("core".into(), blob)]));
    }

    /// Says statement `n` once more as the filing's next version.
    fn amend(&mut self, n: usize, version: u32) {
        let (_, header, mut parts) = self.lane[n - 1].clone();
        let mut header = Header::parse(&header).unwrap();
        let content = ewtp_log::statement::open_part("core", &parts[0].1).unwrap();
        let core = v1::FilingCore { version, ..v1::FilingCore::decode(content).unwrap() };
        parts[0].1 = seal_part("core", &core.encode_to_vec(), [version as u8; 16]);
        header.id.number = u64::from(version);
        header.parts[0].1 = part_digest("core", &parts[0].1);
        let header = header.to_text().unwrap().into_bytes();
        let index = LogIndex(self.entries.len() as u64);
        self.entries.push(commitment(&header));
        self.lane.push((index, header, parts));
    }

    fn lane_leaves(&self) -> Vec<Hash> {
        self.lane.iter().map(|(index, header, _)| lane_leaf(*index, &commitment(header))).collect()
    }

    /// Ends the batch and gives the page that brings a subscriber at zero to its end.
    fn page(&mut self, peer: &HubId) -> Page {
        let mut lane = Frontier::default();
        self.lane_leaves().into_iter().for_each(|l| lane.push_leaf(l));
        let slot =
            Slot { slot: SLOT, peer: peer.clone(), lane_size: lane.size(), lane_root: lane.root() };
        let table_index = LogIndex(self.entries.len() as u64);
        let table = LaneTable::new(&SLOT_KEY, table_index, 4, std::slice::from_ref(&slot));
        self.entries.push(table.entry());
        let leaves: Vec<Hash> = self.entries.iter().map(|e| leaf_hash(&e.0)).collect();
        let mut log = Frontier::default();
        leaves.iter().for_each(|l| log.push_leaf(*l));
        let size = TreeSize(leaves.len() as u64);
        let text = Checkpoint { origin: ORIGIN.into(), size, root: log.root() }.to_text();
        let Ok(log_range) = range_hashes(leaves.as_slice(), 0, table_index.0);
        Page {
            first: LaneNumber(1),
            head: Some(HeadPart {
                checkpoint: self.signer.sign(&text).into_bytes(),
                slot: SLOT,
                blind: slot_blind(&SLOT_KEY, table_index, SLOT),
                lane_size: slot.lane_size,
                slot_path: table.path(SLOT),
                log_range,
            }),
            entries: self
                .lane
                .iter()
                .map(|(index, header, parts)| PageEntry {
                    index: *index,
                    body: EntryBody::Statement { header: header.clone(), parts: parts.clone() },
                })
                .collect(),
            lane_range: Vec::new(),
        }
    }
}

/// Serves whatever page it is told to.
struct Liar {
    page: watch::Receiver<Option<Page>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl FederationService for Liar {
    type SubscribeStream = Responses<v1::SubscribeResponse>;
    type DeliverStream = Responses<v1::DeliverResponse>;
    type FetchPartStream = Responses<v1::FetchPartResponse>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let pages = tokio_stream::wrappers::WatchStream::new(self.page.clone());
        let served = request.into_inner().cursor;
        let pages = pages.filter_map(move |page| {
            // A subscriber that holds it all gets it no more.
            let page = page.filter(|p| served < p.entries.len() as u64)?;
            let message = v1::subscribe_response::Message::Page(ewtp_hub::page_wire::to_wire(page));
            Some(Ok(v1::SubscribeResponse { message: Some(message) }))
        });
        Ok(Response::new(Box::pin(pages)))
    }
    async fn deliver(
        &self,
        _: Request<Streaming<v1::DeliverRequest>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn fetch_part(
        &self,
        _: Request<v1::FetchPartRequest>,
    ) -> Result<Response<Self::FetchPartStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_descriptors(
        &self,
        _: Request<v1::GetDescriptorsRequest>,
    ) -> Result<Response<v1::GetDescriptorsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_proof(
        &self,
        _: Request<v1::GetProofRequest>,
    ) -> Result<Response<v1::GetProofResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_ruleset(
        &self,
        _: Request<v1::FederationServiceGetRulesetRequest>,
    ) -> Result<Response<v1::FederationServiceGetRulesetResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_head(
        &self,
        _: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn add_checkpoint(
        &self,
        _: Request<v1::AddCheckpointRequest>,
    ) -> Result<Response<v1::AddCheckpointResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn gossip(
        &self,
        _: Request<v1::GossipRequest>,
    ) -> Result<Response<v1::GossipResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A pinned liar and the real hub that listens to it.
struct Scene {
    be: Hub,
    log: Log,
    pages: watch::Sender<Option<Page>>,
    _dir: tempfile::TempDir,
}

async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let be = Hub::start(dir.path(), "BE");
    be.publish("be-advance");
    let port = ewtp_testnet::free_ports().unwrap();
    let tls = TlsIdentity::generate("liar", &["127.0.0.1".into()]).unwrap();
    let root = SigningKey::from_bytes(&[4; 32]);
    let log_key = NoteSigner::log(ORIGIN, &[1; 32]).unwrap();
    let payload = Descriptor::first_payload(&Template {
        hub: "KE".parse().unwrap(),
        environment: Environment::Test,
        window_ms: (1_700_000_000_000, 5_000_000_000_000),
        root_keys: vec![root.verifying_key().to_bytes()],
        log_key: log_key.vkey().clone(),
        witness: None,
        tls_pins: vec![tls.spki()],
        endpoints: vec![format!("127.0.0.1:{port}")],
        log_url: "https://log.ke.hub.example/ewtp".into(),
        territories: vec!["KE".into()],
        offices: Vec::new(),
        competences: vec!["customs".into()],
        contact: String::new(),
    });
    let file = dir.path().join("liar.jsonl");
    std::fs::write(&file, Envelope::sign(PAYLOAD_TYPE, &payload, &[&root])).unwrap();
    let (pages, page) = watch::channel(None);
    serve(&tls, port, Liar { page }).await;
    let fingerprint = ewtp_log::hash::sha256(&[&payload]);
    let file = file.display().to_string();
    be.json(
        "operator",
        &["peer", "add", &file, "--fingerprint", &fingerprint.to_hex(), "--scope", "full"],
    );
    Scene { be, log: Log::new(fingerprint), pages, _dir: dir }
}

/// Serves on the hub's own listener, which lets every key in.
async fn serve(tls: &TlsIdentity, port: u16, liar: Liar) {
    let listener = ewtp_hub::listener::Listener {
        name: "liar",
        socket: Tcp.listen(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap(),
        tls: Arc::new(ewtp_tls::server_config(tls, Arc::new(|_: &[u8; 32]| true)).unwrap()),
        connections_max: 16,
        handshake: std::time::Duration::from_secs(5),
        connections: ewtp_hub::listener::Connections::default(),
    };
    let (out, incoming) = tokio::sync::mpsc::channel(4);
    let server = tonic::transport::Server::builder()
        .add_service(FederationServiceServer::new(liar).max_encoding_message_size(16 << 20));
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    {
        tokio::spawn(listener.run(out, tokio_util::sync::CancellationToken::new()));
        tokio::spawn(
            server.serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(incoming)),
        );
    }
}

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
    };
    scene.log.say_core("erasure", "own-case", &erasure("KE-BBBBBBBBBBB01"));
    scene.log.say_core("erasure", "their-case", &erasure(&home.case_id));
    scene.log.say_core("erasure", "no-case", &erasure("SG-BBBBBBBBBBBBB"));
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
        || async move { (scene.be.status().await.heard == 5).then_some(()) },
    )
    .await;
    let request = v1::GetCaseRequest { case_id: home.case_id.clone() };
    let case = trade.get_case(request).await.unwrap().into_inner().case.unwrap();
    assert!(case.events.is_empty(), "{:?}", case.events);
    assert_eq!(case.attachments[0].erased, "");
    let request = v1::FetchAttachmentRequest {
        case_id: home.case_id,
        digest: cited.digest.clone(),
        offset: 0,
    };
    let mut pieces = trade.fetch_attachment(request).await.unwrap().into_inner();
    assert_eq!(pieces.message().await.unwrap().unwrap().chunk, bytes);
}
