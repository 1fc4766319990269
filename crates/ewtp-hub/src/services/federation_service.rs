//! What peers call.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ewtp_log::statement::part_digest;
use ewtp_proto::v1;
use ewtp_proto::v1::federation_service_server::FederationService;
use ewtp_proto::v1::subscribe_response::Message;
use ewtp_trade::scope::shows_part;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use ewtp_log::Hash;
use ewtp_log::witness::{AddCheckpoint, HASHES_MAX};
use ewtp_proto::store::v1::CosignedHead;
use ewtp_store::keys::LOG_TREE;

use super::pieces::file_pieces;
use super::{caller, status};
use crate::attachments::of_parts;
use crate::directory::Peer;
use crate::durable::DurableHead;
use crate::lane_server::{LaneServer, Position};
use crate::prove::{LaneWanted, proof_for_peer};
use crate::shared::Shared;
use crate::{gossip, settled, witness};

pub(super) struct Federation {
    pub(super) shared: Arc<Shared>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn peer<T>(shared: &Shared, request: &Request<T>) -> Result<Arc<Peer>, Status> {
    let caller = caller(request)?;
    let known = shared.directory.load().peer_by_key(&caller.spki).cloned();
    known.ok_or_else(|| Status::unauthenticated("this key is of no active peer"))
}

fn later(what: &str) -> Status {
    Status::unimplemented(format!("{what} is laid out in ewtp/1 and not offered by this version"))
}

/// One subscription.
struct Lane {
    shared: Arc<Shared>,
    server: LaneServer,
    at: Position,
    /// Head under which the backlog is said.
    under: DurableHead,
    watch: tokio::sync::watch::Receiver<DurableHead>,
    sent_partial: bool,
    /// Version of the own descriptor that the subscriber holds.
    version: u64,
    /// Size of the newest cosigned head that it was sent.
    cosigned: u64,
    cosignatures: tokio::sync::watch::Receiver<Arc<CosignedHead>>,
    /// Fires when the hub stops or a newer stream of this peer replaces this one.
    ended: CancellationToken,
}

impl Lane {
    async fn next(&mut self) -> Result<Option<Message>, Status> {
        loop {
            if self.ended.is_cancelled() {
                return Ok(None);
            }
            let peer = self.shared.directory.load().peers.get(&self.server.peer).cloned();
            let Some(peer) = peer.filter(|p| p.is_active()) else { return Ok(None) };
            if let Some(chain) = self.newer_chain() {
                return Ok(Some(Message::Descriptors(chain)));
            }
            let scope = peer.record.scope.clone().unwrap_or_default();
            let page = self.server.next_page(&mut self.at, &self.under, &scope).await;
            if let Some(page) = page.map_err(|e| status::store(&e))? {
                self.note_progress();
                self.sent_partial = true;
                return Ok(Some(Message::Page(crate::page_wire::to_wire(page))));
            }
            let cosigned = settled::for_subscriber(&self.shared, self.at, &mut self.cosigned).await;
            if let Some(cosigned) = cosigned.map_err(|e| status::store(&e))? {
                return Ok(Some(Message::Cosigned(cosigned)));
            }
            if self.sent_partial {
                // Busy lane: company for the next page costs the receiver fewer frames.
                tokio::time::sleep(Duration::from_millis(self.shared.config.limits.linger_ms))
                    .await;
                self.sent_partial = false;
            }
            let newest = self.watch.borrow_and_update().clone();
            if newest.size > self.under.size {
                self.under = newest;
                continue;
            }
            tokio::select! {
                biased;
                () = self.ended.cancelled() => return Ok(None),
                changed = self.watch.changed() => if changed.is_err() { return Ok(None) },
                changed = self.cosignatures.changed() => if changed.is_err() { return Ok(None) },
            }
        }
    }

    /// The own chain, where it has grown past what the subscriber holds.
    fn newer_chain(&mut self) -> Option<v1::DescriptorChain> {
        let own = self.shared.chain.load();
        let version = own.newest().version;
        if version <= self.version {
            return None;
        }
        self.version = version;
        Some(v1::DescriptorChain {
            hub: own.hub().to_string(),
            envelopes: own.envelopes().to_vec(),
        })
    }

    /// What this peer asked past, for the lag that operators see.
    fn note_progress(&self) {
        let mut served = self.shared.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.insert(self.server.peer.clone(), self.at.cursor);
    }
}

/// What a peer asked for and may have.
enum Asked {
    /// The blob of a part.
    Part(Vec<u8>),
    /// An attachment, by digest, with its size.
    File([u8; 32], u64),
}

/// Bytes of one message of a fetched part.
const CHUNK_BYTES: usize = 64 << 10;

impl Federation {
    /// The blob of a part that a statement in the peer's own lane names and its scope shows. Anything else is not found: the
    /// answer doesn't tell what exists.
    async fn part_for(&self, peer: &Peer, request: &v1::FetchPartRequest) -> Result<Asked, Status> {
        let missing =
            || Status::not_found("your lane holds no such part, or your scope does not show it");
        let views = ewtp_store::Views(&*self.shared.store);
        let number = request.lane_number.max(1);
        let index =
            views.lane(peer.hub.as_str(), number, 1).await.map_err(|e| status::store(&e))?;
        let index = index.first().copied().ok_or_else(missing)?;
        let statement =
            views.own(index).await.map_err(|e| status::store(&e))?.ok_or_else(missing)?;
        if statement.commitment().0.as_slice() != request.commitment {
            return Err(missing());
        }
        let scope = peer.record.scope.clone().unwrap_or_default();
        // What the scope doesn't show cites nothing either.
        let mut shown = statement.clone();
        shown.parts.retain(|(name, _)| shows_part(&scope, name));
        let named = |(name, blob): &&(String, Vec<u8>)| {
            part_digest(name, blob).0.as_slice() == request.digest
        };
        if let Some((_, blob)) = shown.parts.iter().find(named) {
            return Ok(Asked::Part(blob.clone()));
        }
        let cited = of_parts(&shown).into_iter().find(|a| a.digest == request.digest);
        let digest = cited.and_then(|a| a.digest.try_into().ok()).ok_or_else(missing)?;
        let held = self.shared.attachments.held(&digest).await;
        if held.complete { Ok(Asked::File(digest, held.bytes)) } else { Err(missing()) }
    }
}

#[tonic::async_trait]
impl FederationService for Federation {
    type SubscribeStream = Responses<v1::SubscribeResponse>;
    type DeliverStream = Responses<v1::DeliverResponse>;
    type FetchPartStream = Responses<v1::FetchPartResponse>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let peer = peer(&self.shared, &request)?;
        let request = request.into_inner();
        let generation = self.shared.identity.origin.generation();
        if request.generation != generation {
            let message = format!(
                "generation {} is not the one in use; it is {generation}",
                request.generation
            );
            return Err(status::field("generation", message));
        }
        let mut watch = self.shared.head.clone();
        let cosignatures = self.shared.cosigned.subscribe();
        let under = watch.borrow_and_update().clone();
        let said = under.slots.iter().find(|s| s.peer == peer.hub).map_or(0, |s| s.lane_size);
        if request.cursor > said || request.head_size > under.size {
            // The subscriber holds more than this hub ever made durable: this store is older than what it has said.
            tracing::error!(peer = %peer.hub, holds = request.cursor, said, "the peer holds more than this log");
            return Err(Status::data_loss(
                "you hold more of this lane than this hub does; its operator has to look",
            ));
        }
        let lane = Lane {
            server: LaneServer {
                store: Arc::clone(&self.shared.store),
                identity: Arc::clone(&self.shared.identity),
                peer: peer.hub.clone(),
            },
            shared: Arc::clone(&self.shared),
            at: Position { cursor: request.cursor, head_size: request.head_size },
            under,
            watch,
            sent_partial: false,
            version: u64::from(request.descriptor_version),
            cosigned: 0,
            cosignatures,
            ended: self.shared.subscribe(&peer.hub),
        };
        lane.note_progress();
        let stream = futures_util::stream::unfold(lane, |mut lane| async move {
            match lane.next().await {
                Ok(Some(message)) => {
                    Some((Ok(v1::SubscribeResponse { message: Some(message) }), lane))
                }
                Ok(None) => None,
                Err(status) => Some((Err(status), lane)),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn deliver(
        &self,
        _: Request<Streaming<v1::DeliverRequest>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        Err(later("Deliver"))
    }

    async fn fetch_part(
        &self,
        request: Request<v1::FetchPartRequest>,
    ) -> Result<Response<Self::FetchPartStream>, Status> {
        let peer = peer(&self.shared, &request)?;
        let request = request.into_inner();
        let blob = match self.part_for(&peer, &request).await? {
            Asked::Part(blob) => blob,
            Asked::File(digest, total) => {
                let pieces = file_pieces(&self.shared, digest, request.offset);
                let piece = move |piece: Result<Vec<u8>, Status>| {
                    piece.map(|chunk| v1::FetchPartResponse { chunk, total })
                };
                return Ok(Response::new(Box::pin(pieces.map(piece))));
            }
        };
        let total = blob.len() as u64;
        let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
        if offset > blob.len() {
            return Err(status::field("offset", format!("past the end at {total}")));
        }
        let chunks: Vec<_> = blob[offset..]
            .chunks(CHUNK_BYTES)
            .map(|chunk| Ok(v1::FetchPartResponse { chunk: chunk.to_vec(), total }))
            .collect();
        Ok(Response::new(Box::pin(futures_util::stream::iter(chunks))))
    }

    async fn get_descriptors(
        &self,
        request: Request<v1::GetDescriptorsRequest>,
    ) -> Result<Response<v1::GetDescriptorsResponse>, Status> {
        peer(&self.shared, &request)?;
        let wanted = request.into_inner().hub;
        let own = self.shared.chain.load_full();
        let directory = self.shared.directory.load_full();
        let chains = std::iter::once(&*own).chain(directory.peers.values().map(|p| &p.chain));
        let chains = chains.filter(|c| wanted.is_empty() || c.hub().as_str() == wanted);
        let wire = |c: &ewtp_trust::Chain| v1::DescriptorChain {
            hub: c.hub().to_string(),
            envelopes: c.envelopes().to_vec(),
        };
        Ok(Response::new(v1::GetDescriptorsResponse { chains: chains.map(wire).collect() }))
    }

    async fn get_proof(
        &self,
        request: Request<v1::GetProofRequest>,
    ) -> Result<Response<v1::GetProofResponse>, Status> {
        let peer = peer(&self.shared, &request)?;
        let request = request.into_inner();
        let lane = if request.with_lane { LaneWanted::Yes } else { LaneWanted::No };
        let proof =
            proof_for_peer(&self.shared, &peer.hub, request.lane_number, request.log_index, lane)
                .await;
        let proof = proof.map_err(|e| status::store(&e))?;
        proof
            .map(Response::new)
            .ok_or_else(|| Status::not_found("your lane holds no such statement"))
    }

    async fn get_ruleset(
        &self,
        request: Request<v1::FederationServiceGetRulesetRequest>,
    ) -> Result<Response<v1::FederationServiceGetRulesetResponse>, Status> {
        peer(&self.shared, &request)?;
        let digest = request.into_inner().digest;
        let all = ewtp_store::Views(&*self.shared.store)
            .rulesets()
            .await
            .map_err(|e| status::store(&e))?;
        let public = |c: &v1::RulesetCore| !c.confidential && c.digest == digest;
        let found = all.into_iter().find(|r| r.core.as_ref().is_some_and(public));
        let text = found
            .map(|r| r.text)
            .ok_or_else(|| Status::not_found("no public ruleset with that digest"))?;
        Ok(Response::new(v1::FederationServiceGetRulesetResponse { text }))
    }

    async fn list_rulesets(
        &self,
        request: Request<v1::FederationServiceListRulesetsRequest>,
    ) -> Result<Response<v1::FederationServiceListRulesetsResponse>, Status> {
        peer(&self.shared, &request)?;
        let now_ms = i64::try_from(self.shared.clock.now_ms()).unwrap_or(i64::MAX);
        let texts = crate::precheck::in_force(&self.shared, now_ms).await;
        Ok(Response::new(v1::FederationServiceListRulesetsResponse { texts }))
    }

    async fn get_head(
        &self,
        request: Request<v1::GetHeadRequest>,
    ) -> Result<Response<v1::GetHeadResponse>, Status> {
        peer(&self.shared, &request)?;
        let request = request.into_inner();
        if !request.origin.is_empty() && request.origin != self.shared.identity.origin.as_str() {
            return self.third_head(&request.origin).map(Response::new);
        }
        let head = self.shared.head.borrow().clone();
        let size = if request.size == 0 { head.size } else { request.size };
        if request.from_size > size || size > head.size {
            let message = format!("this log has {} entries; from_size is at most size", head.size);
            return Err(status::field("from_size", message));
        }
        let proof = ewtp_store::Views(&*self.shared.store)
            .consistency(LOG_TREE, request.from_size, size)
            .await
            .map_err(|e| status::store(&e))?;
        Ok(Response::new(v1::GetHeadResponse {
            checkpoint: head.checkpoint.as_bytes().to_vec(),
            consistency: proof.iter().map(|h| h.0.to_vec()).collect(),
            frontier: Vec::new(),
        }))
    }

    async fn add_checkpoint(
        &self,
        request: Request<v1::AddCheckpointRequest>,
    ) -> Result<Response<v1::AddCheckpointResponse>, Status> {
        peer(&self.shared, &request)?;
        let request = request.into_inner();
        let proof: Option<Vec<Hash>> = request.proof.iter().map(|h| Hash::from_slice(h)).collect();
        let proof = proof.filter(|p| p.len() <= HASHES_MAX);
        let proof =
            proof.ok_or_else(|| status::field("proof", "at most 63 hashes of 32 bytes".into()))?;
        let checkpoint = String::from_utf8(request.checkpoint)
            .map_err(|_| status::field("checkpoint", "a note is UTF-8".into()))?;
        let request = AddCheckpoint { old: request.old_size, proof, checkpoint };
        let lines = witness::add_checkpoint(&self.shared, &request).await;
        let lines = lines.map_err(|e| status::witness(&e))?;
        Ok(Response::new(v1::AddCheckpointResponse { lines: lines.into_bytes() }))
    }

    async fn gossip(
        &self,
        request: Request<v1::GossipRequest>,
    ) -> Result<Response<v1::GossipResponse>, Status> {
        let peer = peer(&self.shared, &request)?;
        let request = request.into_inner();
        gossip::hear(&self.shared, &peer.hub, request.heads, request.evidence)
            .await
            .map_err(|e| status::store(&e))?;
        let told = gossip::tell(&self.shared).await.map_err(|e| status::store(&e))?;
        Ok(Response::new(told))
    }
}

impl Federation {
    /// What this hub holds of another's log: its last head with the frontier, or the newest head that it saw.
    fn third_head(&self, origin: &str) -> Result<v1::GetHeadResponse, Status> {
        let directory = self.shared.directory.load();
        let its = |p: &&Arc<Peer>| p.chain.origin().is_some_and(|o| o.as_str() == origin);
        let of = directory.peers.values().find(its);
        if let Some(held) = of.and_then(|p| self.shared.held_head(&p.hub)) {
            return Ok(v1::GetHeadResponse {
                checkpoint: held.note.into_bytes(),
                consistency: Vec::new(),
                frontier: held.log.nodes().iter().map(|(_, h)| h.0.to_vec()).collect(),
            });
        }
        let seen = self.shared.seen(origin);
        let seen = seen.ok_or_else(|| Status::not_found("no head of that log is held here"))?;
        Ok(v1::GetHeadResponse { checkpoint: seen.note.into_bytes(), ..Default::default() })
    }
}
