//! A hub of our own making, with good keys: it says what it is told to say, to each caller something else if need be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use ewtp_hub::listener::Caller;
use ewtp_hub::network::{Network as _, Tcp};
use ewtp_log::hash::leaf_hash;
use ewtp_log::lane::{LaneTable, Slot, lane_leaf, slot_blind};
use ewtp_log::note::NoteSigner;
use ewtp_log::opening::{LaneEntry, LanePath};
use ewtp_log::page::{EntryBody, HeadPart, Page, PageEntry};
use ewtp_log::proof::TlogProof;
use ewtp_log::statement::{Header, StatementId, commitment, format_time, part_digest, seal_part};
use ewtp_log::tile::{TileKind, TilePath, bundle};
use ewtp_log::tree::{Frontier, inclusion_path, range_hashes};
use ewtp_log::{Checkpoint, Hash, HubId, LaneNumber, LogIndex, TreeSize};
use ewtp_proto::v1::federation_service_server::{FederationService, FederationServiceServer};
use ewtp_proto::{Message as _, v1};
use ewtp_tls::TlsIdentity;
use ewtp_trust::descriptor::{Descriptor, Environment, PAYLOAD_TYPE, Template};
use ewtp_trust::dsse::Envelope;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::stage::Hub;

pub(crate) const ORIGIN: &str = "log.ke.hub.example/ewtp/g1";
pub(crate) const SLOT_KEY: [u8; 32] = [9; 32];

/// Slots of its two peers.
fn slot_of(peer: &HubId) -> u16 {
    if peer.as_str() == "SG" { 4 } else { 3 }
}

/// Log index, header, parts.
pub(crate) type Spoken = (LogIndex, Vec<u8>, Vec<(String, Vec<u8>)>);

/// A log with one lane, to BE.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Hash>,
    pub(crate) lane: Vec<Spoken>,
    pub(crate) time_ms: u64,
}

impl Log {
    pub(crate) fn new(first: Hash) -> Self {
        Self { entries: vec![first], lane: Vec::new(), time_ms: 1_780_000_000_000 }
    }

    pub(crate) fn be() -> HubId {
        "BE".parse().unwrap()
    }

    /// Says a statement to BE; `change` may spoil its core.
    pub(crate) fn say(&mut self, n: u32, change: impl FnOnce(&mut v1::FilingCore)) {
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
    pub(crate) fn say_again(&mut self, n: usize) {
        let (_, header, parts) = self.lane[n - 1].clone();
        let mut again = Header::parse(&header).unwrap();
        again.nonce = [77; 16];
        let header = again.to_text().unwrap().into_bytes();
        let index = LogIndex(self.entries.len() as u64);
        self.entries.push(commitment(&header));
        self.lane.push((index, header, parts));
    }

    /// Says a statement of any kind with one part.
    pub(crate) fn say_core(&mut self, kind: &str, subject: &str, core: &impl ewtp_proto::Message) {
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
    pub(crate) fn amend(&mut self, n: usize, version: u32) {
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

    pub(crate) fn lane_leaves(&self) -> Vec<Hash> {
        self.lane.iter().map(|(index, header, _)| lane_leaf(*index, &commitment(header))).collect()
    }

    pub(crate) fn signer() -> NoteSigner {
        NoteSigner::log(ORIGIN, &[1; 32]).unwrap()
    }

    fn slot(&self, peer: &HubId) -> Slot {
        let mut lane = Frontier::default();
        self.lane_leaves().into_iter().for_each(|l| lane.push_leaf(l));
        let slot = slot_of(peer);
        Slot { slot, peer: peer.clone(), lane_size: lane.size(), lane_root: lane.root() }
    }

    /// Both its peers are told the same.
    fn table(&self, index: u64) -> LaneTable {
        let both = ["BE", "SG"].map(|id| self.slot(&id.parse().unwrap()));
        LaneTable::new(&SLOT_KEY, LogIndex(index), 4, &both)
    }

    fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|e| leaf_hash(&e.0)).collect()
    }

    /// The signed head of the log as it is.
    pub(crate) fn head(&self) -> String {
        let mut log = Frontier::default();
        self.leaves().into_iter().for_each(|l| log.push_leaf(l));
        let size = TreeSize(log.size());
        let text = Checkpoint { origin: ORIGIN.into(), size, root: log.root() }.to_text();
        Self::signer().sign(&text)
    }

    /// Puts another entry into the log where the lane says this statement stands.
    pub(crate) fn log_another(&mut self, n: usize) {
        let (index, ..) = self.lane[n - 1];
        self.entries[index.0 as usize] = ewtp_log::hash::sha256(&[b"another"]);
    }

    /// A file of the public log at the newest head.
    pub(crate) fn public_file(&self, path: &str) -> Option<Vec<u8>> {
        if path == "checkpoint" {
            return Some(self.head().into_bytes());
        }
        // Of a log with fewer entries than a tile has.
        let path: TilePath = path.parse().ok()?;
        let all = self.entries.len();
        let here = path.index == 0 && usize::from(path.width) == all;
        match path.kind {
            TileKind::Entries if here => Some(bundle(&self.entries)),
            TileKind::Hashes(0) if here => Some(self.leaves().iter().flat_map(|h| h.0).collect()),
            _ => None,
        }
    }

    /// Ends the batch and gives the page that brings a subscriber at zero to its end.
    pub(crate) fn page(&mut self, peer: &HubId) -> Page {
        self.page_from(peer, 0, 0)
    }

    /// Ends the batch and gives the page for a subscriber that holds `cursor` statements and a head of `held`.
    pub(crate) fn page_from(&mut self, peer: &HubId, cursor: usize, held: u64) -> Page {
        let table_index = self.entries.len() as u64;
        let (slot, table) = (self.slot(peer), self.table(table_index));
        self.entries.push(table.entry());
        let Ok(log_range) = range_hashes(self.leaves().as_slice(), held, table_index);
        let entry = |(index, header, parts): &Spoken| PageEntry {
            index: *index,
            body: EntryBody::Statement { header: header.clone(), parts: parts.clone() },
        };
        Page {
            first: LaneNumber(cursor as u64 + 1),
            head: Some(HeadPart {
                checkpoint: self.head().into_bytes(),
                slot: slot.slot,
                blind: slot_blind(&SLOT_KEY, LogIndex(table_index), slot.slot),
                lane_size: slot.lane_size,
                slot_path: table.path(slot.slot),
                log_range,
            }),
            entries: self.lane.iter().skip(cursor).map(entry).collect(),
            lane_range: Vec::new(),
        }
    }

    /// Place of the `number`th statement of the lane under the newest head, which must be at a batch's end, and the lane opened.
    pub(crate) fn prove(&self, peer: &HubId, number: u64) -> (TlogProof, LanePath) {
        let (leaves, lane) = (self.leaves(), self.lane_leaves());
        let (size, table_index) = (leaves.len() as u64, leaves.len() as u64 - 1);
        let path = |leaves: &[Hash], at: u64| {
            let Ok(path) = inclusion_path(leaves, at, leaves.len() as u64);
            path
        };
        let spoken = number.checked_sub(1).and_then(|n| self.lane.get(n as usize));
        let index = spoken.map_or(0, |(index, _, _)| index.0);
        let slot = self.slot(peer);
        let opening = LanePath {
            peer: peer.clone(),
            slot: slot.slot,
            blind: slot_blind(&SLOT_KEY, LogIndex(table_index), slot.slot),
            size: slot.lane_size,
            root: slot.lane_root,
            table: self.table(table_index).path(slot.slot),
            log: path(&leaves, table_index),
            entry: spoken.map(|(index, header, _)| LaneEntry {
                number: LaneNumber(number),
                index: *index,
                commitment: commitment(header),
                path: path(&lane, number - 1),
            }),
        };
        assert!(size > 0);
        let proof =
            TlogProof { extra: None, index, path: path(&leaves, index), checkpoint: self.head() };
        (proof, opening)
    }
}

/// What one caller sees: pages, and the log that proofs are made from.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) to: HubId,
    /// Key that the caller shows; `None` for any.
    pub(crate) spki: Option<[u8; 32]>,
    pub(crate) page: watch::Receiver<Option<Page>>,
    pub(crate) log: Arc<Mutex<Option<Log>>>,
}

/// Serves whatever it is told to.
pub(crate) struct Liar {
    pub(crate) faces: Vec<Face>,
}

impl Liar {
    fn face<T>(&self, request: &Request<T>) -> &Face {
        let caller = request.extensions().get::<Caller>().unwrap().spki;
        self.faces.iter().find(|f| f.spki.is_none_or(|s| s == caller)).unwrap()
    }
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
        let pages = tokio_stream::wrappers::WatchStream::new(self.face(&request).page.clone());
        let served = request.into_inner().cursor;
        let pages = pages.filter_map(move |page| {
            // A subscriber that holds it all gets it no more.
            let page = page.filter(|p| {
                let end = p.first.0 - 1 + p.entries.len() as u64;
                served < end || p.entries.is_empty()
            })?;
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
        request: Request<v1::GetProofRequest>,
    ) -> Result<Response<v1::GetProofResponse>, Status> {
        let face = self.face(&request).clone();
        let log = face.log.lock().unwrap().clone().ok_or(Status::unimplemented(""))?;
        let (log, lane) = log.prove(&face.to, request.into_inner().lane_number);
        Ok(Response::new(v1::GetProofResponse { log: log.to_text(), lane: lane.to_text() }))
    }
    async fn list_rulesets(
        &self,
        _: Request<v1::FederationServiceListRulesetsRequest>,
    ) -> Result<Response<v1::FederationServiceListRulesetsResponse>, Status> {
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
pub(crate) struct Scene {
    pub(crate) be: Hub,
    pub(crate) log: Log,
    pub(crate) pages: watch::Sender<Option<Page>>,
    _dir: tempfile::TempDir,
}

pub(crate) async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let be = Hub::start(dir.path(), "BE");
    be.publish("be-advance");
    let liar = Identity::new(dir.path());
    let (pages, page) = watch::channel(None);
    let face = Face { to: Log::be(), spki: None, page, log: Arc::default() };
    serve(&liar, Liar { faces: vec![face] }).await;
    liar.pinned_by(&be);
    Scene { be, log: Log::new(liar.fingerprint), pages, _dir: dir }
}

/// The liar's keys and its descriptor file.
pub(crate) struct Identity {
    tls: TlsIdentity,
    port: u16,
    pub(crate) file: PathBuf,
    pub(crate) fingerprint: Hash,
}

impl Identity {
    pub(crate) fn new(dir: &Path) -> Self {
        let port = ewtp_testnet::free_ports().unwrap();
        let tls = TlsIdentity::generate("liar", &["127.0.0.1".into()]).unwrap();
        let root = SigningKey::from_bytes(&[4; 32]);
        let payload = Descriptor::first_payload(&Template {
            hub: "KE".parse().unwrap(),
            environment: Environment::Test,
            window_ms: (1_700_000_000_000, 5_000_000_000_000),
            root_keys: vec![root.verifying_key().to_bytes()],
            log_key: Log::signer().vkey().clone(),
            witness: None,
            tls_pins: vec![tls.spki()],
            endpoints: vec![format!("127.0.0.1:{port}")],
            log_url: "https://log.ke.hub.example/ewtp".into(),
            territories: vec!["KE".into()],
            offices: Vec::new(),
            competences: vec!["customs".into()],
            contact: String::new(),
        });
        let file = dir.join("liar.jsonl");
        std::fs::write(&file, Envelope::sign(PAYLOAD_TYPE, &payload, &[&root])).unwrap();
        Self { tls, port, file, fingerprint: ewtp_log::hash::sha256(&[&payload]) }
    }

    pub(crate) fn pinned_by(&self, hub: &Hub) {
        let (file, fingerprint) = (self.file.display().to_string(), self.fingerprint.to_hex());
        hub.json(
            "operator",
            &["peer", "add", &file, "--fingerprint", &fingerprint, "--scope", "full"],
        );
    }
}

/// Serves on the hub's own listener, which lets every key in.
pub(crate) async fn serve(identity: &Identity, liar: Liar) {
    let (tls, port) = (&identity.tls, identity.port);
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
