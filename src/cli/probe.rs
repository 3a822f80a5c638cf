//! `syncmux probe`

use std::time::Duration;

use clap::Args;
use workflows::domain::ErrorKind;

use crate::output::Failure;

/// How long an answer may take: shorter than what orchestrators give a health check.
const PATIENCE: Duration = Duration::from_secs(4);

/// Ask a worker or an API on this machine whether it is ready.
///
/// For the health checks of containers, whose images have no other program. Exits with 10 when it is not ready or does
/// not answer.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux probe
  syncmux probe --address 127.0.0.1:8086 --live")]
pub(super) struct Probe {
    /// Where it serves its probes: the worker's metrics address or the API's address
    #[arg(long, env = "SYNCMUX_PROBE_ADDRESS", default_value = "127.0.0.1:9464", value_name = "HOST:PORT")]
    address: String,
    /// Ask only whether it lives, not whether it is ready
    #[arg(long)]
    live: bool,
}

impl Probe {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let path = if self.live { "livez" } else { "readyz" };
        let url = format!("http://{}/{path}", self.address);
        let invalid = |error| Failure::new(ErrorKind::InvalidInput, format!("--address is not usable: {error}"));
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().map_err(invalid)?;
        let request = client.get(&url).build().map_err(invalid)?;
        let status = match client.execute(request).await {
            Ok(answer) => answer.status(),
            Err(error) if error.is_timeout() => {
                return Err(Failure::new(ErrorKind::Timeout, format!("{url} did not answer in time")));
            }
            Err(_) => return Err(Failure::new(ErrorKind::Unavailable, format!("nobody answers at {url}"))),
        };
        if !status.is_success() {
            return Err(Failure::new(ErrorKind::Unavailable, format!("{url} answers {status}")));
        }
        println!("{path}: {status}");
        Ok(())
    }
}
