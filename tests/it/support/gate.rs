//! A gate before a server: shut, its port refuses connections and those that were are cut; open, it passes all through.
//!
//! Owns the port, which stays the same. Must not know what is said.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// A port that is there or not.
pub(crate) struct Gate {
    port: SocketAddr,
    server: SocketAddr,
    open: Option<Open>,
}

struct Open {
    ends: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl Gate {
    /// An open gate on a free port before a server that may come later.
    pub(crate) fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut gate = Self {
            port: listener.local_addr().unwrap(),
            server,
            open: None,
        };
        gate.serve(listener);
        gate
    }

    /// Where it is.
    pub(crate) fn port(&self) -> SocketAddr {
        self.port
    }

    /// Opens; the port accepts when this returns.
    pub(crate) fn open(&mut self) {
        self.serve(TcpListener::bind(self.port).unwrap());
    }

    /// Shuts; the port refuses when this returns.
    pub(crate) fn shut(&mut self) {
        let Some(open) = self.open.take() else { return };
        open.ends.store(true, Ordering::Relaxed);
        open.thread.join().unwrap();
        for stream in open.streams.lock().unwrap().drain(..) {
            // It may have ended long ago.
            drop(stream.shutdown(Shutdown::Both));
        }
        assert!(TcpStream::connect(self.port).is_err(), "it is shut");
    }

    fn serve(&mut self, listener: TcpListener) {
        let (ends, streams) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<TcpStream>>>::default(),
        );
        let (ended, kept, server) = (ends.clone(), streams.clone(), self.server);
        listener.set_nonblocking(true).unwrap();
        let thread = spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    // No server yet: as if the port were closed.
                    Ok((client, _)) => drop(pass(client, server, &kept)),
                    Err(_) => sleep(Duration::from_millis(1)),
                }
            }
        });
        self.open = Some(Open {
            ends,
            streams,
            thread,
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.shut();
        }
    }
}

fn pass(client: TcpStream, server: SocketAddr, kept: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nonblocking(false)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        kept.lock().unwrap().push(stream.try_clone()?);
    }
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        spawn(move || carry(from, to));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
