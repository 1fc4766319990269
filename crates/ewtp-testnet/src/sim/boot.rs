//! The networks that simulations begin with: two to five hubs that know each other, with rules and accounts. Made through
//! the operators' own calls, once, without faults; each seed begins with a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use ewtp_proto::v1;
use ewtp_trade::scope;

use super::chance::Chance;
use super::clients::Door;
use super::fuse::Fuse;
use super::goods;
use super::machines::{Belongings, HUBS, Home, Machine, Size, owners, run_for, runtime};
use super::net::Net;
use crate::TestnetError;

const RULES: &str = include_str!("rules.toml");

/// Parts that a scope shows, written out once more for the checkers.
pub(crate) fn shown_parts(from: usize, to: usize) -> Vec<&'static str> {
    if is_full(from, to) {
        vec!["core", "parties", "goods", "value", "authority", "signature", "trader"]
    } else {
        vec!["core", "trader"]
    }
}

/// Two of three pairs show each other everything.
fn is_full(from: usize, to: usize) -> bool {
    !(from * 2 + to).is_multiple_of(3)
}

/// A network at rest.
pub(crate) struct Booted {
    pub(crate) belongings: Vec<Belongings>,
    /// Simulated milliseconds that it took.
    pub(crate) took: u64,
}

/// Builds the network of the first `count` hubs.
///
/// # Errors
/// If it doesn't come up: nothing can be simulated then.
pub(crate) fn boot(homes: &[Home], count: usize) -> Result<Booted, TestnetError> {
    let mut chance = Chance::new(count as u64);
    ewtp_hub::clock::seeded::seed(Some(count as u64));
    let homes = &homes[..count];
    let net = Net::new(chance.fork(), owners(homes));
    let size = Size {
        queue: 256,
        batch: 64,
        desk_batch: 64,
        segment_bytes: 1 << 20,
        settle_bytes: 64 << 10,
    };
    let mut machines: Vec<Machine> =
        (0..count).map(|at| Machine::new(at, &homes[at], Belongings::default(), size)).collect();
    for machine in &mut machines {
        machine.start(&net, &mut chance)?;
    }
    let clients = runtime(&mut chance)?;
    let fuse = Arc::new(Fuse::default());
    let doors: Vec<Door> = (0..count)
        .map(|at| Door::new(net.at(count + at, &fuse), &homes[at], &homes[at].operator))
        .collect();
    let officers: Vec<Door> = (0..count)
        .map(|at| Door::new(net.at(count + at, &fuse), &homes[at], &homes[at].officer))
        .collect();
    let introductions: Vec<_> = (0..count).map(|at| introduction(homes, at)).collect();
    let work = clients.spawn(async move {
        for ((mut door, mut officer), calls) in doors.into_iter().zip(officers).zip(introductions) {
            calls.make(&mut door).await?;
            calls.certify(&mut officer).await?;
        }
        Ok::<(), tonic::Status>(())
    });
    let mut now = 0;
    let failed = |what: String| crate::io("the simulated network")(std::io::Error::other(what));
    while !work.is_finished() && now < 600_000 {
        for machine in &mut machines {
            if let super::machines::Ended::Stopped(why) = machine.turn(&net, now, now + 5) {
                return Err(failed(why));
            }
        }
        run_for(&clients, now, now + 5);
        now += 5;
    }
    if !work.is_finished() {
        return Err(failed("its operators' calls got no answer".into()));
    }
    clients
        .block_on(work)
        .map_err(|e| failed(e.to_string()))?
        .map_err(|e| failed(e.to_string()))?;
    // A moment for the last lanes to be heard.
    for _ in 0..200 {
        for machine in &mut machines {
            machine.turn(&net, now, now + 5);
        }
        now += 5;
    }
    let belongings = machines.iter().map(|m| m.belongings.copy()).collect();
    drop(machines);
    Ok(Booted { belongings, took: now })
}

/// What an operator says to its hub before anything is filed.
struct Introduction {
    peers: Vec<v1::AddPeerRequest>,
    accounts: Vec<v1::PutAccountRequest>,
    rules: v1::PublishRulesetRequest,
    /// What its traders may draw on.
    quota: v1::IssueCertificateRequest,
}

fn introduction(homes: &[Home], at: usize) -> Introduction {
    let others = (0..homes.len()).filter(|there| *there != at);
    let peers = others.map(|there| v1::AddPeerRequest {
        descriptors: homes[there].chain.envelopes().to_vec(),
        fingerprint: homes[there].chain.fingerprint().0.to_vec(),
        scope: Some(if is_full(at, there) { scope::full() } else { scope::acdd() }),
    });
    let account = |id: &str, role: v1::Role, spki: [u8; 32]| v1::PutAccountRequest {
        // Whom platforms declare for when they adopt.
        registered_ids: vec![format!("{}0123456789", HUBS[at])],
        id: id.into(),
        name: id.into(),
        roles: vec![role as i32],
        add_credentials: vec![v1::Credential {
            kind: v1::CredentialKind::ClientCertificate as i32,
            spki_sha256: spki.to_vec(),
            label: id.into(),
            revoked: false,
        }],
        ..Default::default()
    };
    let country = HUBS[at];
    let kilograms = v1::Quantity { value: goods::QUOTA_KG.to_string(), unit: "KGM".into() };
    let quota = v1::IssueCertificateRequest {
        core: Some(v1::CertificateCore {
            kind: "licence".into(),
            issuer: "A board".into(),
            reference: goods::quota(country),
            valid_from: "2000-01-01".into(),
            time_zone: "UTC".into(),
            r#use: v1::CertificateUse::Quantity as i32,
            ..Default::default()
        }),
        holder: Some(v1::CertificateHolder {
            id: goods::holder(country),
            name: "A holder".into(),
            country: country.into(),
            ..Default::default()
        }),
        lines: vec![v1::CertificateLine {
            hs: "0901".into(),
            quantity: Some(kilograms),
            ..Default::default()
        }],
        original: None,
    };
    Introduction {
        quota,
        peers: peers.collect(),
        accounts: vec![
            account("platform", v1::Role::Platform, homes[at].platform.spki()),
            account("officer", v1::Role::Officer, homes[at].officer.spki()),
        ],
        rules: v1::PublishRulesetRequest {
            text: RULES
                .replace("HUB-rules", &format!("{}-rules", HUBS[at].to_ascii_lowercase()))
                .replace("HUB", HUBS[at]),
            ..Default::default()
        },
    }
}

impl Introduction {
    async fn make(&self, door: &mut Door) -> Result<(), tonic::Status> {
        for request in &self.peers {
            door.operate(|mut o| {
                let request = request.clone();
                async move { o.add_peer(request).await }
            })
            .await?;
        }
        for request in &self.accounts {
            door.operate(|mut o| {
                let request = request.clone();
                async move { o.put_account(request).await }
            })
            .await?;
        }
        let published = door
            .operate(|mut o| {
                let request = self.rules.clone();
                async move { o.publish_ruleset(request).await }
            })
            .await?;
        if published.violations.is_empty() {
            return Ok(());
        }
        Err(tonic::Status::internal(format!("rules refused: {:?}", published.violations)))
    }
}

impl Introduction {
    async fn certify(&self, officer: &mut Door) -> Result<(), tonic::Status> {
        let issued = officer
            .decide(|mut desk| {
                let request = self.quota.clone();
                async move { desk.issue_certificate(request).await }
            })
            .await?;
        match issued.violations.as_slice() {
            [] => Ok(()),
            all => Err(tonic::Status::internal(format!("certificate refused: {all:?}"))),
        }
    }
}

/// Who shows whom what, for the checkers.
pub(crate) fn scopes(count: usize) -> BTreeMap<(String, String), Vec<&'static str>> {
    let all = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    let pairs = all.filter(|(a, b)| a != b);
    pairs.map(|(a, b)| ((HUBS[a].into(), HUBS[b].into()), shown_parts(a, b))).collect()
}
