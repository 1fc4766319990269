//! Key files and pinned handshakes.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use ewtp_tls::keyfile::{KeyFileError, read_root_key, read_seed, write_root_key, write_seed};
use ewtp_tls::{TlsIdentity, client_config, server_config};
use rustls::{ClientConnection, ServerConnection};

#[test]
fn a_key_that_others_may_read_is_refused_and_the_message_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.key");
    write_seed(&path, &[7; 32]).unwrap();
    assert_eq!(*read_seed(&path).unwrap(), [7; 32]);
    assert!(write_seed(&path, &[8; 32]).is_err(), "never overwritten");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = read_seed(&path).unwrap_err();
    assert!(matches!(refused, KeyFileError::Mode { mode: 0o640, .. }));
    assert!(refused.to_string().contains("chmod 600"));
}

#[test]
fn the_root_key_opens_with_its_passphrase_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key.age");
    write_root_key(&path, &[7; 32], "correct horse").unwrap();
    assert_eq!(*read_root_key(&path, "correct horse").unwrap(), [7; 32]);
    assert!(matches!(read_root_key(&path, "wrong").unwrap_err(), KeyFileError::Passphrase { .. }));
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(4).any(|w| w == b"BwcH"), "no seed in clear");
}

/// Runs a handshake in memory and gives each side's verdict.
fn handshake(
    server_allows: [u8; 32],
    client_allows: [u8; 32],
    ids: &[TlsIdentity; 2],
) -> Result<(), String> {
    let [server_id, client_id] = ids;
    let server =
        server_config(server_id, Arc::new(move |s: &[u8; 32]| *s == server_allows)).unwrap();
    let client =
        client_config(client_id, Arc::new(move |s: &[u8; 32]| *s == client_allows)).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client =
        ClientConnection::new(Arc::new(client), "hub.invalid".try_into().unwrap()).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|e| format!("server: {e}"))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|e| format!("client: {e}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn only_pinned_keys_shake_hands() {
    let ids = [
        TlsIdentity::generate("DK", &["localhost".into()]).unwrap(),
        TlsIdentity::generate("SG", &["localhost".into()]).unwrap(),
    ];
    let [server, client] = [ids[0].spki(), ids[1].spki()];
    handshake(client, server, &ids).unwrap();
    let refused = handshake([0; 32], server, &ids).unwrap_err();
    assert!(
        refused.starts_with("server") && refused.contains(&ewtp_log::Hash(client).to_hex()),
        "{refused}"
    );
    let refused = handshake(client, [0; 32], &ids).unwrap_err();
    assert!(
        refused.starts_with("client") && refused.contains(&ewtp_log::Hash(server).to_hex()),
        "{refused}"
    );
}

#[test]
fn an_identity_comes_back_from_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let identity = TlsIdentity::generate("DK", &["127.0.0.1".into()]).unwrap();
    identity.save(&cert, &key).unwrap();
    assert_eq!(TlsIdentity::load(&cert, &key).unwrap().spki(), identity.spki());
}
