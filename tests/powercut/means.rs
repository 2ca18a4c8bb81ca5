//! What the rig needs of the machine.
//!
//! Owns the question whether it is there, and what follows: with CI=true and root it has to be, elsewhere it is said in
//! words and nothing is claimed.

use std::fs;

use crate::disk::run;

/// What is missing, in words.
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root".to_owned());
    }
    for (file, what) in [
        ("/dev/fuse", "/dev/fuse (modprobe fuse)"),
        ("/dev/loop-control", "loop devices (modprobe loop)"),
    ] {
        if fs::metadata(file).is_err() {
            missing.push(what.to_owned());
        }
    }
    let commands: [(&str, &[&str], &str); 2] = [
        ("mkfs.ext4", &["-V"], "mkfs.ext4 (Debian: e2fsprogs)"),
        ("mount", &["--version"], "mount (Debian: mount)"),
    ];
    for (program, arguments, what) in commands {
        if run(program, arguments).is_err() {
            missing.push(what.to_owned());
        }
    }
    missing
}

/// True where the means have to be there.
pub fn required() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true") && rustix::process::geteuid().is_root()
}
