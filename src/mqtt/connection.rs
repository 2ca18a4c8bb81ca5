//! A connection to a broker: made, read from, written to.
//!
//! Owns sockets, TLS and the buffers on both sides. Promises that nothing here waits for an answer but [`connect`], which
//! is bounded, that reading and writing can be broken off at any time without losing a byte, and that what waits to be
//! sent goes out together. Must not know sessions or what messages are for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::address::Address;
use super::packet::{self, Hello, Incoming, PacketError, Refusal};

/// How long a broker may take to let us in.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read at once: some 500 messages. More waits in the kernel.
const READ: usize = 64 * 1024;
/// Seconds without a packet after which the broker gives a client up.
const KEEP_ALIVE: u16 = 30;
/// How often we let it know that we are there, if nothing else does.
pub const PING: Duration = Duration::from_secs(15);
/// The bytes of a password at most.
const MAX_PASSWORD: u64 = 4096;

/// Where and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The broker.
    pub address: Address,
    /// The client's name, which is also its session's.
    pub client_id: String,
    /// A user's name.
    pub username: Option<String>,
    /// The file with the password; it is read at every connection.
    pub password_file: Option<PathBuf>,
    /// Certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether the broker is to forget what it knows of us.
    pub clean: bool,
    /// What the broker publishes, retained, when we are gone without a word: topic and message.
    pub will: Option<(String, Vec<u8>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No way to it.
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    /// No answer in time.
    #[error("does not answer")]
    Silent,
    /// A file is not there or not what it should be.
    #[error("{0} cannot be used: {1}")]
    File(PathBuf, String),
    /// No encryption.
    #[error("there is no TLS with it: {0}")]
    Tls(String),
    /// It does not want us.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is no broker.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It closed the connection.
    #[error("closed the connection at once")]
    Closed,
}

/// A connection that was let in.
pub struct Connection {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// Whether the broker has kept a session for us.
    pub session_present: bool,
}

/// Connects and introduces us.
///
/// # Errors
/// When that fails, or takes too long.
pub async fn connect(settings: &Settings) -> Result<Connection, ConnectError> {
    match tokio::time::timeout(PATIENCE, open(settings)).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::Silent),
    }
}

async fn open(settings: &Settings) -> Result<Connection, ConnectError> {
    let password = password(settings)?;
    let address = &settings.address;
    let socket = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(ConnectError::Unreachable)?;
    socket.set_nodelay(true).map_err(ConnectError::Unreachable)?;
    let (input, output) = split(settings, socket).await?;
    let mut reader = Reader::new(input);
    let mut writer = Writer {
        output,
        waiting: BytesMut::new(),
    };
    let hello = Hello {
        client_id: &settings.client_id,
        login: settings
            .username
            .as_deref()
            .map(|user| (user, password.as_deref().unwrap_or_default())),
        clean: settings.clean,
        keep_alive: KEEP_ALIVE,
        will: settings
            .will
            .as_ref()
            .map(|(topic, message)| (topic.as_str(), message.as_slice())),
    };
    packet::write_connect(&hello, &mut writer.waiting)?;
    while !writer.is_empty() {
        writer.send().await.map_err(ConnectError::Unreachable)?;
    }
    loop {
        match reader.next(READ)? {
            Some(Incoming::Connected(answer)) => {
                let session_present = answer?;
                return Ok(Connection {
                    reader,
                    writer,
                    session_present,
                });
            }
            Some(_) => return Err(PacketError::Broken("no answer to CONNECT".into()).into()),
            None => {}
        }
        if reader.fill().await.map_err(ConnectError::Unreachable)? == 0 {
            return Err(ConnectError::Closed);
        }
    }
}

/// The password: the first line of its file. A file by its name alone is a credential of systemd's.
fn password(settings: &Settings) -> Result<Option<String>, ConnectError> {
    let Some(path) = &settings.password_file else {
        return Ok(None);
    };
    let path = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) if path.is_relative() => PathBuf::from(directory).join(path),
        _ => path.clone(),
    };
    let read = || -> io::Result<String> {
        let mut text = String::new();
        let file = std::fs::File::open(&path)?;
        io::Read::read_to_string(&mut io::Read::take(file, MAX_PASSWORD), &mut text)?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    };
    match read() {
        Ok(password) => Ok(Some(password)),
        Err(error) => Err(ConnectError::File(path, error.to_string())),
    }
}

type Input = Box<dyn AsyncRead + Send + Unpin>;
type Output = Box<dyn AsyncWrite + Send + Unpin>;

async fn split(settings: &Settings, socket: TcpStream) -> Result<(Input, Output), ConnectError> {
    if !settings.address.tls {
        let (input, output) = socket.into_split();
        return Ok((Box::new(input), Box::new(output)));
    }
    let tls = |error: native_tls::Error| ConnectError::Tls(error.to_string());
    let mut builder = native_tls::TlsConnector::builder();
    builder.min_protocol_version(Some(native_tls::Protocol::Tlsv12));
    if let Some(path) = &settings.ca {
        let wrong = |error: String| ConnectError::File(path.clone(), error);
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let all = native_tls::Certificate::stack_from_pem(&text).map_err(|error| wrong(error.to_string()))?;
        if all.is_empty() {
            return Err(wrong("there is no certificate in it".into()));
        }
        for certificate in all {
            builder.add_root_certificate(certificate);
        }
    }
    let connector = tokio_native_tls::TlsConnector::from(builder.build().map_err(tls)?);
    let stream = connector
        .connect(&settings.address.host, socket)
        .await
        .map_err(tls)?;
    let (input, output) = tokio::io::split(stream);
    Ok((Box::new(input), Box::new(output)))
}

/// What comes from a broker.
pub struct Reader {
    input: Input,
    buffer: BytesMut,
    /// The bytes of packets that were given already.
    given: usize,
    /// The bytes of a packet that is too large, which are still to come.
    skip: usize,
}

impl Reader {
    fn new(input: Input) -> Self {
        Self {
            input,
            buffer: BytesMut::new(),
            given: 0,
            skip: 0,
        }
    }

    /// Waits for bytes and says how many came; none at the end. May be broken off.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.advance(self.given.min(self.buffer.len()));
        self.given = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * READ {
            // A large message came through.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ);
        let read = self.input.read_buf(&mut self.buffer).await?;
        let passed = self.skip.min(self.buffer.len());
        self.buffer.advance(passed);
        self.skip -= passed;
        Ok(read)
    }

    /// The next packet that is here, if one is. A message of more than `max` bytes is passed over.
    ///
    /// # Errors
    /// When what came is not MQTT.
    pub fn next(&mut self, max: usize) -> Result<Option<Incoming<'_>>, PacketError> {
        let here = self.buffer.get(self.given..).unwrap_or_default();
        if self.skip > 0 || here.is_empty() {
            return Ok(None);
        }
        let Some((incoming, length)) = packet::read(here, max)? else {
            return Ok(None);
        };
        self.skip = length.saturating_sub(here.len());
        self.given += length.min(here.len());
        Ok(Some(incoming))
    }
}

/// What goes to a broker.
pub struct Writer {
    output: Output,
    /// Packets that wait to be sent.
    pub waiting: BytesMut,
}

impl Writer {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends some of what waits. May be broken off.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn send(&mut self) -> io::Result<()> {
        match self.output.write_buf(&mut self.waiting).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            _ => self.output.flush().await,
        }
    }
}
