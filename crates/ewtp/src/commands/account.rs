//! `ewtp account`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_proto::v1;
use ewtp_tls::TlsIdentity;
use serde_json::json;

use crate::args::{AccountCommand, RoleArg, SizeArg};
use crate::error::CliError;
use crate::output::Output;
use crate::profile::Profile;
use crate::session::{Session, block_on};

pub(crate) fn run(
    command: AccountCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let profile = profile.as_deref();
    block_on(async {
        match command {
            AccountCommand::Add { id, name, role, registered_id, size, out: dir } => {
                let roles = role.into_iter().map(role_of).collect();
                let dir = dir.unwrap_or_else(|| PathBuf::from(&id));
                let account = v1::PutAccountRequest {
                    id,
                    name,
                    roles,
                    registered_ids: registered_id,
                    size: size.map_or(0, size_of),
                    ..Default::default()
                };
                add(profile, account, &dir, out).await
            }
            AccountCommand::List => list(profile, None, out).await,
            AccountCommand::Show { id } => list(profile, Some(&id), out).await,
            AccountCommand::Revoke { id, spki } => revoke(profile, id, &spki, out).await,
        }
    })
}

fn role_of(role: RoleArg) -> i32 {
    let role = match role {
        RoleArg::Trader => v1::Role::Trader,
        RoleArg::Platform => v1::Role::Platform,
        RoleArg::Officer => v1::Role::Officer,
        RoleArg::System => v1::Role::System,
        RoleArg::Operator => v1::Role::Operator,
        RoleArg::Auditor => v1::Role::Auditor,
    };
    role as i32
}

const fn size_of(size: SizeArg) -> i32 {
    let size = match size {
        SizeArg::Micro => v1::SizeClass::Micro,
        SizeArg::Small => v1::SizeClass::Small,
        SizeArg::Medium => v1::SizeClass::Medium,
        SizeArg::Large => v1::SizeClass::Large,
    };
    size as i32
}

fn role_name(role: v1::Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_ascii_lowercase()
}

async fn add(
    profile: Option<&Path>,
    account: v1::PutAccountRequest,
    dir: &Path,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let id = account.id.clone();
    let (own, _) = Profile::load(profile)?;
    let session = Session::open(profile).await?;
    let identity = TlsIdentity::generate(&id, &[format!("{id}.invalid")])?;
    let (certificate, key) = (format!("{id}.crt"), format!("{id}.key"));
    if dir.join(&key).exists() {
        let what = dir.join(&key).display().to_string();
        let hint = "choose another --out: a key that an account may be using is never overwritten";
        return Err(CliError::usage(&what, "exists already", hint));
    }
    let request = v1::PutAccountRequest {
        add_credentials: vec![v1::Credential {
            kind: v1::CredentialKind::ClientCertificate as i32,
            spki_sha256: identity.spki().to_vec(),
            label: "made by ewtp account add".into(),
            revoked: false,
        }],
        ..account
    };
    session.operator().put_account(request).await?;
    std::fs::create_dir_all(dir).map_err(CliError::io(dir))?;
    identity.save(&dir.join(&certificate), &dir.join(&key))?;
    let path = dir.join(format!("{id}.profile.toml"));
    Profile { certificate: certificate.into(), key: key.into(), ..own }.save(&path)?;
    let facts = [
        ("account", id.clone()),
        ("profile", path.display().to_string()),
        ("key", Hash(identity.spki()).to_hex()),
    ];
    out.facts(&facts, &json!({"id": id, "profile": path, "spki": Hash(identity.spki()).to_hex()}));
    out.note("Hand profile, certificate and key to the account's holder; the hub keeps the key's digest alone.");
    Ok(ExitCode::SUCCESS)
}

async fn list(
    profile: Option<&Path>,
    only: Option<&str>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let session = Session::open(profile).await?;
    let all =
        session.operator().list_accounts(v1::ListAccountsRequest {}).await?.into_inner().accounts;
    let accounts: Vec<_> = all.into_iter().filter(|a| only.is_none_or(|id| a.id == id)).collect();
    if let (Some(id), true) = (only, accounts.is_empty()) {
        return Err(CliError::usage(id, "no such account", "list them: ewtp account list"));
    }
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for a in &accounts {
        let roles: Vec<String> = a.roles().map(role_name).collect();
        let hex = |c: &v1::Credential| {
            Hash::from_slice(&c.spki_sha256).map(Hash::to_hex).unwrap_or_default()
        };
        let keys: Vec<String> = a
            .credentials
            .iter()
            .map(|c| if c.revoked { format!("{} (revoked)", hex(c)) } else { hex(c) })
            .collect();
        let state = if a.closed { "closed" } else { "open" };
        rows.push(vec![
            a.id.clone(),
            a.name.clone(),
            roles.join(", "),
            state.into(),
            keys.join("\n"),
        ]);
        lines.push(json!({
            "id": a.id, "name": a.name, "roles": roles, "state": state, "registered_ids": a.registered_ids,
            "credentials": a.credentials.iter().map(|c| json!({"spki": hex(c), "revoked": c.revoked, "label": c.label})).collect::<Vec<_>>(),
        }));
    }
    out.table(&["account", "name", "roles", "state", "keys"], &rows, &json!(lines));
    Ok(ExitCode::SUCCESS)
}

async fn revoke(
    profile: Option<&Path>,
    id: String,
    spki: &str,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let hint = "as `ewtp account show` prints it";
    let spki = Hash::from_hex(spki)
        .ok_or_else(|| CliError::usage("spki", "not 64 hexadecimal digits", hint))?;
    let session = Session::open(profile).await?;
    let request = v1::PutAccountRequest {
        id: id.clone(),
        revoke_credentials: vec![spki.0.to_vec()],
        ..Default::default()
    };
    session.operator().put_account(request).await?;
    out.facts(&[("revoked", spki.to_hex())], &json!({"id": id, "revoked": spki.to_hex()}));
    Ok(ExitCode::SUCCESS)
}
