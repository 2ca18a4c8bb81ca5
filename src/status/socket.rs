//! The status socket: whoever connects gets one JSON object and the end of file.
//!
//! Owns the socket file. Promises to answer only local users of its group, and to end with the agent. Must not read
//! anything from a client.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Client;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

use super::Snapshot;

/// Longest that a client may take to read its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that an answer may have: 4096 sensors take about 600 KiB.
const MAX_ANSWER: u64 = 16 << 20;

/// Makes the status answer; called for each client.
pub type Answer = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Listens at `path`. A socket that a dead agent left behind is replaced; its directory is made if it can be.
///
/// # Errors
/// When the socket cannot be made. The agent goes on without one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers clients, one after the other, for ever.
pub async fn serve(listener: UnixListener, answer: Answer) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // A client that goes away or does not read costs itself.
                drop(tokio::time::timeout(PATIENCE, reply(client, &answer)).await);
            }
            Err(error) => {
                tracing::warn!(%error, "the status socket cannot accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn reply(mut client: UnixStream, answer: &Answer) -> io::Result<()> {
    let text = serde_json::to_vec(&answer())?;
    client.write_all(&text).await?;
    client.shutdown().await
}

/// Asks the agent at `path`.
///
/// # Errors
/// When nobody listens there, or the answer is none.
pub fn ask(path: &Path) -> io::Result<Snapshot> {
    let client = Client::connect(path)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut text = Vec::new();
    client.take(MAX_ANSWER).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_client_gets_the_answer_and_a_dead_agents_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/status.sock");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let answer: Answer = Arc::new(|| Snapshot {
            device: "greenhouse-7".into(),
            ..Snapshot::default()
        });
        let server = tokio::spawn(serve(listener, answer));
        let found = tokio::task::spawn_blocking(move || ask(&path))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.device, "greenhouse-7");
        server.abort();
    }
}
