//! What a source file must not do, by its syntax: comments and texts that only look like it do not count, nor do tests.

use std::path::Path;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ExprUnsafe, ImplItemFn, Item, ItemFn, LitStr, Macro, Meta, UseTree};

/// The crates that decide, which must not do anything.
const PURE: [&str; 3] = ["crates/model", "crates/slot-image", "crates/planner"];
/// Beginnings of paths that are effects.
const EFFECTS: [&str; 8] = [
    "std::fs",
    "std::process",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::time::SystemTime",
    "std::env::var",
    "rustix",
];
/// Where steps of documents write, which may name a folder that somebody else owns: only by handles.
const BY_HANDLES: [&str; 2] = ["agent/src/stages/accounts.rs", "agent/src/stages/perform.rs"];
/// Ends of paths that write by a path, and follow links that lead elsewhere.
const BY_PATHS: [&str; 9] = [
    "File::create",
    "OpenOptions::new",
    "chown",
    "files::write_durably",
    "fs::copy",
    "fs::create_dir_all",
    "fs::rename",
    "fs::set_permissions",
    "fs::write",
];
const EFFECT_MACROS: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];
/// Folders that may contain `unsafe`.
const MAY_BE_UNSAFE: [&str; 2] = ["crates/host", "agent/init"];
/// Code of the product that runs on hosts and is not one of the crates for the machine.
const ABOVE_THE_MACHINE: [&str; 2] = ["agent/src", "tui/src"];
/// Everything that is shipped.
const OF_THE_PRODUCT: [&str; 4] = ["agent", "crates", "edgeforge", "tui"];
const OF_THE_MACHINE: [&str; 3] = ["/dev/", "/proc/", "/sys/"];
/// Names that mean no device.
const HARMLESS: [(&str, &str); 2] = [
    ("/dev/null", "turns a unit off"),
    ("/proc/sys/kernel/hostname", "the console depends on nothing but the client"),
];
/// Beginnings of paths that several parts of the project, or it and a service, agree on: each stands once.
const AGREED: [&str; 11] = [
    "/etc/kubernetes",
    "/etc/machine-id",
    "/etc/ssh",
    "/etc/timezone",
    "/oem",
    "/run/",
    "/system/",
    "/usr/bin/edge-",
    "/usr/lib/edge",
    "/usr/local",
    "/var/lib/",
];
const LONGEST_FUNCTION: usize = 60;
const LONGEST_MAIN: usize = 40;
/// Longer functions that would not be clearer in parts: file, name, why.
const LONG: [(&str, &str, &str); 5] = [
    ("agent/src/api/handlers/mod.rs", "handler", "a table: one line a route"),
    ("agent/src/cli.rs", "run", "a table: one arm a verb"),
    ("crates/model/src/document/format.rs", "check", "a table: one arm a format"),
    ("crates/planner/src/stages/actions.rs", "actions", "a table: one arm a key of a step, in their order"),
    ("edgeforge/src/build.rs", "run", "the order of a build, step by step"),
];

/// What a file says that matters to others.
#[derive(Default)]
pub(super) struct Looked {
    /// Rules that are broken, and where.
    pub(super) violations: Vec<String>,
    /// Agreed paths that it writes out.
    pub(super) agreed: Vec<String>,
}

pub(super) fn look(path: &Path, text: &str) -> Looked {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => {
            let violations = vec![format!("{}: {error}", path.display())];
            return Looked { violations, ..Looked::default() };
        }
    };
    let within = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let is_test =
        path.components().any(|part| ["tests", "tests.rs"].iter().any(|name| part.as_os_str() == *name));
    let mut look = Look {
        file: path,
        is_pure: within(&PURE) && !is_test,
        may_be_unsafe: within(&MAY_BE_UNSAFE),
        is_above: within(&ABOVE_THE_MACHINE) && !is_test,
        is_product: within(&OF_THE_PRODUCT) && !is_test,
        agreed: Vec::new(),
        found: Vec::new(),
    };
    look.visit_file(&file);
    let say = |(line, what)| format!("{}:{line}: {what}", path.display());
    Looked { violations: look.found.into_iter().map(say).collect(), agreed: look.agreed }
}

struct Look<'p> {
    file: &'p Path,
    is_pure: bool,
    may_be_unsafe: bool,
    is_above: bool,
    is_product: bool,
    agreed: Vec<String>,
    found: Vec<(usize, String)>,
}

impl Look<'_> {
    fn find(&mut self, at: Span, what: impl Into<String>) {
        self.found.push((at.start().line, what.into()));
    }

    fn path(&mut self, path: &str, at: Span) {
        if self.is_pure && EFFECTS.iter().any(|effect| path.starts_with(effect)) {
            self.find(at, format!("{path} in a crate that has no effects"));
        }
        let by_path = || BY_PATHS.iter().any(|end| path.ends_with(end));
        if BY_HANDLES.iter().any(|file| self.file == Path::new(file)) && by_path() {
            self.find(at, format!("{path} follows links of others; use edge_host::placed"));
        }
    }

    fn uses(&mut self, before: &str, tree: &UseTree) {
        let join = |name: &syn::Ident| {
            if before.is_empty() { name.to_string() } else { format!("{before}::{name}") }
        };
        match tree {
            UseTree::Path(path) => self.uses(&join(&path.ident), &path.tree),
            UseTree::Name(name) => self.path(&join(&name.ident), name.span()),
            UseTree::Rename(rename) => self.path(&join(&rename.ident), rename.span()),
            UseTree::Glob(glob) => self.path(before, glob.span()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.uses(before, item)),
        }
    }

    /// What a macro is given is code too, which no tree shows.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Option<(String, Span)> = None;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) if name != "unsafe" => {
                    path.get_or_insert_with(|| (String::new(), name.span())).0.push_str(&name.to_string());
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    if let Some((path, _)) = &mut path {
                        path.push(':');
                    }
                    continue;
                }
                TokenTree::Ident(_) if self.may_be_unsafe => {}
                TokenTree::Ident(name) => self.find(name.span(), "unsafe outside crates/host and agent/init"),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
                        self.text(&text.value(), literal.span());
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) => {}
            }
            path.take().into_iter().for_each(|(path, at)| self.path(&path, at));
        }
        path.into_iter().for_each(|(path, at)| self.path(&path, at));
    }

    fn text(&mut self, text: &str, at: Span) {
        if self.is_product && AGREED.iter().any(|beginning| text.starts_with(beginning)) {
            self.agreed.push(text.to_owned());
        }
        let is_harmless = HARMLESS.iter().any(|(name, _)| text == *name);
        if self.is_above && !is_harmless && OF_THE_MACHINE.iter().any(|beginning| text.starts_with(beginning))
        {
            self.find(at, format!("{text:?} is the business of crates/host"));
        }
    }

    fn function(&mut self, name: &syn::Ident, block: &Block) {
        let (begin, end) = (block.span().start().line, block.span().end().line);
        let lines = end.saturating_sub(begin + 1);
        if LONG.iter().any(|(file, long, _)| self.file == Path::new(file) && name == long) {
            return;
        }
        let most = if name == "main" { LONGEST_MAIN } else { LONGEST_FUNCTION };
        if lines > most {
            self.find(name.span(), format!("{name} has {lines} lines, at most {most}"));
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().split_whitespace().eq(["test"])
        }
        Meta::NameValue(_) => false,
    })
}

impl<'ast> Visit<'ast> for Look<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.uses("", &item.tree);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if is_for_tests(&item.attrs) {
            return;
        }
        self.function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&names.join("::"), path.span());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        let name = item.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if self.is_pure && EFFECT_MACROS.contains(&name.as_str()) {
            self.find(item.span(), format!("{name}! in a crate that has no effects"));
        }
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_expr_unsafe(&mut self, item: &'ast ExprUnsafe) {
        if !self.may_be_unsafe {
            self.find(item.span(), "unsafe outside crates/host and agent/init");
        }
        visit::visit_expr_unsafe(self, item);
    }

    fn visit_lit_str(&mut self, item: &'ast LitStr) {
        self.text(&item.value(), item.span());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        look(Path::new(path), text).violations
    }

    #[test]
    fn code_counts_and_comments_texts_and_tests_do_not() {
        let text = "//! std::fs\nuse std::{fs, path::Path};\nfn a() { let _ = \"std::fs\"; println!(); }\n\
                    #[cfg(test)]\nmod tests { use std::fs; fn b() { unsafe {} } }\n";
        let found_in_planner = found("crates/planner/src/a.rs", text);
        assert_eq!(found_in_planner.len(), 2, "{found_in_planner:?}");
        assert!(found_in_planner[0].starts_with("crates/planner/src/a.rs:2: std::fs in a crate"));
        assert!(found("agent/src/a.rs", text).is_empty());
        assert_eq!(found("agent/src/a.rs", "fn a() { unsafe {} }").len(), 1);
        assert!(found("crates/host/src/a.rs", "fn a() { unsafe {} }").is_empty());
    }

    #[test]
    fn what_macros_are_given_counts_too() {
        let text = "fn a() { let _ = vec![std::fs::read(b)]; let _ = format!(\"/proc/{id}/stat\"); m!(unsafe { c() }); }";
        assert_eq!(
            found("crates/planner/src/a.rs", text).len(),
            2,
            "{:?}",
            found("crates/planner/src/a.rs", text)
        );
        assert_eq!(found("agent/src/a.rs", text).len(), 2);
    }

    #[test]
    fn steps_write_by_handles() {
        let text = "fn a() { std::fs::write(b, c); files::write_durably(d); placed::write(e); }";
        assert_eq!(found("agent/src/stages/perform.rs", text).len(), 2);
        assert!(found("agent/src/stages/log.rs", text).is_empty());
    }

    #[test]
    fn paths_of_the_machine_stand_in_its_crate() {
        let text = "const A: &str = \"/proc/mounts\"; const B: &str = \"/dev/null\";";
        assert_eq!(found("agent/src/a.rs", text).len(), 1);
        assert!(found("crates/host/src/a.rs", text).is_empty());
    }

    #[test]
    fn agreed_paths_are_collected_and_those_of_tests_are_not() {
        let text = "const A: &str = \"/run/edge/x\"; fn a() { say!(\"/oem/y\"); b(\"/bin/sh\"); }\n\
                    #[cfg(test)]\nmod tests { const B: &str = \"/run/z\"; }";
        let agreed = look(Path::new("agent/src/a.rs"), text).agreed;
        assert_eq!(agreed, ["/run/edge/x", "/oem/y"]);
        assert!(look(Path::new("qemu-tests/src/a.rs"), text).agreed.is_empty());
    }

    #[test]
    fn long_functions_are_found_and_long_tests_are_not() {
        let body = "let a = 1;\n".repeat(70);
        assert_eq!(found("agent/src/a.rs", &format!("fn a() {{\n{body}}}")).len(), 1);
        assert!(found("agent/src/a.rs", &format!("#[test]\nfn a() {{\n{body}}}")).is_empty());
        let body = "let a = 1;\n".repeat(45);
        assert_eq!(found("agent/src/main.rs", &format!("fn main() {{\n{body}}}")).len(), 1);
    }
}
