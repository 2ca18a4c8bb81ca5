//! The status socket: whoever connects gets one JSON object and the end of file.
//!
//! Owns the socket file. Promises to answer only local users of its group, and to end with the agent. Must not read
//! anything from a client.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is something else that is no socket",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers clients, one after the other, for ever.
///
/// Making an answer may wait for the disk, so a thread that may wait does it; while the disk answers nobody, neither does
/// this.
pub async fn serve(listener: UnixListener, answer: Answer) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let answer = answer.clone();
                let made = tokio::task::spawn_blocking(move || serde_json::to_vec(&answer())).await;
                if let Ok(Ok(text)) = made {
                    // A client that goes away or does not read costs itself.
                    drop(tokio::time::timeout(PATIENCE, reply(client, &text)).await);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the status socket cannot accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn reply(mut client: UnixStream, text: &[u8]) -> io::Result<()> {
    client.write_all(text).await?;
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
    let read = client.take(MAX_ANSWER).read_to_end(&mut text);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let words = "it runs and does not answer in time: its disk or its machine is very busy";
            io::Error::new(io::ErrorKind::TimedOut, words)
        }
        _ => error,
    })?;
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
        let letter = directory.path().join("letter.txt");
        fs::write(&letter, "not yours").unwrap();
        assert!(listen(&letter).is_err());
        assert_eq!(
            fs::read(&letter).unwrap(),
            b"not yours",
            "what is no socket stays"
        );
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

    /// The sources run on the same thread: an answer that waited for a slow disk held all of them up.
    #[tokio::test(flavor = "current_thread")]
    async fn an_answer_that_waits_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let (disk, waits) = std::sync::mpsc::sync_channel(1);
        let waits = std::sync::Mutex::new(waits);
        let answer: Answer = Arc::new(move || Snapshot {
            uptime_ms: waits
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(3))
                .unwrap_or(0),
            ..Snapshot::default()
        });
        let server = tokio::spawn(serve(listen(&path).unwrap(), answer));
        let client = tokio::task::spawn_blocking(move || ask(&path));
        tokio::time::sleep(Duration::from_millis(50)).await;
        disk.send(7).unwrap();
        assert_eq!(client.await.unwrap().unwrap().uptime_ms, 7);
        server.abort();
    }
}
