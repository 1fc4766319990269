//! What happens to a case after it was filed: withdrawals by its filer, adoptions at the destination, an officer's acts. Each is
//! said over the wire as its user would, and may be refused.

use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use tonic::transport::Channel;
use v1::{CaseState, DecisionCode, Effect, EventCode, FilingType};

use super::clients::{Acked, Door, Platform};

impl Door {
    async fn desk<T, F>(
        &mut self,
        call: impl Fn(DeskServiceClient<Channel>) -> F,
    ) -> Result<T, tonic::Status>
    where
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        self.ask(|channel| call(DeskServiceClient::new(channel))).await
    }
}

/// The newest filing of a kind in a case.
fn newest(case: &v1::Case, kind: FilingType) -> Option<&v1::FilingCore> {
    let mut cores = case.filings.iter().filter_map(|f| f.filing.as_ref()?.core.as_ref());
    cores.rfind(|c| c.r#type() == kind)
}

impl Platform {
    /// Withdraws a filing of its own; one that is released or adopted is refused.
    pub(crate) async fn withdraw(&mut self) {
        let Some(mine) = self.mine() else { return };
        let request = v1::InvalidateRequest {
            case_id: mine.accepted.case_id.clone(),
            filing_id: mine.accepted.filing_id.clone(),
            reason: "ORDER-CANCELLED".into(),
        };
        let answered = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.invalidate(request).await }
            })
            .await;
        let logged = answered
            .is_ok_and(|a| matches!(a.result, Some(v1::invalidate_response::Result::Logged(_))));
        self.tell("withdraws", &mine.accepted.case_id, logged);
    }

    fn tell(&self, what: &str, case: &str, logged: bool) {
        self.yard.trace.say(format!("{} {what} {case}: {logged}", self.name));
    }

    /// Adopts what another hub's platform filed for this country, by the code that it passed on.
    pub(crate) async fn adopt(&mut self, n: u64) {
        let filed: Vec<Acked> = {
            let acked = self.yard.acked();
            let here = |a: &&Acked| a.destination == self.country && a.hub != self.hub;
            acked.iter().filter(here).cloned().collect()
        };
        let Some(filed) = filed.get(self.chance.index(filed.len())) else { return };
        let accepted = &filed.accepted;
        let core = v1::FilingCore {
            lrn: format!("{}-i{n:05}", self.name),
            declarant_id: format!("{}0123456789", self.country),
            importer_id: format!("{}0123456789", self.country),
            ..Default::default()
        };
        let request = v1::AdoptRequest {
            case_id: accepted.case_id.clone(),
            filing_id: accepted.filing_id.clone(),
            filing_version: accepted.version,
            one_time_code: accepted.one_time_code.clone(),
            filing: Some(v1::Filing { core: Some(core), ..Default::default() }),
        };
        let answered = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.adopt(request).await }
            })
            .await;
        let logged = answered
            .is_ok_and(|a| matches!(a.result, Some(v1::adopt_response::Result::Accepted(_))));
        self.tell("adopts", &accepted.case_id, logged);
    }

    /// An officer of this hub does something about one of its cases.
    pub(crate) async fn officiate(&mut self, n: u64) {
        let states = [CaseState::Cleared, CaseState::Held, CaseState::Pending, CaseState::Released];
        let states = states.map(|s| s as i32).to_vec();
        let request = v1::ListCasesRequest { states, page_size: 50, ..Default::default() };
        let listed = self
            .officer
            .trade(|mut client| {
                let request = request.clone();
                async move { client.list_cases(request).await }
            })
            .await;
        let cases = listed.map(|l| l.cases).unwrap_or_default();
        let Some(row) = cases.get(self.chance.index(cases.len())) else { return };
        let request = v1::GetCaseRequest { case_id: row.case_id.clone() };
        let got = self
            .officer
            .trade(|mut client| {
                let request = request.clone();
                async move { client.get_case(request).await }
            })
            .await;
        let Some(case) = got.ok().and_then(|g| g.case) else { return };
        let key = format!("{}-{n}", self.name);
        match self.chance.below(3) {
            0 => self.happen(&case, key).await,
            1 => self.decide(&case, key).await,
            _ => self.release(&case, key).await,
        }
    }

    async fn happen(&mut self, case: &v1::Case, key: String) {
        let codes = [EventCode::Arrived, EventCode::Presented, EventCode::Inspected];
        let codes =
            [&codes[..], &[EventCode::Departed, EventCode::Held, EventCode::Seized]].concat();
        let request = v1::RecordEventRequest {
            case_id: case.case_id.clone(),
            code: codes[self.chance.index(codes.len())] as i32,
            idempotency_key: key,
            ..Default::default()
        };
        let answered = self
            .officer
            .desk(|mut client| {
                let request = request.clone();
                async move { client.record_event(request).await }
            })
            .await;
        let logged = answered
            .is_ok_and(|a| matches!(a.result, Some(v1::record_event_response::Result::Logged(_))));
        self.tell(request.code().as_str_name(), &case.case_id, logged);
    }

    async fn decide(&mut self, case: &v1::Case, key: String) {
        let codes =
            [DecisionCode::Clear, DecisionCode::Hold, DecisionCode::Revoke, DecisionCode::Dnl];
        let effect =
            if self.chance.below(2) == 0 { Effect::Security } else { Effect::Admissibility };
        let code = codes[self.chance.index(codes.len())];
        self.say_decision(case, FilingType::Advance, effect, code, key).await;
    }

    async fn release(&mut self, case: &v1::Case, key: String) {
        let (effect, code) = (Effect::Release, DecisionCode::Release);
        self.say_decision(case, FilingType::Import, effect, code, key).await;
    }

    async fn say_decision(
        &mut self,
        case: &v1::Case,
        kind: FilingType,
        effect: Effect,
        code: DecisionCode,
        key: String,
    ) {
        let Some(core) = newest(case, kind) else { return };
        let request = v1::DecideRequest {
            case_id: case.case_id.clone(),
            filing_id: core.filing_id.clone(),
            filing_version: core.version,
            effect: effect as i32,
            code: code as i32,
            idempotency_key: key,
            ..Default::default()
        };
        let answered = self
            .officer
            .desk(|mut client| {
                let request = request.clone();
                async move { client.decide(request).await }
            })
            .await;
        let logged = answered
            .is_ok_and(|a| matches!(a.result, Some(v1::decide_response::Result::Logged(_))));
        self.tell(code.as_str_name(), &case.case_id, logged);
    }
}
