//! `ewtp attachment`: documents beside the log.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ewtp_log::Hash;
use ewtp_log::statement::attachment_digest;
use ewtp_proto::v1;
use serde_json::json;

use crate::args::AttachmentCommand;
use crate::commands::acts::tell;
use crate::commands::case;
use crate::commands::desk::key_or_new;
use crate::error::CliError;
use crate::output::Output;
use crate::session::{Session, block_on};

/// Bytes of one message.
const CHUNK_BYTES: usize = 64 << 10;

pub(crate) fn run(
    command: AttachmentCommand,
    profile: &Option<PathBuf>,
    out: &Output,
) -> Result<ExitCode, CliError> {
    block_on(async {
        let session = Session::open(profile.as_deref()).await?;
        match command {
            AttachmentCommand::Upload { file, reference } => {
                let reference = upload(&session, &file, reference.as_deref()).await?;
                let base64 = ewtp_log::base64::encode;
                let facts = [
                    ("[[goods.attachments]]", String::new()),
                    ("digest", format!("= \"{}\"", base64(&reference.digest))),
                    ("size", format!("= {}", reference.size)),
                    ("media_type", format!("= \"{}\"", reference.media_type)),
                    ("salt", format!("= \"{}\"", base64(&reference.salt))),
                ];
                out.facts(&facts, &json!(reference));
                Ok(ExitCode::SUCCESS)
            }
            AttachmentCommand::Get { case, digest, out: to } => {
                get(&session, &case, &digest, &to, out).await
            }
            AttachmentCommand::Erase { case, digest, reason } => {
                let case = case::find(&session, &case).await?;
                let reference = cited(&case, &digest)?;
                let request = v1::EraseAttachmentRequest {
                    case_id: case.case_id.clone(),
                    digest: reference.digest,
                    reason,
                    idempotency_key: key_or_new(None)?,
                };
                let response = session.desk().erase_attachment(request).await?;
                Ok(tell!("erasure", response, v1::erase_attachment_response::Result, out))
            }
        }
    })
}

fn media_type(file: &Path) -> Result<&'static str, CliError> {
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => Ok("application/pdf"),
        "jpg" | "jpeg" => Ok("image/jpeg"),
        "png" => Ok("image/png"),
        _ => {
            let hint = "convert it to .pdf, .jpg or .png";
            Err(CliError::usage(&file.display().to_string(), "not a PDF, JPEG or PNG", hint))
        }
    }
}

/// Uploads a file from where what the hub holds ends. A reference that was kept lets an interrupted upload go on.
pub(crate) async fn upload(
    session: &Session,
    file: &Path,
    kept: Option<&Path>,
) -> Result<v1::AttachmentReference, CliError> {
    let bytes = std::fs::read(file).map_err(CliError::io(file))?;
    let reference = match kept.filter(|k| k.exists()) {
        Some(kept) => {
            let text = std::fs::read_to_string(kept).map_err(CliError::io(kept))?;
            let hint = "the file that an earlier upload wrote";
            serde_json::from_str(&text)
                .map_err(|e| CliError::usage(&kept.display().to_string(), e.to_string(), hint))?
        }
        None => {
            let salt = session.salt(&bytes);
            v1::AttachmentReference {
                digest: attachment_digest(&salt, &bytes).0.to_vec(),
                size: bytes.len() as u64,
                media_type: media_type(file)?.to_owned(),
                salt: salt.to_vec(),
            }
        }
    };
    if let Some(kept) = kept {
        let text = json!(reference).to_string();
        std::fs::write(kept, text).map_err(CliError::io(kept))?;
    }
    let ask =
        v1::UploadAttachmentRequest { attachment: Some(reference.clone()), ..Default::default() };
    let held = session.trade().upload_attachment(tokio_stream::iter([ask.clone()])).await?;
    let held = held.into_inner();
    if held.complete {
        return Ok(reference);
    }
    let from = usize::try_from(held.held).unwrap_or(usize::MAX).min(bytes.len());
    let rest = bytes.get(from..).unwrap_or_default().chunks(CHUNK_BYTES).enumerate();
    let pieces: Vec<v1::UploadAttachmentRequest> = rest
        .map(|(i, chunk)| v1::UploadAttachmentRequest {
            attachment: (i == 0).then(|| reference.clone()),
            offset: (from + i * CHUNK_BYTES) as u64,
            chunk: chunk.to_vec(),
        })
        .collect();
    let done = session.trade().upload_attachment(tokio_stream::iter(pieces)).await?.into_inner();
    match done.complete {
        true => Ok(reference),
        false => {
            let what = format!("{} of {} bytes arrived", done.held, reference.size);
            Err(CliError::usage(&file.display().to_string(), what, "upload it again"))
        }
    }
}

/// The attachment of a case whose digest begins so.
pub(crate) fn cited(case: &v1::Case, digest: &str) -> Result<v1::AttachmentReference, CliError> {
    let all = case.attachments.iter().filter_map(|a| a.attachment.clone());
    let begins = |a: &v1::AttachmentReference| {
        let hex = Hash::from_slice(&a.digest).map(Hash::to_hex).unwrap_or_default();
        !digest.is_empty() && hex.starts_with(&digest.to_ascii_lowercase())
    };
    let found: Vec<v1::AttachmentReference> = all.filter(begins).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(CliError::usage(digest, "the case cites no such attachment", "ewtp case show")),
        _ => Err(CliError::usage(digest, "several attachments begin so", "give more characters")),
    }
}

async fn get(
    session: &Session,
    name: &str,
    digest: &str,
    to: &Path,
    out: &Output,
) -> Result<ExitCode, CliError> {
    let case = case::find(session, name).await?;
    let reference = cited(&case, digest)?;
    let part = PathBuf::from(format!("{}.part", to.display()));
    let offset = std::fs::metadata(&part).map_or(0, |m| m.len());
    let request = v1::FetchAttachmentRequest {
        case_id: case.case_id,
        digest: reference.digest.clone(),
        offset,
    };
    let mut pieces = session.trade().fetch_attachment(request).await?.into_inner();
    let open = std::fs::OpenOptions::new().create(true).append(true).to_owned();
    let mut file = open.open(&part).map_err(CliError::io(&part))?;
    while let Some(piece) = pieces.message().await? {
        file.write_all(&piece.chunk).map_err(CliError::io(&part))?;
    }
    drop(file);
    let bytes = std::fs::read(&part).map_err(CliError::io(&part))?;
    let salt: [u8; 16] = reference.salt.as_slice().try_into().unwrap_or_default();
    if attachment_digest(&salt, &bytes).0.as_slice() != reference.digest {
        std::fs::remove_file(&part).map_err(CliError::io(&part))?;
        let hint = "fetch it again; if this recurs, tell the hub's operator";
        return Err(CliError::usage(digest, "the bytes have another digest", hint));
    }
    std::fs::rename(&part, to).map_err(CliError::io(to))?;
    let facts = [
        ("attachment", to.display().to_string()),
        ("bytes", bytes.len().to_string()),
        ("digest", "right: these are the bytes that the statement cites".to_owned()),
    ];
    out.facts(&facts, &json!({"file": to, "bytes": bytes.len()}));
    Ok(ExitCode::SUCCESS)
}
