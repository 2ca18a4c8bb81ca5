//! The demo's directory: a device file that works as it stands, and the queue.
//!
//! Promises a fresh directory that only this user can look into, and that it stays when the demo has ended, so that the
//! device file can be read.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// What the device file is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents<'a> {
    /// The gateway's name.
    pub device: &'a str,
    /// `host:port` each, with commas.
    pub brokers: &'a str,
    /// Where readings go.
    pub topic: &'a str,
    /// The nodes' lines.
    pub ports: Vec<PathBuf>,
}

/// A directory of the demo's own.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes it within a directory that is there, for a run with this name.
    ///
    /// # Errors
    /// When it cannot be made or exists.
    pub fn make(parent: &Path, run: &str) -> io::Result<Self> {
        let directory = parent.join(format!("edgespool-{run}"));
        DirBuilder::new().mode(0o700).create(&directory)?;
        // The device file takes absolute paths only, and TMPDIR may be anything.
        let directory = directory.canonicalize()?;
        Ok(Self { directory })
    }

    /// Where the device file is.
    #[must_use]
    pub fn device_file(&self) -> PathBuf {
        self.directory.join("device.toml")
    }

    /// Where the queue is.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.directory.join("queue")
    }

    /// Writes the device file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, contents: &Contents<'_>) -> io::Result<()> {
        let (queue, socket) = (self.queue(), self.directory.join("status.sock"));
        std::fs::write(self.device_file(), device_file(contents, &queue, &socket))
    }

    /// Removes the queue; the device file stays.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clean(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.queue())
    }
}

fn device_file(contents: &Contents<'_>, queue: &Path, socket: &Path) -> String {
    let mut text = format!(
        r#"# Written by `edgespool demo`: what its agent does. A device file for real sensors looks like this one, less what is
# marked "demo".

[device]
id = {device}

[kafka]
brokers = [{brokers}]
topic = {topic}

[queue]
directory = {queue}
commit-interval = "500ms"   # demo: nodes hear sooner that their readings are durable
allow-volatile = true       # demo: a queue that does not outlive a reboot is good enough

[span]                      # demo: short spans, so that there is something to see
time-span = "1s"
idle-timeout = "1s"
max-delay = "2s"

[clock]
hold-until-synced = "0s"    # demo: in a container nobody may ever set the clock

[status]
socket = {socket}
"#,
        device = quoted(contents.device),
        brokers = contents
            .brokers
            .split(',')
            .map(quoted)
            .collect::<Vec<_>>()
            .join(", "),
        topic = quoted(contents.topic),
        queue = quoted(&queue.to_string_lossy()),
        socket = quoted(&socket.to_string_lossy()),
    );
    for port in &contents.ports {
        text += &format!(
            "\n[[source]]               # demo: a pseudo-terminal with a simulated node behind it\nkind = \"serial-frames\"\nport = {}\nbaud = 115200\n",
            quoted(&port.to_string_lossy())
        );
    }
    text
}

/// As a basic string of TOML, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn the_device_file_is_toml_and_says_what_it_was_told() {
        let contents = Contents {
            device: "demo-1",
            brokers: "a:1,b:2",
            topic: "t\"\u{7f}\\",
            ports: ["/dev/pts/1", "/dev/pts/2"].map(PathBuf::from).to_vec(),
        };
        let text = device_file(&contents, Path::new("/tmp/x y/queue"), Path::new("/tmp/x y/s"));
        let table = DeTable::parse(&text).unwrap().into_inner();
        let at = |section: &str, key: &str| table[section].get_ref().get(key).unwrap().get_ref().clone();
        for (section, key, expect) in [
            ("device", "id", "demo-1"),
            ("kafka", "topic", "t\"\u{7f}\\"),
            ("queue", "directory", "/tmp/x y/queue"),
            ("clock", "hold-until-synced", "0s"),
            ("status", "socket", "/tmp/x y/s"),
        ] {
            assert_eq!(at(section, key).as_str(), Some(expect), "{section}.{key}");
        }
        assert_eq!(at("queue", "allow-volatile").as_bool(), Some(true));
        assert_eq!(
            at("kafka", "brokers").as_array().map(|brokers| brokers.len()),
            Some(2)
        );
        let sources = table["source"].get_ref().as_array().unwrap();
        let ports = sources
            .iter()
            .map(|source| source.get_ref().get("port").unwrap().get_ref().as_str().unwrap());
        assert_eq!(ports.collect::<Vec<_>>(), ["/dev/pts/1", "/dev/pts/2"]);
    }

    #[test]
    fn a_place_is_fresh_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let parent = tempfile::tempdir().unwrap();
        let place = Place::make(parent.path(), "demo-1").unwrap();
        let directory = place.device_file().parent().unwrap().to_owned();
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(
            Place::make(parent.path(), "demo-1").is_err(),
            "never somebody else's"
        );
    }
}
