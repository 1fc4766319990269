//! The command line's grammar for certificates.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum CertificateCommand {
    /// Say that this hub received a certificate: told to the peers whose arrangement recognises it.
    Issue {
        /// TOML file with [core], [holder], [[lines]], as samples/certificate-inspection.toml.
        file: PathBuf,
    },
    /// It doesn't hold until it is reinstated.
    Suspend(Changed),
    /// A suspended one holds again.
    Reinstate(Changed),
    /// It doesn't hold any more: open cases that rely on it are assessed again, at every hub that was told.
    Revoke(Changed),
    /// Another one holds in its place.
    Replace {
        #[command(flatten)]
        changed: Changed,
        /// Id of the certificate in its place.
        #[arg(long)]
        by: String,
    },
    /// Certificates that this hub vouches for, or a peer.
    List {
        /// Hub that vouches; this one if absent.
        #[arg(long, default_value = "")]
        hub: String,
        /// Of this holder alone, as the issuer knows it.
        #[arg(long, default_value = "")]
        holder: String,
    },
    /// The ledger of a certificate for one use or a quantity: what each case holds, and what is left.
    Ledger {
        /// Certificate id.
        id: String,
    },
    /// Free by hand what a case holds of a certificate: the same version of its filing doesn't get it again.
    Free {
        /// Certificate id.
        id: String,
        /// Case that holds it.
        #[arg(long)]
        case: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Write the receipt of a certificate, with chosen parts alone: a buyer sees what the holder shows and no more.
    Prove {
        /// Certificate id.
        id: String,
        /// Part to show: core, holder, line-1 to line-32; may be repeated. All of it if absent.
        #[arg(long = "part")]
        parts: Vec<String>,
        /// Directory for the receipt and the hub's descriptors.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Changed {
    /// Certificate id.
    pub(crate) id: String,
    /// Why.
    #[arg(long)]
    pub(crate) reason: String,
}
