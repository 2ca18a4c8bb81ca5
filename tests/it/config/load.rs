//! The device file on the disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use edgespool::config::{Env, FileSystem, LoadError, load};

use super::{LEAST, env};

/// The exit code and the message of loading a file with this content.
fn refusal(path: &Path) -> (u8, String) {
    let error = load(path, &env()).unwrap_err();
    let hint = error.hint().map(|hint| format!(" | {hint}")).unwrap_or_default();
    let text = format!("{error}{hint}");
    let name = path.display().to_string();
    (error.exit_code(), text.replace(&name, "FILE"))
}

#[test]
fn what_is_no_readable_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8], mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let mut large = LEAST.as_bytes().to_vec();
    large.resize((1 << 20) + 1, b'\n');
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    for (path, code, expect) in [
        (
            directory.path().join("none"),
            78,
            "FILE does not exist | say where it is with --config FILE",
        ),
        (
            directory.path().to_owned(),
            78,
            "FILE is a directory | --config FILE/device.toml",
        ),
        (pipe, 78, "FILE is no regular file"),
        (
            write("open", LEAST.as_bytes(), 0o646),
            78,
            "FILE can be written by everybody | chmod o-w FILE",
        ),
        (
            write("empty", b"", 0o644),
            78,
            "FILE is empty | it needs at least [kafka] brokers and one [[source]]",
        ),
        (
            write("blank", b" \n\n\t", 0o644),
            78,
            "FILE is empty | it needs at least [kafka] brokers and one [[source]]",
        ),
        (
            write("latin", b"# ok\n# Gew\xe4chshaus\n", 0o644),
            78,
            "FILE is not UTF-8 in line 2 | save it as UTF-8 in the editor",
        ),
        (
            write("large", &large, 0o644),
            78,
            "FILE is larger than 1048576 bytes | is it the right file?",
        ),
        (write("wrong", b"[kafka]\n", 0o644), 78, "2 problems in FILE"),
    ] {
        assert_eq!(refusal(&path), (code, expect.to_owned()), "{}", path.display());
    }
    large.truncate(1 << 20);
    for good in [
        write("good", LEAST.as_bytes(), 0o640),
        write("limit", &large, 0o644),
    ] {
        load(&good, &env()).unwrap();
    }
}

#[test]
fn a_file_that_this_user_may_not_read_is_told_apart() {
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(LoadError::NotPermitted("f".into(), denied).exit_code(), 77);
    let broken = std::io::Error::from_raw_os_error(5);
    assert_eq!(LoadError::Io("f".into(), broken).exit_code(), 74);
    if rustix::process::geteuid().is_root() {
        // Nothing is forbidden to root, so opening cannot show it.
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(refusal(file.path()).0, 77);
}

#[test]
fn the_kind_of_a_file_system_is_the_kernel_s_word() {
    // Every Linux has proc, and its memory file system where it has /dev/shm.
    assert_eq!(FileSystem::of(Path::new("/proc/self")), FileSystem::Lasting);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(path), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        let expect = match kind {
            "tmpfs" => FileSystem::Tmpfs,
            "overlay" => FileSystem::Overlayfs,
            _ => continue,
        };
        // Mounted over since, or not ours to see: only the last mount of a path counts.
        let last = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(path));
        if last == Some(line) && std::fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            assert_eq!(
                FileSystem::of(&Path::new(path).join("not/there/yet")),
                expect,
                "{path}"
            );
        }
    }
}

#[test]
fn the_process_s_own_surroundings_are_read() {
    let env = Env::of_process();
    assert_eq!(
        env.host_name,
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap()
            .trim()
    );
}
