//! Hubs for tests, with operators, accounts and a command line that is run as a person would.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ewtp_proto::v1;
use ewtp_proto::v1::operator_service_client::OperatorServiceClient;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use ewtp_testnet::HubProcess;
use ewtp_tls::TlsIdentity;
use serde_json::Value;
use tonic::transport::Channel;

pub(crate) const EWTP: &str = env!("CARGO_BIN_EXE_ewtp");

/// Longest wait for anything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A running hub with its operator.
pub(crate) struct Hub {
    pub(crate) process: HubProcess,
}

impl Hub {
    /// Makes a hub without starting it.
    pub(crate) fn make(dir: &Path, id: &str) -> Self {
        let process =
            HubProcess::init(Path::new(EWTP), &dir.join(id), id, "a passphrase for tests").unwrap();
        Self { process }
    }

    pub(crate) fn start(dir: &Path, id: &str) -> Self {
        let mut hub = Self::make(dir, id);
        hub.process.start().unwrap();
        hub.save_profile("operator");
        hub
    }

    pub(crate) fn save_profile(&self, name: &str) {
        let pin = ewtp_log::base64::encode(&self.process.server_spki);
        let text = format!(
            "address = \"{}\"\nserver_pin = \"{pin}\"\ncertificate = \"{name}.crt\"\nkey = \"{name}.key\"\n",
            self.process.clients()
        );
        std::fs::write(self.profile(name), text).unwrap();
    }

    /// Takes the listener's new key, as its operator does after a rotation.
    pub(crate) fn repin(&mut self) {
        let keys = self.process.dir.join("data/keys");
        let tls = TlsIdentity::load(&keys.join("tls.crt"), &keys.join("tls.key")).unwrap();
        self.process.server_spki = tls.spki();
        self.save_profile("operator");
    }

    pub(crate) fn profile(&self, name: &str) -> PathBuf {
        self.process.dir.join(format!("{name}.profile.toml"))
    }

    pub(crate) fn identity(&self, name: &str) -> TlsIdentity {
        let dir = &self.process.dir;
        TlsIdentity::load(&dir.join(format!("{name}.crt")), &dir.join(format!("{name}.key")))
            .unwrap()
    }

    /// Runs the command line with a profile of this hub.
    pub(crate) fn run(&self, profile: &str, args: &[&str]) -> Output {
        Command::new(EWTP).arg("--profile").arg(self.profile(profile)).args(args).output().unwrap()
    }

    /// Runs the command line, which must succeed, and reads its JSON.
    pub(crate) fn json(&self, profile: &str, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = self.run(profile, &all);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn add_account(&self, id: &str, role: &str) {
        let dir = self.process.dir.display().to_string();
        self.json("operator", &["account", "add", id, "--role", role, "--out", &dir]);
    }

    /// An account with registered ids of parties.
    pub(crate) fn add_party(&self, id: &str, role: &str, party: &str) {
        let dir = self.process.dir.display().to_string();
        let args = ["account", "add", id, "--role", role, "--registered-id", party, "--out", &dir];
        self.json("operator", &args);
    }

    /// Mandates of the parties in a file for the account `platform`.
    pub(crate) fn mandates(&self, principals: &Path) {
        let file = principals.display().to_string();
        let (from, until) = ("2000-01-01", "2099-12-31");
        let args = ["mandate", "give", "--principals", &file, "--account", "platform"];
        self.json("operator", &[&args[..], &["--from", from, "--until", until]].concat());
    }

    /// Starts anew with its clock ahead of the machine's.
    pub(crate) fn play(&mut self, ahead_s: i64) {
        self.process.stop().unwrap();
        let path = self.process.config();
        let text = std::fs::read_to_string(&path).unwrap();
        let kept = text.split("\n[rehearsal]").next().unwrap().to_owned();
        std::fs::write(&path, format!("{kept}\n[rehearsal]\nahead_s = {ahead_s}\n")).unwrap();
        self.process.start().unwrap();
    }

    pub(crate) fn publish(&self, ruleset: &str) {
        let path = repository(&format!("rulesets/{ruleset}.toml")).display().to_string();
        self.json("operator", &["ruleset", "publish", &path]);
    }

    pub(crate) fn add_peer(&self, peer: &Self, scope: &str) {
        let descriptor = peer.process.descriptor().display().to_string();
        let fingerprint = peer.process.chain.fingerprint().to_hex();
        self.json(
            "operator",
            &["peer", "add", &descriptor, "--fingerprint", &fingerprint, "--scope", scope],
        );
    }

    pub(crate) async fn channel(&self, name: &str) -> Channel {
        let pins = vec![self.process.server_spki];
        ewtp_hub::client::dial(&self.identity(name), &self.process.clients(), pins).await.unwrap()
    }

    pub(crate) async fn trade(&self, name: &str) -> TradeServiceClient<Channel> {
        TradeServiceClient::new(self.channel(name).await).max_decoding_message_size(32 << 20)
    }

    pub(crate) async fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel("operator").await)
    }

    pub(crate) async fn status(&self) -> v1::GetStatusResponse {
        self.operator().await.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner()
    }
}

/// Two hubs that know each other.
pub(crate) fn pin(a: &Hub, b: &Hub, scope: &str) {
    a.add_peer(b, scope);
    b.add_peer(a, scope);
}

/// Stops a hub; its store is whole.
pub(crate) fn stops_whole(mut hub: Hub) {
    hub.process.stop().unwrap();
    let dir = hub.process.dir.to_str().unwrap();
    let checked = Command::new(EWTP).args(["store", "check", "--dir", dir]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// What `ewtp receipt verify` says of a receipt, offline.
pub(crate) fn verified(receipt: &Path, descriptors: &Path) -> Value {
    let output = Command::new(EWTP)
        .args(["--json", "receipt", "verify"])
        .arg(receipt)
        .arg("--descriptor")
        .arg(descriptors)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All cases that a profile sees.
pub(crate) async fn all_cases(client: &mut TradeServiceClient<Channel>) -> Vec<v1::CaseSummary> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListCasesRequest { page_size: 1000, page_token, ..Default::default() };
        let page = client.list_cases(request).await.unwrap().into_inner();
        all.extend(page.cases);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Waits until `ready` gives something, under a deadline.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ready: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ready().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A complete advance filing of one item.
pub(crate) fn advance(lrn: &str, from: &str, to: &str) -> v1::Filing {
    let text = |t: &str| t.to_owned();
    let address = |country: &str| {
        Some(v1::Address { city: text("Town"), country: text(country), ..Default::default() })
    };
    let money = || Some(v1::Money { amount: text("120.00"), currency: text("USD") });
    v1::Filing {
        core: Some(v1::FilingCore {
            r#type: v1::FilingType::Advance as i32,
            function: v1::FilingFunction::Original as i32,
            lrn: text(lrn),
            category: v1::ConsignmentCategory::HighValue as i32,
            exporter_name: text("An exporter"),
            importer_name: text("A consignee"),
            transport_mode: text("4"),
            country_of_export: text(from),
            country_of_destination: text(to),
            retention_class: text("standard"),
            items: vec![v1::CoreItem {
                number: 1,
                commodity_code: text("090111"),
                origin: text(from),
                quantity: Some(v1::Quantity { value: text("10"), unit: text("KGM") }),
            }],
            ..Default::default()
        }),
        parties: Some(v1::FilingParties {
            exporter_address: address(from),
            importer_address: address(to),
            ..Default::default()
        }),
        goods: Some(v1::FilingGoods {
            gross_mass_kg: text("11"),
            items: vec![v1::GoodsItem {
                number: 1,
                description: text("Coffee, green"),
                gross_mass_kg: text("11"),
                net_mass_kg: text("10"),
                ..Default::default()
            }],
            ..Default::default()
        }),
        value: Some(v1::FilingValue {
            invoice_total: money(),
            items: vec![v1::ValueItem { number: 1, value: money(), ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Files and gives the acceptance.
pub(crate) async fn file(
    client: &mut TradeServiceClient<Channel>,
    filing: v1::Filing,
) -> v1::Accepted {
    match submit(client, filing).await {
        v1::submit_response::Result::Accepted(accepted) => accepted,
        v1::submit_response::Result::Refused(refused) => panic!("{:?}", refused.violations),
    }
}

pub(crate) async fn submit(
    client: &mut TradeServiceClient<Channel>,
    filing: v1::Filing,
) -> v1::submit_response::Result {
    let request = v1::SubmitRequest { filing: Some(filing), ..Default::default() };
    client.submit(request).await.unwrap().into_inner().result.unwrap()
}

/// A case as `profile` is shown it; `None` where the hub does not tell it of one.
pub(crate) async fn case(hub: &Hub, profile: &str, id: &str) -> Option<v1::Case> {
    let request = v1::GetCaseRequest { case_id: id.into() };
    hub.trade(profile).await.get_case(request).await.ok().and_then(|r| r.into_inner().case)
}

/// Waits until `profile` is shown the case in `state`.
pub(crate) async fn shows(hub: &Hub, profile: &str, id: &str, state: v1::CaseState) -> v1::Case {
    until(state.as_str_name(), || async {
        case(hub, profile, id).await.filter(|c| c.state() == state)
    })
    .await
}
