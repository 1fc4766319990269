//! The stage: three hubs, their operators, a platform's account.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ewtp_proto::v1;
use ewtp_testnet::{HubProcess, TestnetError};
use ewtp_tls::TlsIdentity;
use ewtp_trade::scope;

use crate::error::CliError;
use crate::output::Output;
use crate::profile::Profile;
use crate::session::{Session, block_on};

/// The three hubs and where their profiles are.
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) hubs: Vec<HubProcess>,
}

/// Order of the hubs on the stage.
pub(crate) const KE: usize = 0;
pub(crate) const BE: usize = 1;
pub(crate) const SG: usize = 2;

const NAMES: [(&str, &str); 3] = [("KE", "Kenya"), ("BE", "Belgium"), ("SG", "Singapore")];

/// Rulesets by hub, as shipped.
const RULESETS: [(usize, &str); 4] = [
    (KE, include_str!("../../../../rulesets/ke-export.toml")),
    (BE, include_str!("../../../../rulesets/be-advance.toml")),
    (BE, include_str!("../../../../rulesets/be-risk.toml")),
    (SG, include_str!("../../../../rulesets/sg-advance.toml")),
];

pub(crate) fn failed(e: TestnetError) -> CliError {
    CliError::Demo(e.to_string())
}

impl Stage {
    /// Makes, starts and pins the hubs, publishes rulesets, opens the platform's account.
    pub(crate) fn build(dir: &Path, out: &Output) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(CliError::io(Path::new("ewtp")))?;
        let started = Instant::now();
        out.say("Three trade agencies set up a hub each: keys, a descriptor signed by the root key, an empty log.");
        let mut hubs = Vec::new();
        for (id, country) in NAMES {
            let hub = HubProcess::init(
                &program,
                &dir.join(id.to_ascii_lowercase()),
                id,
                "only a demonstration",
            );
            let hub = hub.map_err(failed)?;
            let fingerprint = hub.chain.fingerprint().to_hex();
            out.say(&format!(
                "  {country:<10} hub {id}, fingerprint {}…",
                fingerprint.get(..16).unwrap_or_default()
            ));
            hubs.push(hub);
        }
        let mut stage = Self { dir: dir.to_owned(), program, hubs };
        for hub in &mut stage.hubs {
            hub.start().map_err(failed)?;
        }
        stage.write_operator_profiles()?;
        out.say(&format!("  three daemons run ({:.1} s)", started.elapsed().as_secs_f32()));
        block_on(stage.introduce(out))?;
        Ok(stage)
    }

    fn write_operator_profiles(&self) -> Result<(), CliError> {
        for hub in &self.hubs {
            let profile = Profile {
                address: hub.clients(),
                server_pin: ewtp_log::base64::encode(&hub.server_spki),
                certificate: "operator.crt".into(),
                key: "operator.key".into(),
                languages: "en".into(),
            };
            profile.save(&hub.dir.join("operator.profile.toml"))?;
        }
        Ok(())
    }

    pub(crate) fn operator_profile(&self, hub: usize) -> PathBuf {
        self.hubs[hub].dir.join("operator.profile.toml")
    }

    pub(crate) fn platform_profile(&self) -> PathBuf {
        self.hubs[KE].dir.join("platform.profile.toml")
    }

    pub(crate) async fn operator(&self, hub: usize) -> Result<Session, CliError> {
        Session::open(Some(&self.operator_profile(hub))).await
    }

    async fn introduce(&self, out: &Output) -> Result<(), CliError> {
        out.say("\nTheir operators pin each other: descriptor file, fingerprint read out by telephone, a data scope.");
        for (here, there, scope) in [
            (KE, BE, scope::full()),
            (BE, KE, scope::full()),
            (KE, SG, scope::acdd()),
            (SG, KE, scope::full()),
            (BE, SG, scope::acdd()),
            (SG, BE, scope::acdd()),
        ] {
            let peer = &self.hubs[there];
            let request = v1::AddPeerRequest {
                descriptors: peer.chain.envelopes().to_vec(),
                fingerprint: peer.chain.fingerprint().0.to_vec(),
                scope: Some(scope.clone()),
            };
            self.operator(here).await?.operator().add_peer(request).await?;
            out.say(&format!(
                "  {} shows {} the scope `{}`: {}",
                NAMES[here].1,
                NAMES[there].1,
                scope.name,
                scope.parts.join(", ")
            ));
        }
        out.say("\nEach publishes the rules that it decides by; Belgium also a confidential set for risk.");
        for (hub, text) in RULESETS {
            let request = v1::PublishRulesetRequest { text: text.to_owned(), ..Default::default() };
            let published =
                self.operator(hub).await?.operator().publish_ruleset(request).await?.into_inner();
            let ruleset = published
                .ruleset
                .ok_or_else(|| CliError::Demo(format!("{:?}", published.violations)))?;
            let kind = if ruleset.confidential { "confidential" } else { "public" };
            out.say(&format!(
                "  {}: {} version {} ({kind})",
                NAMES[hub].1, ruleset.name, ruleset.version
            ));
        }
        self.open_account(KE, "platform", v1::Role::Platform, super::filings::EXPORTER).await?;
        Ok(())
    }

    /// An account with a key and a profile in its hub's directory.
    pub(crate) async fn open_account(
        &self,
        hub: usize,
        id: &str,
        role: v1::Role,
        party: &str,
    ) -> Result<Session, CliError> {
        let dir = &self.hubs[hub].dir;
        let identity = TlsIdentity::generate(id, &[format!("{id}.invalid")])?;
        let (certificate, key) = (format!("{id}.crt"), format!("{id}.key"));
        identity.save(&dir.join(&certificate), &dir.join(&key))?;
        let parties = Some(party).filter(|p| !p.is_empty());
        let request = v1::PutAccountRequest {
            id: id.into(),
            name: id.into(),
            roles: vec![role as i32],
            add_credentials: vec![v1::Credential {
                kind: v1::CredentialKind::ClientCertificate as i32,
                spki_sha256: identity.spki().to_vec(),
                label: id.into(),
                revoked: false,
            }],
            registered_ids: parties.into_iter().map(str::to_owned).collect(),
            ..Default::default()
        };
        self.operator(hub).await?.operator().put_account(request).await?;
        let profile = Profile {
            address: self.hubs[hub].clients(),
            server_pin: ewtp_log::base64::encode(&self.hubs[hub].server_spki),
            certificate: certificate.into(),
            key: key.into(),
            languages: "en".into(),
        };
        let path = dir.join(format!("{id}.profile.toml"));
        profile.save(&path)?;
        Session::open(Some(&path)).await
    }

    pub(crate) fn stop_all(&mut self, out: &Output) -> Result<(), CliError> {
        let started = Instant::now();
        for hub in &mut self.hubs {
            if !hub.stop().map_err(failed)? {
                return Err(CliError::Demo(format!("hub {} did not stop cleanly", hub.hub)));
            }
        }
        out.say(&format!(
            "\nAll three daemons have ended ({:.1} s).",
            started.elapsed().as_secs_f32()
        ));
        Ok(())
    }

    /// Runs this very program as a person would.
    pub(crate) fn ewtp(&self, args: &[&str]) -> Result<std::process::Output, CliError> {
        Command::new(&self.program).args(args).output().map_err(CliError::io(&self.program))
    }

    pub(crate) fn how_to_go_on(&self, out: &Output) {
        let program = self.program.display();
        out.say(&format!(
            "\nThe hubs are kept in {}. Start them again, each in a terminal of its own:",
            self.dir.display()
        ));
        for hub in &self.hubs {
            out.say(&format!("  {program} hub run --config {}", hub.config().display()));
        }
        out.say("and look inside:");
        for (i, hub) in self.hubs.iter().enumerate() {
            let profile = self.operator_profile(i);
            for what in ["hub status", "peer list", "case list"] {
                out.say(&format!("  {program} --profile {} {what}", profile.display()));
            }
            let _ = hub;
        }
        out.say(&format!(
            "  {program} --profile {} case show COOP-0003",
            self.platform_profile().display()
        ));
    }
}
