//! What the machine can do at all: its disk, one core's cryptography, and gRPC over mutual TLS that does nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;

use super::{Plan, echo, report};
use crate::error::CliError;

const LONG: Duration = Duration::from_secs(3);

/// Measures each floor three times and reports the medians.
pub(super) fn run(plan: &mut Plan<'_>) -> Result<(), CliError> {
    let (dir, repeats) = (plan.dir.clone(), plan.args.repeats);
    let mut measure = |name: &str, bytes: u64, once: &dyn Fn() -> Result<f64, CliError>| {
        let rates = (0..repeats).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
        let (per_s, spread) = report::median(rates);
        plan.report.row(json!({
            "bench": "floor", "name": name, "per_s": per_s.round(), "bytes_per_s": (per_s * bytes as f64).round(),
            "repeats": repeats, "spread": spread,
        }));
        Ok::<(), CliError>(())
    };
    measure("write_fdatasync_1KiB", 1024, &|| synced_writes(&dir, 1024, 0))?;
    let room = 64 << 20; // as the journal makes
    measure("write_fdatasync_1KiB_room", 1024, &|| synced_writes(&dir, 1024, room))?;
    measure("write_fdatasync_64KiB", 64 << 10, &|| synced_writes(&dir, 64 << 10, 0))?;
    measure("sequential_write_1MiB", 1 << 20, &|| sequential(&dir))?;
    measure("sha256_1KiB", 1024, &|| Ok(hashes()))?;
    measure("ed25519_sign", 0, &|| Ok(signs()))?;
    measure("ed25519_verify", 0, &|| Ok(verifies()))?;
    for in_flight in [1, 16, 128] {
        let name = format!("mtls_unary_echo_{in_flight}");
        let seconds = plan.args.seconds;
        let rates = (0..repeats)
            .map(|_| echo::measure(&dir, in_flight, Duration::from_secs(seconds)))
            .collect::<Result<Vec<_>, _>>()?;
        let (p50, p99) = rates.last().map_or((0, 0), |r| (r.p50, r.p99));
        let (per_s, spread) = report::median(rates.iter().map(|r| r.per_s).collect());
        plan.report.row(json!({
            "bench": "floor", "name": name, "per_s": per_s.round(), "p50_us": p50, "p99_us": p99,
            "repeats": repeats, "spread": spread,
        }));
    }
    Ok(())
}

/// A growing file, as `fio` with `fdatasync=1` writes it: every sync commits the new size as well; or a file with room.
fn synced_writes(dir: &Path, bytes: usize, room: u64) -> Result<f64, CliError> {
    let path = dir.join("floor");
    let block = noise(bytes);
    let started = Instant::now();
    let write = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        if room > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, room)?;
        }
        let mut count = 0_u32;
        while started.elapsed() < LONG {
            file.write_all(&block)?;
            file.sync_data()?;
            count += 1;
        }
        Ok(f64::from(count) / started.elapsed().as_secs_f64())
    };
    let rate = write().map_err(CliError::io(&path))?;
    std::fs::remove_file(&path).map_err(CliError::io(&path))?;
    Ok(rate)
}

/// Blocks of 1 MiB with one sync at the end.
fn sequential(dir: &Path) -> Result<f64, CliError> {
    let path = dir.join("floor");
    let block = noise(1 << 20);
    let write = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let started = Instant::now();
        for _ in 0..512 {
            file.write_all(&block)?;
        }
        file.sync_data()?;
        Ok(512.0 / started.elapsed().as_secs_f64())
    };
    let rate = write().map_err(CliError::io(&path))?;
    std::fs::remove_file(&path).map_err(CliError::io(&path))?;
    Ok(rate)
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Calls for a while; gives the rate.
fn rate(mut once: impl FnMut()) -> f64 {
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < LONG {
        for _ in 0..100 {
            once();
        }
        count += 100;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

/// As the log hashes.
fn hashes() -> f64 {
    let block = noise(1024);
    rate(|| {
        std::hint::black_box(ewtp_log::hash::sha256(&[&block]));
    })
}

/// As checkpoints are signed.
fn signs() -> f64 {
    let (key, message) = (SigningKey::from_bytes(&[7; 32]), noise(64));
    rate(|| {
        std::hint::black_box(key.sign(&message));
    })
}

/// As checkpoints are verified: strictly.
fn verifies() -> f64 {
    let (key, message) = (SigningKey::from_bytes(&[7; 32]), noise(64));
    let (signature, public) = (key.sign(&message), key.verifying_key());
    rate(|| {
        let _ = std::hint::black_box(public.verify_strict(&message, &signature));
    })
}
