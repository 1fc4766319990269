//! Messages and services of the hub protocol, generated from `proto/`.
//!
//! Wire types stop at the edge: services turn them into domain types once (`ewtp-trade`). Maps are ordered, so that a
//! message encodes to the same bytes wherever it is built. JSON is that of the protobuf specification, with the field names
//! of `proto/`.

/// `ewtp.v1`: what travels between hubs and accounts.
#[allow(
    clippy::all,
    missing_docs,
    unreachable_pub,
    reason = "generated; every field is commented in proto/"
)]
pub mod v1 {
    tonic::include_proto!("ewtp.v1");
    include!(concat!(env!("OUT_DIR"), "/ewtp.v1.serde.rs"));

    /// Encoded `FileDescriptorSet`, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

/// `ewtp.store.v1`: what the journal and the state hold.
pub mod store {
    /// Version 1.
    #[allow(
        clippy::all,
        missing_docs,
        unreachable_pub,
        reason = "generated; every field is commented in proto/"
    )]
    pub mod v1 {
        tonic::include_proto!("ewtp.store.v1");
    }
}

pub use prost::Message;
