//! What operators call. Their acts are statements without audience: nothing lives in the state alone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use ewtp_log::{Hash, HubId};
use ewtp_proto::store::v1::StoredEvidence;
use ewtp_proto::v1;
use ewtp_proto::v1::operator_service_server::OperatorService;
use ewtp_store::Views;
use ewtp_trade::route::overlap;
use ewtp_trade::scope;
use ewtp_trust::Chain;
use ewtp_trust::descriptor::Environment;
use tokio::sync::OwnedMutexGuard;
use tonic::{Request, Response, Status};

use super::{account, publish_ruleset, status};
use crate::arrangements::{self, Standing, StepError, Wanted};
use crate::clock::random;
use crate::directory::{AGENCY_ROLES, Peer, has_role, speaker};
use crate::draft::{Draft, NewStatement};
use crate::draws;
use crate::evidence::standing;
use crate::shared::Shared;
use crate::{code_lists, consultations};

pub(super) struct Operator {
    pub(super) shared: Arc<Shared>,
}

impl Operator {
    fn operator<T>(&self, request: &Request<T>) -> Result<Arc<v1::AccountRecord>, Status> {
        let account = account(&self.shared, request)?;
        if has_role(&account, &[v1::Role::Operator]) {
            Ok(account)
        } else {
            Err(Status::permission_denied("this call needs the role operator"))
        }
    }

    fn auditor<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let account = account(&self.shared, request)?;
        if has_role(&account, &[v1::Role::Auditor]) {
            Ok(())
        } else {
            Err(Status::permission_denied("this call needs the role auditor"))
        }
    }

    async fn say(&self, statement: NewStatement, act: OwnedMutexGuard<()>) -> Result<(), Status> {
        self.say_all(vec![statement], act).await
    }

    async fn say_all(
        &self,
        statements: Vec<NewStatement>,
        act: OwnedMutexGuard<()>,
    ) -> Result<(), Status> {
        let draft = Draft { statements, ..Draft::default() };
        self.shared.own.submit_act(draft, act).await.map(drop).map_err(|e| status::draft(&e))
    }
}

pub(super) fn random_failed(e: getrandom::Error) -> Status {
    Status::internal(e.to_string())
}

fn account_id_is_valid(id: &str) -> bool {
    (1..=32).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.operator(&request)?;
        let shared = &self.shared;
        let views = Views(&*shared.store);
        let counters = views.counters().await.map_err(|e| status::store(&e))?;
        let work = views.work(100_000).await.map_err(|e| status::store(&e))?;
        let with_officer = work.iter().filter(|w| !w.officer_reason.is_empty()).count() as u64;
        let head = shared.head.borrow().clone();
        let own = shared.own_descriptor();
        let environment = match own.environment {
            Environment::Test => v1::Environment::Test,
            Environment::Live => v1::Environment::Live,
        };
        let ready = shared.ready.load(Ordering::Relaxed);
        let warnings = shared
            .warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        Ok(Response::new(v1::GetStatusResponse {
            hub: shared.identity.hub.to_string(),
            environment: environment as i32,
            state: if ready { "serving" } else { "starting or stopping" }.into(),
            origin: shared.identity.origin.to_string(),
            log_size: head.size,
            root: head.root.unwrap_or(Hash::EMPTY_ROOT).0.to_vec(),
            said: counters.said,
            heard: counters.heard,
            cases: counters.cases,
            inbox: work.len() as u64 - with_officer,
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_s: shared.started.elapsed().as_secs(),
            pages_verified: shared.pages_verified.load(Ordering::Relaxed),
            officer_tasks: with_officer,
            warnings,
            descriptor_version: u32::try_from(own.version).unwrap_or(u32::MAX),
        }))
    }

    async fn get_head(
        &self,
        request: Request<v1::OperatorServiceGetHeadRequest>,
    ) -> Result<Response<v1::OperatorServiceGetHeadResponse>, Status> {
        self.operator(&request)?;
        let checkpoint = self.shared.head.borrow().checkpoint.as_bytes().to_vec();
        let cosigned = self.shared.cosigned.borrow().note.clone().into_bytes();
        Ok(Response::new(v1::OperatorServiceGetHeadResponse { checkpoint, cosigned }))
    }

    async fn list_evidence(
        &self,
        request: Request<v1::ListEvidenceRequest>,
    ) -> Result<Response<v1::ListEvidenceResponse>, Status> {
        self.operator(&request).map(drop).or_else(|_| self.auditor(&request))?;
        let held = Views(&*self.shared.store).evidence().await.map_err(|e| status::store(&e))?;
        let wire = |e: StoredEvidence| v1::HeldEvidence {
            text: e.text,
            against: e.against,
            kind: e.kind,
            found_ms: i64::try_from(e.found_ms).unwrap_or(i64::MAX),
            from: e.from,
        };
        let evidence = held.into_iter().map(wire).collect();
        Ok(Response::new(v1::ListEvidenceResponse { evidence }))
    }

    async fn put_account(
        &self,
        request: Request<v1::PutAccountRequest>,
    ) -> Result<Response<v1::PutAccountResponse>, Status> {
        self.operator(&request)?;
        let request = request.into_inner();
        if !account_id_is_valid(&request.id) {
            return Err(status::field("id", "an account id is 1-32 of a-z 0-9 -".into()));
        }
        let act = Arc::clone(&self.shared.acts).lock_owned().await;
        let directory = self.shared.directory.load_full();
        let before = directory.accounts.get(&request.id);
        let mut record = before.map_or_else(
            || v1::AccountRecord { id: request.id.clone(), ..Default::default() },
            |a| (**a).clone(),
        );
        for credential in &request.add_credentials {
            let spki: [u8; 32] = credential.spki_sha256.as_slice().try_into().map_err(|_| {
                status::field("add_credentials", "an SPKI digest has 32 bytes".into())
            })?;
            if directory.account(&spki).is_some() {
                return Err(status::field(
                    "add_credentials",
                    "this key is of an account already".into(),
                ));
            }
            record.credentials.push(credential.clone());
        }
        for credential in &mut record.credentials {
            credential.revoked |= request.revoke_credentials.contains(&credential.spki_sha256);
        }
        if !request.name.is_empty() {
            record.name = request.name;
        }
        if !request.roles.is_empty() {
            record.roles = request.roles;
        }
        record.registered_ids.extend(request.registered_ids);
        record.closed |= request.close;
        if request.size != 0 {
            record.size = request.size;
        }
        record.version += 1;
        if record.roles.is_empty() {
            return Err(status::field("roles", "an account has at least one role".into()));
        }
        let statement = NewStatement::new("account", &record.id, u64::from(record.version))
            .and_then(|s| s.part("core", &v1::RulesetCore::default()))
            .and_then(|s| s.part("internal", &record))
            .map_err(random_failed)?;
        self.say(statement, act).await?;
        Ok(Response::new(v1::PutAccountResponse { account: Some(record) }))
    }

    async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<Response<v1::ListAccountsResponse>, Status> {
        self.operator(&request)?;
        let directory = self.shared.directory.load_full();
        let accounts = directory.accounts.values().map(|a| (**a).clone()).collect();
        Ok(Response::new(v1::ListAccountsResponse { accounts }))
    }

    async fn add_peer(
        &self,
        request: Request<v1::AddPeerRequest>,
    ) -> Result<Response<v1::AddPeerResponse>, Status> {
        self.operator(&request)?;
        let request = request.into_inner();
        let chain = Chain::verify(&request.descriptors)
            .map_err(|e| status::field("descriptors", e.to_string()))?;
        let expected = Hash::from_slice(&request.fingerprint)
            .ok_or_else(|| status::field("fingerprint", "a fingerprint has 32 bytes".into()))?;
        chain
            .expect_fingerprint(&expected)
            .map_err(|e| status::field("fingerprint", e.to_string()))?;
        let scope = request.scope.ok_or_else(|| {
            status::field("scope", "a peer needs a data scope; there is no default".into())
        })?;
        scope::check(&scope).map_err(|e| status::field("scope", e.to_string()))?;
        let own = self.shared.own_descriptor();
        let newest = chain.newest();
        if *chain.hub() == self.shared.identity.hub {
            return Err(status::field("descriptors", "this is the hub's own descriptor".into()));
        }
        if newest.environment != own.environment {
            let message = format!(
                "the peer is {}, this hub is {}: they never mix",
                newest.environment, own.environment
            );
            return Err(status::field("descriptors", message));
        }
        let act = Arc::clone(&self.shared.acts).lock_owned().await;
        let directory = self.shared.directory.load_full();
        let there =
            |p: &&Arc<Peer>| p.hub != *chain.hub() && p.record.state() != v1::PeerState::Removed;
        let others = directory.peers.values().filter(there).map(|p| p.chain.newest());
        let taken = others
            .chain([&own])
            .find_map(|d| Some((&d.hub, overlap(&speaker(d), &speaker(newest))?)));
        if let Some((other, both)) = taken {
            let message = format!("{other} speaks for {both} already; nothing has two hubs");
            return Err(status::field("descriptors", message));
        }
        let others =
            directory.peers.values().filter(|p| p.hub != *chain.hub()).map(|p| p.chain.newest());
        let shared_pin =
            others.chain([&own]).find(|d| d.tls_pins.iter().any(|p| newest.tls_pins.contains(p)));
        if let Some(other) = shared_pin {
            let message = format!(
                "it names a TLS key of {}: one of the two would pass for the other",
                other.hub
            );
            return Err(status::field("descriptors", message));
        }
        let before = directory.peers.get(chain.hub()).map(|p| p.record.clone());
        if before.as_ref().is_some_and(|b| b.state() != v1::PeerState::Removed) {
            return Err(Status::already_exists(format!(
                "{} is a peer already; see: ewtp peer show",
                chain.hub()
            )));
        }
        let slot = match &before {
            Some(before) => before.slot,
            None => unused_slot(&directory).map_err(random_failed)?,
        };
        let record = v1::PeerRecord {
            hub: chain.hub().to_string(),
            descriptors: chain.envelopes().to_vec(),
            scope: Some(scope),
            state: v1::PeerState::Active as i32,
            version: before.map_or(1, |b| b.version + 1),
            reason: "added by the operator".into(),
            slot,
            fingerprint: request.fingerprint,
        };
        self.say_peer(&record, act).await?;
        Ok(Response::new(v1::AddPeerResponse { peer: Some(record) }))
    }

    async fn set_peer_state(
        &self,
        request: Request<v1::SetPeerStateRequest>,
    ) -> Result<Response<v1::SetPeerStateResponse>, Status> {
        self.operator(&request)?;
        let request = request.into_inner();
        let state = request.state();
        if !matches!(
            state,
            v1::PeerState::Active | v1::PeerState::Suspended | v1::PeerState::Removed
        ) {
            return Err(status::field("state", "active, suspended or removed".into()));
        }
        let act = Arc::clone(&self.shared.acts).lock_owned().await;
        let directory = self.shared.directory.load_full();
        let peer = directory.peers.values().find(|p| p.hub.as_str() == request.hub);
        let peer = peer.ok_or_else(|| {
            Status::not_found(format!("{} is no peer; see: ewtp peer list", request.hub))
        })?;
        if peer.record.state() == v1::PeerState::Removed {
            return Err(Status::failed_precondition(
                "a removed peer is added again: ewtp peer add",
            ));
        }
        let quarantined = peer.record.state() == v1::PeerState::Quarantined;
        if quarantined && request.reason.trim().is_empty() {
            let message = "a peer leaves quarantine for a reason that is logged: --reason";
            return Err(status::field("reason", message.into()));
        }
        let record = v1::PeerRecord {
            state: state as i32,
            reason: request.reason,
            version: peer.record.version + 1,
            ..peer.record.clone()
        };
        if quarantined && state == v1::PeerState::Active {
            let told = standing(&record, &record.reason, false).map_err(random_failed)?;
            self.say_all(told, act).await?;
            self.shared.warn(&format!("quarantine of {}", record.hub), None);
        } else {
            self.say_peer(&record, act).await?;
        }
        Ok(Response::new(v1::SetPeerStateResponse { peer: Some(record) }))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        self.operator(&request)?;
        let directory = self.shared.directory.load_full();
        let head = self.shared.head.borrow().clone();
        let mut peers = Vec::new();
        for peer in directory.peers.values() {
            let progress = {
                let all = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
                all.get(&peer.hub).cloned().unwrap_or_default()
            };
            let lane =
                self.shared.lane_out(&head, &peer.hub).await.map_err(|e| status::store(&e))?;
            peers.push(v1::PeerStatus {
                peer: Some(peer.record.clone()),
                lane_out: lane.said,
                lane_out_lag: lane.behind,
                lane_in: progress.cursor.load(Ordering::Relaxed),
                lane_in_lag: progress.owed.load(Ordering::Relaxed),
                connected: progress.connected.load(Ordering::Relaxed),
                lag_ms: lane.oldest_ms,
                last_error: progress
                    .last_error
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
            });
        }
        Ok(Response::new(v1::ListPeersResponse { peers }))
    }

    async fn publish_ruleset(
        &self,
        request: Request<v1::PublishRulesetRequest>,
    ) -> Result<Response<v1::PublishRulesetResponse>, Status> {
        let account = self.operator(&request)?;
        publish_ruleset::publish(&self.shared, request.into_inner(), &account.id).await
    }

    async fn publish_code_list(
        &self,
        request: Request<v1::PublishCodeListRequest>,
    ) -> Result<Response<v1::PublishCodeListResponse>, Status> {
        self.operator(&request)?;
        let edition = request.into_inner().edition.unwrap_or_default();
        match code_lists::publish(&self.shared, &edition).await {
            Ok(told) => {
                Ok(Response::new(v1::PublishCodeListResponse { violations: Vec::new(), told }))
            }
            Err(error) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::PublishCodeListResponse { violations, told: Vec::new() }))
            }
        }
    }

    async fn list_code_lists(
        &self,
        request: Request<v1::ListCodeListsRequest>,
    ) -> Result<Response<v1::ListCodeListsResponse>, Status> {
        self.operator(&request)?;
        let editions = code_lists::rows(&self.shared);
        Ok(Response::new(v1::ListCodeListsResponse { editions }))
    }

    async fn propose_ruleset(
        &self,
        request: Request<v1::ProposeRulesetRequest>,
    ) -> Result<Response<v1::ProposeRulesetResponse>, Status> {
        self.operator(&request)?;
        match consultations::propose(&self.shared, request.get_ref()).await {
            Ok(draft_id) => {
                let asked = v1::ListDraftsRequest { draft_id, brief: true };
                let listed = consultations::list(&self.shared, &asked).await;
                let consultation = listed.map_err(|e| status::store(&e))?.into_iter().next();
                let violations = Vec::new();
                Ok(Response::new(v1::ProposeRulesetResponse { violations, consultation }))
            }
            Err(error) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::ProposeRulesetResponse { violations, consultation: None }))
            }
        }
    }

    async fn answer_comment(
        &self,
        request: Request<v1::AnswerCommentRequest>,
    ) -> Result<Response<v1::AnswerCommentResponse>, Status> {
        let account = self.operator(&request)?;
        let said = consultations::answer(&self.shared, &account.id, request.get_ref()).await;
        let violations = match said {
            Ok(()) => Vec::new(),
            Err(error) => status::unsaid(error)?,
        };
        Ok(Response::new(v1::AnswerCommentResponse { violations }))
    }

    async fn say_arrangement(
        &self,
        request: Request<v1::SayArrangementRequest>,
    ) -> Result<Response<v1::SayArrangementResponse>, Status> {
        // To suspend is an officer's too: it is who answers an alarm.
        let suspends = request.get_ref().step() == v1::ArrangementStep::Suspend;
        let account = match suspends {
            true => account(&self.shared, &request)?,
            false => self.operator(&request)?,
        };
        if suspends && !has_role(&account, &[v1::Role::Operator, v1::Role::Officer]) {
            return Err(Status::permission_denied("suspending needs the role officer or operator"));
        }
        let request = request.into_inner();
        let wanted = Wanted {
            step: request.step(),
            text: request.text,
            digest: request.digest,
            reason: request.reason,
            account: account.id.clone(),
        };
        match arrangements::say(&self.shared, &request.peer, wanted).await {
            Ok(()) => {
                let arrangement = self.arrangements(&request.peer, 0).into_iter().next();
                Ok(Response::new(v1::SayArrangementResponse {
                    violations: Vec::new(),
                    arrangement,
                }))
            }
            Err(StepError::NoPeer(_)) => {
                Err(status::field("peer", "an active peer; see ListPeers".into()))
            }
            Err(StepError::Say(error)) => {
                let violations = status::unsaid(error)?;
                Ok(Response::new(v1::SayArrangementResponse { violations, arrangement: None }))
            }
        }
    }

    async fn list_arrangements(
        &self,
        request: Request<v1::ListArrangementsRequest>,
    ) -> Result<Response<v1::ListArrangementsResponse>, Status> {
        let account = account(&self.shared, &request)?;
        if !has_role(&account, AGENCY_ROLES) {
            return Err(Status::permission_denied("this call needs a role of the agency"));
        }
        let request = request.into_inner();
        let arrangements = self.arrangements(&request.peer, request.as_of_ms);
        Ok(Response::new(v1::ListArrangementsResponse { arrangements }))
    }

    async fn list_rulesets(
        &self,
        request: Request<v1::ListRulesetsRequest>,
    ) -> Result<Response<v1::ListRulesetsResponse>, Status> {
        self.operator(&request)?;
        let all = Views(&*self.shared.store).rulesets().await.map_err(|e| status::store(&e))?;
        let rulesets = all.into_iter().filter_map(|r| r.core).collect();
        Ok(Response::new(v1::ListRulesetsResponse { rulesets }))
    }

    async fn list_draw_periods(
        &self,
        request: Request<v1::ListDrawPeriodsRequest>,
    ) -> Result<Response<v1::ListDrawPeriodsResponse>, Status> {
        self.auditor(&request)?;
        let periods = draws::periods(&self.shared).await.map_err(|e| status::store(&e))?;
        Ok(Response::new(v1::ListDrawPeriodsResponse { periods }))
    }

    async fn list_draws(
        &self,
        request: Request<v1::ListDrawsRequest>,
    ) -> Result<Response<v1::ListDrawsResponse>, Status> {
        self.auditor(&request)?;
        let request = request.into_inner();
        let from = u64::try_from(request.from_ms)
            .map_err(|_| status::field("from_ms", "take it from ListDrawPeriods".into()))?;
        let case = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                status::field("page_token", "take it from the last response".into())
            })?,
        };
        let page = draws::list(&self.shared, from, case).await.map_err(|e| status::store(&e))?;
        let (draws, next) = page.ok_or_else(|| {
            Status::failed_precondition(
                "no period of draws begins then, or it is not over; see ListDrawPeriods",
            )
        })?;
        let next_page_token = next.map(|n| n.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListDrawsResponse { draws, next_page_token }))
    }
}

impl Operator {
    /// The arrangements with one peer, or with all.
    fn arrangements(&self, peer: &str, as_of_ms: u64) -> Vec<v1::ArrangementState> {
        let (me, now_ms) = (&self.shared.identity.hub, self.shared.clock.now_ms());
        let directory = self.shared.directory.load();
        let state = |hub: &HubId| match directory.arrangements.get(hub) {
            Some(standing) => standing.state(me, hub, as_of_ms, now_ms),
            None => Standing::default().state(me, hub, as_of_ms, now_ms),
        };
        match peer {
            "" => directory.arrangements.keys().map(state).collect(),
            // With a peer that nothing was said to, nothing is agreed.
            name => directory.peers.keys().filter(|hub| hub.as_str() == name).map(state).collect(),
        }
    }

    async fn say_peer(
        &self,
        record: &v1::PeerRecord,
        act: OwnedMutexGuard<()>,
    ) -> Result<(), Status> {
        let statement = NewStatement::new("peer", &record.hub, u64::from(record.version))
            .and_then(|s| s.part("core", &v1::RulesetCore::default()))
            .and_then(|s| s.part("internal", record))
            .map_err(random_failed)?;
        self.say(statement, act).await
    }
}

/// A slot that nobody ever had, at random among those of the depth in use.
fn unused_slot(directory: &crate::directory::Directory) -> Result<u32, getrandom::Error> {
    let used: Vec<u32> = directory.peers.values().map(|p| p.record.slot).collect();
    let depth = ewtp_log::lane::depth_for(used.len() + 1, ewtp_log::lane::DEPTH_MIN);
    loop {
        let slot = u32::from(u16::from_be_bytes(random()?)) & ((1 << depth) - 1);
        if !used.contains(&slot) {
            return Ok(slot);
        }
    }
}
