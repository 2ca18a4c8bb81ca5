//! The rules of the house as a test: what must not be there, told as file and line with the reason.
//!
//! Owns the walk over the tree and the ways to judge it; the rules are a table ([`rules::RULES`]), and each row brings
//! a counterexample that it has to catch. Rules speak of files that may not exist yet: they hold for what is there.

mod rules;
mod scan;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use rules::{Law, RULES, Rule};
use scan::{Source, scan};

/// One text file, its path from the root with forward slashes.
struct File {
    path: String,
    text: String,
    /// What it says, if it is Rust.
    source: Source,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let source = if path.ends_with(".rs") {
            scan(path, text)
        } else {
            Source::default()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            source,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.words)
    }
}

/// Whether `path` is meant by `pattern`: `a/b/` is all below it, `a/b.rs` that file, `a/b` the module: `a/b.rs` and
/// all below `a/b/`. The empty pattern is everything.
fn meant(pattern: &str, path: &str) -> bool {
    match path.strip_prefix(pattern) {
        Some(rest) if pattern.is_empty() || pattern.ends_with('/') => !rest.is_empty(),
        Some(rest) => matches!(rest, "" | ".rs") || rest.starts_with('/'),
        None => false,
    }
}

/// Whether naming `path` names `forbidden`, something below it, or everything around it (a glob import).
fn names(path: &[String], forbidden: &str) -> bool {
    let forbidden: Vec<&str> = forbidden.split("::").collect();
    match path.split_last() {
        Some((star, around)) if star == "*" => {
            let common = around.len().min(forbidden.len());
            around[..common] == forbidden[..common]
        }
        _ => path.len() >= forbidden.len() && path[..forbidden.len()] == forbidden[..],
    }
}

fn judge(rule: &Rule, files: &[File]) -> Vec<Violation> {
    let meant_by = |patterns: &[&str], file: &File| patterns.iter().any(|pattern| meant(pattern, &file.path));
    let files: Vec<&File> = files
        .iter()
        .filter(|file| meant_by(rule.files, file) && !meant_by(rule.except, file))
        .collect();
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    let found: Vec<(&File, usize, String)> = match rule.law {
        Law::CodeLinesAtMost(limit) => rust
            .filter(|file| file.source.code_lines > limit)
            .map(|file| (*file, 1, format!("has {} lines of code", file.source.code_lines)))
            .collect(),
        Law::OpensWithModuleDoc => rust
            .filter(|file| !file.text.trim_start().starts_with("//!"))
            .map(|file| (*file, 1, "does not open with //!".to_owned()))
            .collect(),
        Law::NeverSays(word) => rust
            .flat_map(|file| {
                file.source
                    .words
                    .iter()
                    .map(move |(line, said)| (*file, *line, said))
            })
            .filter(|(.., said)| *said == word)
            .map(|(file, line, said)| (file, line, format!("says {said}")))
            .collect(),
        Law::NeverNames(forbidden) => rust
            .flat_map(|file| {
                file.source
                    .paths
                    .iter()
                    .map(move |(line, path)| (*file, *line, path))
            })
            .filter(|(.., path)| forbidden.iter().any(|forbidden| names(path, forbidden)))
            .map(|(file, line, path)| (file, line, format!("names {}", path.join("::"))))
            .collect(),
        Law::OneHome { name, folders } => homes(name, folders, &files),
        Law::ChildrenApart { folder, shared } => siblings(folder, shared, &files),
        Law::NoLineHas(texts) => files
            .iter()
            .flat_map(|file| {
                file.text
                    .lines()
                    .enumerate()
                    .map(move |(at, line)| (*file, at + 1, line))
            })
            .filter_map(|(file, at, line)| Some((file, at, foreign(texts, line)?)))
            .collect(),
    };
    let told = |(file, line, what): (&File, usize, String)| Violation {
        path: file.path.clone(),
        line,
        words: format!("{what} ({}: {})", rule.name, rule.reason),
    };
    found
        .into_iter()
        .map(told)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The first mention of `name` in each file, where the files that mention it are neither one nor all in one folder.
fn homes<'a>(name: &str, folders: &[&str], files: &[&'a File]) -> Vec<(&'a File, usize, String)> {
    let first = |file: &'a File| file.source.paths.iter().find(|(_, path)| path[0] == name);
    let found: Vec<_> = files
        .iter()
        .filter_map(|file| Some((*file, first(file)?.0)))
        .collect();
    let together = |folder: &&str| found.iter().all(|(file, _)| meant(folder, &file.path));
    if found.len() <= 1 || folders.iter().any(together) {
        return Vec::new();
    }
    let count = found.len();
    found
        .into_iter()
        .map(|(file, line)| (file, line, format!("names {name}, as {count} files do")))
        .collect()
}

/// Where one child of a module names another.
fn siblings<'a>(folder: &str, shared: &[&str], files: &[&'a File]) -> Vec<(&'a File, usize, String)> {
    let child = |file: &File| {
        let below = file.path.strip_prefix(folder)?.strip_prefix('/')?;
        let name = below.split('/').next()?;
        let name = name.strip_suffix(".rs").unwrap_or(name).to_owned();
        Some(name).filter(|name| name != "mod")
    };
    let children: BTreeSet<String> = files.iter().filter_map(|file| child(file)).collect();
    let module: Vec<&str> = std::iter::once("crate")
        .chain(folder.split('/').skip(1))
        .collect();
    let mut found = Vec::new();
    for (file, own) in files.iter().filter_map(|file| Some((*file, child(file)?))) {
        for (line, path) in &file.source.paths {
            if let Some(other) = path.get(module.len())
                && path[..module.len()] == module[..]
                && *other != own
                && children.contains(other)
                && !shared.contains(&other.as_str())
            {
                found.push((file, *line, format!("names {}", path.join("::"))));
            }
        }
    }
    found
}

/// The first of `texts` that starts a word in the line: a folder of that name further down a path is none.
fn foreign(texts: &[&str], line: &str) -> Option<String> {
    let starts = |at: usize| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || "\"'`(=:,[<>".contains(c))
    };
    let found = texts
        .iter()
        .find(|text| line.match_indices(**text).any(|(at, _)| starts(at)))?;
    Some(format!("has {found}…"))
}

/// Every text file of the tree, without what is built, fetched or hidden.
fn walk(root: &Path, below: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().expect("names of files are UTF-8");
        let path = format!("{below}{name}");
        let kind = entry.file_type().unwrap();
        let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".cargo");
        if kind.is_dir() && !hidden && !matches!(name.as_str(), "target" | "dist") {
            walk(root, &format!("{path}/"), files);
        } else if kind.is_file()
            && name != ".git" // a file in a linked work tree, with a path of its own
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.push(File::new(&path, &text));
        }
    }
}

#[test]
fn the_tree_keeps_the_rules_of_the_house() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let mut files = Vec::new();
    walk(Path::new(&root), "", &mut files);
    assert!(
        files.iter().any(|file| file.path == "src/lib.rs"),
        "the walk found the tree"
    );

    let violations: Vec<String> = RULES
        .iter()
        .flat_map(|rule| judge(rule, &files))
        .map(|violation| violation.to_string())
        .collect();
    assert!(
        violations.is_empty(),
        "{} violations:\n{}\n",
        violations.len(),
        violations.join("\n")
    );
}

/// In a counterexample, `//~` marks the lines that the rule has to point at.
#[test]
fn every_rule_bites_where_it_should_and_nowhere_else() {
    for rule in RULES {
        let examples: Vec<File> = rule
            .bites
            .iter()
            .map(|(path, text)| File::new(path, text))
            .collect();
        let marked = |file: &File| {
            let lines = file
                .text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains("//~"));
            lines
                .map(|(at, _)| (file.path.clone(), at + 1))
                .collect::<Vec<_>>()
        };
        let expect: BTreeSet<_> = examples.iter().flat_map(marked).collect();
        let found: BTreeSet<_> = judge(rule, &examples)
            .into_iter()
            .map(|violation| (violation.path, violation.line))
            .collect();
        assert_eq!(found, expect, "{}", rule.name);
        assert!(
            !expect.is_empty() || matches!(rule.law, Law::CodeLinesAtMost(_)),
            "{} has no example",
            rule.name
        );

        for place in rule.except {
            let place = if place.contains('.') {
                (*place).to_owned()
            } else {
                format!("{}/x.rs", place.trim_end_matches('/'))
            };
            let excepted: Vec<File> = rule
                .bites
                .iter()
                .map(|(_, text)| File::new(&place, text))
                .collect();
            assert_eq!(judge(rule, &excepted), [], "{} excepts {place}", rule.name);
        }
    }
}

#[test]
fn a_file_may_have_four_hundred_lines_of_code_and_not_one_more() {
    let rule = RULES
        .iter()
        .find(|rule| matches!(rule.law, Law::CodeLinesAtMost(400)))
        .unwrap();
    let check = |lines: usize, expect: usize| {
        let text = format!("//! Doc.\n\n{}// end\n", "let a = 1; // b\n".repeat(lines));
        assert_eq!(
            judge(rule, &[File::new("src/a.rs", &text)]).len(),
            expect,
            "{lines} lines"
        );
    };
    check(400, 0);
    check(401, 1);
}

#[test]
fn patterns_mean_files_folders_and_modules() {
    let check = |pattern: &str, path: &str, expect: bool| {
        assert_eq!(meant(pattern, path), expect, "{pattern} {path}")
    };
    check("src/span", "src/span.rs", true);
    check("src/span", "src/span/tests.rs", true);
    check("src/span", "src/spanner.rs", false);
    check("src/", "src/a/b.rs", true);
    check("src/sys.rs", "src/sys.rs", true);
    check("src/sys.rs", "src/sys/a.rs", false);
    check("", "README.md", true);
}
