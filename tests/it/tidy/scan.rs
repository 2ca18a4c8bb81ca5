//! Reads Rust just well enough for the rules: which lines hold code, and which paths each line names.
//!
//! Promises that comments, strings and character literals name nothing, that `use` trees are expanded, that `self`,
//! `super` and imported names are resolved within the file. Must not know the rules. It does not expand macros and
//! does not follow an import of one file into another.

use std::collections::{BTreeMap, BTreeSet};

/// A path with all its segments; a glob import ends in `*`.
pub(super) type Path = Vec<String>;

/// What a file of Rust says.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Lines that hold code: neither blank nor comment only.
    pub(super) code_lines: usize,
    /// Identifiers and keywords outside comments and strings, with their line.
    pub(super) words: Vec<(usize, String)>,
    /// Paths of two segments and more, and everything imported, with their line.
    pub(super) paths: Vec<(usize, Path)>,
}

/// Scans a file that lies at `path` below the root, such as `src/source/frames.rs`.
pub(super) fn scan(path: &str, text: &str) -> Source {
    let mut lexer = Lexer {
        rest: text.chars().collect(),
        at: 0,
        line: 1,
        lines: BTreeSet::new(),
        tokens: Vec::new(),
    };
    lexer.run();
    let words = lexer
        .tokens
        .iter()
        .filter(|(_, token)| is_word(token))
        .cloned()
        .collect();
    let paths = Paths::new(path).collect(&lexer.tokens);
    Source {
        code_lines: lexer.lines.len(),
        words,
        paths,
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    line: usize,
    lines: BTreeSet<usize>,
    tokens: Vec<(usize, String)>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self) {
        self.line += usize::from(self.peek(0) == '\n');
        self.at += 1;
    }

    fn run(&mut self) {
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                (c, _) if c.is_whitespace() => self.step(),
                ('/', '/') => self.skip_until(|lexer| lexer.peek(0) == '\n'),
                ('/', '*') => self.block_comment(),
                ('"', _) => self.string(0, true),
                ('\'', _) => self.quote(),
                (c, _) if c.is_alphanumeric() || c == '_' => self.word(),
                (':', ':') => self.token(2),
                _ => self.token(1),
            }
        }
    }

    fn skip_until(&mut self, end: impl Fn(&Self) -> bool) {
        while self.at < self.rest.len() && !end(self) {
            self.step();
        }
    }

    fn token(&mut self, length: usize) {
        self.lines.insert(self.line);
        self.tokens
            .push((self.line, self.rest[self.at..self.at + length].iter().collect()));
        self.at += length;
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                ('\0', _) => return,
                _ => {
                    self.step();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// From the opening quote on; `hashes` stand after the closing one.
    fn string(&mut self, hashes: usize, escapes: bool) {
        let ends = |lexer: &Self| lexer.peek(0) == '"' && (1..=hashes).all(|i| lexer.peek(i) == '#');
        self.lines.insert(self.line);
        self.step();
        while self.at < self.rest.len() && !ends(self) {
            let escaped = escapes && self.peek(0) == '\\';
            self.step();
            if escaped {
                self.step();
            }
            self.lines.insert(self.line);
        }
        self.at += 1 + hashes;
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        self.lines.insert(self.line);
        let literal = self.peek(1) == '\\' || self.peek(2) == '\'';
        self.at += if self.peek(1) == '\\' { 3 } else { 1 };
        if literal {
            self.skip_until(|lexer| lexer.peek(0) == '\'');
        }
        self.at += usize::from(literal);
    }

    fn word(&mut self) {
        let length = self.rest[self.at..]
            .iter()
            .take_while(|c| c.is_alphanumeric() || **c == '_')
            .count();
        let word: String = self.rest[self.at..self.at + length].iter().collect();
        let hashes = self.rest[self.at + length..]
            .iter()
            .take_while(|c| **c == '#')
            .count();
        let after = self.peek(length + hashes);
        let prefix = matches!(word.as_str(), "r" | "b" | "c" | "br" | "cr");
        if prefix && after == '"' && (hashes == 0 || word.ends_with('r')) {
            self.at += length + hashes;
            self.string(hashes, !word.ends_with('r'));
        } else if word == "b" && hashes == 0 && after == '\'' {
            self.at += length;
            self.quote();
        } else if word == "r" && hashes == 1 {
            self.at += 2; // a raw identifier: the word comes next
        } else {
            self.token(length);
        }
    }
}

struct Paths {
    /// Where the file's own module stands: `["crate", "source", "frames"]`.
    module: Path,
    /// Inline modules around the present token, with the depth of braces at which each ends.
    inside: Vec<(String, usize)>,
    depth: usize,
    imports: BTreeMap<String, Path>,
    found: Vec<(usize, Path)>,
}

impl Paths {
    fn new(path: &str) -> Self {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        let below = stem.split_once("src/").map_or(stem, |(_, below)| below);
        let mut module = vec!["crate".to_owned()];
        let roots = |name: &&str| !matches!(*name, "lib" | "main" | "mod");
        module.extend(below.split('/').filter(roots).map(str::to_owned));
        Self {
            module,
            inside: Vec::new(),
            depth: 0,
            imports: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    fn collect(mut self, tokens: &[(usize, String)]) -> Vec<(usize, Path)> {
        let word = |at: usize| tokens.get(at).map_or("", |(_, token)| token.as_str());
        let mut at = 0;
        while at < tokens.len() {
            match word(at) {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inside.pop_if(|(_, depth)| *depth == self.depth);
                }
                "mod" if word(at + 2) == "{" => self.inside.push((word(at + 1).to_owned(), self.depth)),
                "use" if word(at + 1) != "<" => {
                    at = self.tree(tokens, at + 1, &Path::new());
                    continue;
                }
                first
                    if is_word(first)
                        && (at == 0 || word(at - 1) != "::" || !is_word(word(at.saturating_sub(2)))) =>
                {
                    at = self.plain(tokens, at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        // Imports may stand below their use: only now are all of them known.
        let imports = self.imports;
        let resolve = |path: Path| match imports.get(&path[0]) {
            Some(import) if *import != path => import.iter().chain(&path[1..]).cloned().collect(),
            _ => path,
        };
        self.found
            .into_iter()
            .map(|(line, path)| (line, resolve(path)))
            .collect()
    }

    /// A path in an expression or a type; the position after it.
    fn plain(&mut self, tokens: &[(usize, String)], start: usize) -> usize {
        let mut path = vec![tokens[start].1.clone()];
        let mut at = start + 1;
        while let [(_, colons), (_, name), ..] = &tokens[at..]
            && colons == "::"
            && is_word(name)
        {
            path.push(name.clone());
            at += 2;
        }
        if path.len() > 1 {
            self.found.push((tokens[start].0, self.absolute(path)));
        }
        at
    }

    /// One branch of a `use` tree, below `prefix`; the position after it.
    fn tree(&mut self, tokens: &[(usize, String)], start: usize, prefix: &Path) -> usize {
        let mut path = prefix.clone();
        let mut at = start;
        while let Some((line, token)) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "::" => {}
                "{" => {
                    while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                        at = self.tree(tokens, at, &path);
                        at += usize::from(tokens.get(at).is_some_and(|(_, token)| token == ","));
                    }
                    return at + 1;
                }
                "as" => {
                    let alias = tokens.get(at).map_or("_", |(_, alias)| alias).to_owned();
                    self.import(*line, path, alias);
                    return at + 1;
                }
                "," | "}" | ";" => {
                    at -= 1;
                    break;
                }
                "self" if !path.is_empty() => {}
                segment => path.push(segment.to_owned()),
            }
        }
        if let (Some(name), Some((line, _))) = (path.last().cloned(), tokens.get(at.saturating_sub(1))) {
            self.import(*line, path, name);
        }
        at
    }

    fn import(&mut self, line: usize, path: Path, name: String) {
        let path = self.absolute(path);
        self.found.push((line, path.clone()));
        if name != "_" && name != "*" {
            self.imports.insert(name, path);
        }
    }

    fn absolute(&self, path: Path) -> Path {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let skip = if path[0] == "self" { 1 } else { ups };
        if skip == 0 {
            return path;
        }
        let mut here: Path = self
            .module
            .iter()
            .chain(self.inside.iter().map(|(name, _)| name))
            .cloned()
            .collect();
        here.truncate(here.len().saturating_sub(ups).max(1));
        here.extend(path.into_iter().skip(skip));
        here
    }
}

mod tests {
    use super::*;

    fn code_lines(text: &str) -> usize {
        scan("src/a.rs", text).code_lines
    }

    fn paths(file: &str, text: &str) -> Vec<String> {
        scan(file, text)
            .paths
            .into_iter()
            .map(|(line, path)| format!("{line} {}", path.join("::")))
            .collect()
    }

    #[test]
    fn only_lines_with_code_count() {
        let check = |text: &str, expect: usize| assert_eq!(code_lines(text), expect, "{text:?}");
        check("", 0);
        check("// a\n\n//! b\n/* c\n d */\n", 0);
        check("fn a() {\n}\n", 2);
        check("fn a() {} // b\n", 1);
        check("let a = 1; /* b\n c */ let d = 2;\n", 2);
        check("/* a /* nested */ still */\nb", 1);
        check("let a = \"//\";\nlet b = \"\n// c\n\";\n", 4);
        check("let a = r#\"\"// \"#; // b\n// c", 1);
        check("let a = '\"'; let b = '\\''; // \"\n// c", 1);
        check("fn a<'a>(b: &'a str) {} // '\n// c", 1);
        check("let a = b'\"'; let b = b\"\\\"\"; // \"\nc", 2);
    }

    #[test]
    fn paths_are_expanded_and_resolved() {
        let check =
            |file: &str, text: &str, expect: &[&str]| assert_eq!(paths(file, text), expect, "{text:?}");
        check("src/a.rs", "// sled::Db\nlet a = \"sled::Db\";", &[]);
        check(
            "src/a.rs",
            "let a: sled::Db = ::sled::open(b);",
            &["1 sled::Db", "1 sled::open"],
        );
        check("src/a.rs", "use sled;", &["1 sled"]);
        check(
            "src/a.rs",
            "use std::{fs, time::{Duration,\n Instant as I}};\nI::now();",
            &[
                "1 std::fs",
                "1 std::time::Duration",
                "2 std::time::Instant",
                "3 std::time::Instant::now",
            ],
        );
        check(
            "src/a.rs",
            "use std::time::{self, *};\ntime::Instant::now()",
            &["1 std::time", "1 std::time::*", "2 std::time::Instant::now"],
        );
        check(
            "src/source/frames.rs",
            "use super::text::X; use super::super::queue;",
            &["1 crate::source::text::X", "1 crate::queue"],
        );
        check(
            "src/source/frames.rs",
            "mod tests { use super::*; fn a() { super::super::text::b() } }\nself::c::d()",
            &[
                "1 crate::source::frames::*",
                "1 crate::source::text::b",
                "2 crate::source::frames::c::d",
            ],
        );
        check(
            "src/source/mod.rs",
            "use self::text::X;",
            &["1 crate::source::text::X"],
        );
        check(
            "src/a.rs",
            "fn a() -> impl Iterator + use<'_> { b::c::<D>::e() }",
            &["1 b::c"],
        );
        check("src/a.rs", "#[tokio::test] fn r#mod() {}", &["1 tokio::test"]);
    }

    #[test]
    fn words_come_from_code_alone() {
        let words = scan("src/a.rs", "// unsafe\n\"unsafe\"; '\\u{1f}'; unsafe {}").words;
        assert_eq!(words, [(2, "unsafe".to_owned())]);
    }
}
