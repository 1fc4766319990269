//! A connection to a hub by a profile, and the runtime that commands run on.

use std::future::Future;
use std::path::Path;

use ewtp_proto::v1::desk_service_client::DeskServiceClient;
use ewtp_proto::v1::operator_service_client::OperatorServiceClient;
use ewtp_proto::v1::trade_service_client::TradeServiceClient;
use tonic::transport::Channel;

use crate::error::CliError;
use crate::profile::Profile;

/// Longest response read: lists of cases are the largest.
const RESPONSE_BYTES_MAX: usize = 16 << 20;

pub(crate) struct Session {
    channel: Channel,
    languages: String,
    /// Text of the account's key file: what it alone knows.
    secret: Vec<u8>,
}

impl Session {
    pub(crate) async fn open(profile: Option<&Path>) -> Result<Self, CliError> {
        let (profile, identity) = Profile::load(profile)?;
        let channel =
            ewtp_hub::client::dial(&identity, &profile.address, vec![profile.pin()?]).await?;
        let secret = std::fs::read(&profile.key).map_err(CliError::io(&profile.key))?;
        Ok(Self { channel, languages: profile.languages, secret })
    }

    /// Salt of an attachment: the same for the same file, so that a command can be repeated, and known to nobody else, so that
    /// nobody confirms a guessed document.
    pub(crate) fn salt(&self, bytes: &[u8]) -> [u8; 16] {
        let text: [&[u8]; 4] = [b"ewtp attachment salt\n", &self.secret, b"\n", bytes];
        let digest = ewtp_log::hash::sha256(&text).0;
        let mut salt = [0; 16];
        salt.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        salt
    }

    /// The connection, for clients that bring their own stubs.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn trade(&self) -> TradeServiceClient<Channel> {
        TradeServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    pub(crate) fn desk(&self) -> DeskServiceClient<Channel> {
        DeskServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    pub(crate) fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel.clone())
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    /// A request that says which languages texts should be in.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(value) = self.languages.parse() {
            request.metadata_mut().insert("accept-language", value);
        }
        request
    }
}

/// Runs a command's future.
pub(crate) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(CliError::io(Path::new("runtime")))?.block_on(future)
}
