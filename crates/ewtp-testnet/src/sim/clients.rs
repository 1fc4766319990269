//! What people and platforms do: file, file again when an answer is missing, amend, answer questions, look. Each keeps the
//! answers that it got; they are held against the hubs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ewtp_hub::client::dial_over;
use ewtp_hub::network::Network;
use ewtp_proto::v1;
use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::operator_service_client::OperatorServiceClient;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use ewtp_tls::TlsIdentity;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::chance::Chance;
use super::goods::{self, Made, SECRET};
use super::machines::Home;
use super::oracle::{Oracle, promise};
use super::time;

/// Longest wait for one answer, milliseconds of simulated time.
const PATIENCE: Duration = Duration::from_secs(4);

/// What all clients share.
pub(crate) struct Yard {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) acked: Mutex<Vec<Acked>>,
    pub(crate) trace: Arc<Trace>,
}

impl Yard {
    pub(crate) fn oracle(&self) -> std::sync::MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn acked(&self) -> std::sync::MutexGuard<'_, Vec<Acked>> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened, in order.
#[derive(Default)]
pub(crate) struct Trace(Mutex<Vec<String>>);

impl Trace {
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        let line = format!("{:>8.3} s  {}", time::now() as f64 / 1000.0, text.as_ref());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An acknowledged filing.
#[derive(Clone)]
pub(crate) struct Acked {
    pub(crate) hub: usize,
    pub(crate) accepted: v1::Accepted,
    pub(crate) destination: String,
}

/// One party's way to one hub.
#[derive(Clone)]
pub(crate) struct Door {
    network: Arc<dyn Network>,
    identity: TlsIdentity,
    address: String,
    pin: [u8; 32],
    open: Option<Channel>,
}

impl Door {
    pub(crate) fn new(network: Arc<dyn Network>, home: &Home, identity: &TlsIdentity) -> Self {
        let address = home.listen[1].to_string();
        Self { network, identity: identity.clone(), address, pin: home.server_spki, open: None }
    }

    async fn channel(&mut self) -> Option<Channel> {
        if self.open.is_none() {
            let dialled = dial_over(&self.network, &self.identity, &self.address, vec![self.pin]);
            self.open = dialled.await.ok();
        }
        self.open.clone()
    }

    /// Calls until there is an answer that isn't *unavailable* or the like.
    pub(crate) async fn ask<T, F>(&mut self, call: impl Fn(Channel) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut pause = 20;
        loop {
            if let Some(channel) = self.channel().await {
                match tokio::time::timeout(PATIENCE, call(channel)).await {
                    Ok(Ok(answer)) => return Ok(answer.into_inner()),
                    Ok(Err(status)) if is_final(&status) => return Err(status),
                    Ok(Err(status)) if status.code() == Code::ResourceExhausted => {}
                    Ok(Err(_)) | Err(_) => self.open = None,
                }
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = (pause * 2).min(1000);
        }
    }

    pub(crate) async fn trade<T, F>(
        &mut self,
        call: impl Fn(TradeServiceClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.ask(|channel| {
            call(TradeServiceClient::new(channel).max_decoding_message_size(32 << 20))
        })
        .await
    }

    pub(crate) async fn decide<T, F>(
        &mut self,
        call: impl Fn(DeskServiceClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.ask(|channel| call(DeskServiceClient::new(channel))).await
    }

    pub(crate) async fn operate<T, F>(
        &mut self,
        call: impl Fn(OperatorServiceClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.ask(|channel| call(OperatorServiceClient::new(channel))).await
    }
}

/// Whether asking again would give the same answer.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::AlreadyExists
            | Code::Unauthenticated
    )
}

/// A platform that files at one hub.
pub(crate) struct Platform {
    pub(crate) hub: usize,
    pub(crate) country: String,
    pub(crate) others: Vec<String>,
    pub(crate) door: Door,
    /// Of an officer at the same hub.
    pub(crate) officer: Door,
    pub(crate) yard: Arc<Yard>,
    pub(crate) chance: Chance,
    pub(crate) name: String,
    pub(crate) acts: u64,
}

impl Platform {
    /// Does what its seed says, then ends; every filing that it began is acknowledged or refused by then.
    pub(crate) async fn run(mut self) {
        for n in 0..self.acts {
            tokio::time::sleep(Duration::from_millis(self.chance.between(0, 400))).await;
            match self.chance.below(100) {
                0..=54 => {
                    let made = self.made(n, ("", ""));
                    self.file(made).await;
                }
                55..=69 => self.amend(n).await,
                70..=79 => self.burst(n, 8).await,
                80..=81 => self.burst(n, 120).await,
                82..=87 => self.answer().await,
                88..=89 => self.withdraw().await,
                90..=92 => self.adopt(n).await,
                93..=96 => self.officiate(n).await,
                _ => self.look().await,
            }
        }
        for _ in 0..3 {
            self.answer().await;
        }
    }

    fn made(&mut self, n: u64, amends: (&str, &str)) -> Made {
        let to = match self.chance.below(100) {
            0..=2 => "FR".to_owned(),
            3..=5 => self.country.clone(),
            _ => self.others[self.chance.index(self.others.len())].clone(),
        };
        let lrn = format!("{}-{n:05}", self.name);
        goods::advance(&mut self.chance, &lrn, &self.country, &to, amends)
    }

    async fn file(&mut self, made: Made) {
        let request = made.request.clone();
        let answer = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.submit(request).await }
            })
            .await;
        self.note(&made, answer);
    }

    fn note(&self, made: &Made, answer: Result<v1::SubmitResponse, Status>) {
        let lrn = made.request.filing.as_ref().and_then(|f| f.core.as_ref()).map(|c| c.lrn.clone());
        let lrn = lrn.unwrap_or_default();
        match answer.map(|a| a.result) {
            Ok(Some(v1::submit_response::Result::Accepted(accepted))) => {
                self.yard.trace.say(format!(
                    "{lrn} is acknowledged as log entry {}{}",
                    accepted.log_index,
                    if accepted.repeated_submission { ", again" } else { "" }
                ));
                self.yard.oracle().acknowledged(self.hub, &accepted, made.sums);
                let destination = made.destination.clone();
                self.yard.acked().push(Acked { hub: self.hub, accepted, destination });
            }
            Ok(Some(v1::submit_response::Result::Refused(refused))) => {
                let codes: Vec<&str> = refused.violations.iter().map(|v| v.code.as_str()).collect();
                self.yard.trace.say(format!("{lrn} is refused: {}", codes.join(", ")));
                if codes.contains(&"lrn-reused") {
                    let what = format!("{lrn}: the same bytes were refused as others");
                    self.yard.oracle().breach(promise::ONCE, what);
                }
            }
            Ok(None) => {}
            Err(status) => {
                let what = format!("{lrn}: {:?} {}", status.code(), status.message());
                self.yard.oracle().breach(promise::ALIVE, what);
            }
        }
    }

    pub(crate) fn mine(&mut self) -> Option<Acked> {
        let acked = self.yard.acked();
        let mine: Vec<&Acked> = acked.iter().filter(|a| a.hub == self.hub).collect();
        mine.get(self.chance.index(mine.len())).map(|a| (*a).clone())
    }

    async fn amend(&mut self, n: u64) {
        let Some(before) = self.mine() else { return };
        let (case, filing) = (before.accepted.case_id, before.accepted.filing_id);
        let lrn = format!("{}-{n:05}", self.name);
        let made = goods::advance(
            &mut self.chance,
            &lrn,
            &self.country,
            &before.destination,
            (&case, &filing),
        );
        self.file(made).await;
    }

    /// Many at once, some more than the queue takes.
    async fn burst(&mut self, n: u64, count: u64) {
        self.yard.trace.say(format!("{} files {count} at once", self.name));
        let made: Vec<Made> =
            (0..count).map(|i| self.made(100_000 + n * 1000 + i, ("", ""))).collect();
        let me = &*self;
        let each = made.into_iter().map(|made| async move {
            let (mut door, request) = (me.door.clone(), made.request.clone());
            let answer = door
                .trade(|mut client| {
                    let request = request.clone();
                    async move { client.submit(request).await }
                })
                .await;
            me.note(&made, answer);
        });
        futures_util::future::join_all(each).await;
    }

    /// Answers what is asked of one of its cases.
    async fn answer(&mut self) {
        let states = vec![v1::CaseState::InfoRequested as i32];
        let request =
            v1::ListCasesRequest { states: states.clone(), page_size: 50, ..Default::default() };
        let listed = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.list_cases(request).await }
            })
            .await;
        let cases = listed.map(|l| l.cases).unwrap_or_default();
        let Some(row) = cases.get(self.chance.index(cases.len())) else { return };
        let Some(case) = self.case(&row.case_id).await else { return };
        let open = case.info_requests.iter().find(|r| r.answer.is_none());
        let Some(open) = open else { return };
        let questions = open.trader.iter().flat_map(|t| &t.questions);
        let request = v1::AnswerInformationRequestRequest {
            case_id: case.case_id.clone(),
            request: open.statement.clone().unwrap_or_default().commitment,
            answers: questions
                .map(|q| v1::Answer { code: q.code.clone(), value: "a thing".into() })
                .collect(),
            attachments: Vec::new(),
        };
        let answered = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.answer_information_request(request).await }
            })
            .await;
        let logged = answered.is_ok();
        self.yard.trace.say(format!("{} answers about {}: {logged}", self.name, row.case_id));
    }

    async fn case(&mut self, id: &str) -> Option<v1::Case> {
        let request = v1::GetCaseRequest { case_id: id.to_owned() };
        let got = self
            .door
            .trade(|mut client| {
                let request = request.clone();
                async move { client.get_case(request).await }
            })
            .await;
        got.ok().and_then(|g| g.case)
    }

    /// A trader looks at a case: everything that it is shown is durable, and nothing of it is for others.
    async fn look(&mut self) {
        let Some(acked) = self.mine() else { return };
        let id = acked.accepted.case_id;
        let Some(case) = self.case(&id).await else {
            let what = format!("{}: the acknowledged case {id} is not there", self.name);
            self.yard.oracle().breach(promise::ACKNOWLEDGED, what);
            return;
        };
        let mut oracle = self.yard.oracle();
        oracle.look();
        let text = format!("{case:?}");
        if text.contains(SECRET) {
            oracle.breach(
                promise::AUDIENCE,
                format!("a trader's view of {id} holds a note of the agency"),
            );
        }
        let statements = case.filings.iter().filter_map(|f| f.statement.as_ref());
        let statements =
            statements.chain(case.decisions.iter().filter_map(|d| d.statement.as_ref()));
        let undurable = statements.clone().find(|s| {
            let own = oracle.facts(&s.hub).and_then(|f| f.own.get(&s.log_index));
            own.is_none_or(|o| o.commitment.as_slice() != s.commitment)
        });
        if let Some(s) = undurable {
            let what =
                format!("{id} shows log entry {} of {}, which is not durable", s.log_index, s.hub);
            oracle.breach(promise::SHOWN, what);
        }
    }
}
