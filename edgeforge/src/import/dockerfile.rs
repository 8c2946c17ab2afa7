//! What a checkout's Dockerfile adds to its base. It is not run: packages that it installs are taken over, and the
//! rest is named.

/// What a Dockerfile asks for, beyond what every checkout's does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// Packages that it does nothing but install, or remove.
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Everything else: line and instruction.
    pub(crate) other: Vec<(u32, String)>,
}

/// What CanvOS' own Dockerfile does: certificates, and a list of GPUs from the overlay.
///
/// <https://github.com/spectrocloud/CanvOS/blob/main/Dockerfile>
const STOCK: [&str; 4] = [
    "RUN mkdir -p /certs",
    "COPY certs/ /certs/",
    "RUN rm -rf /certs",
    "COPY overlay/files/etc/spectrocloud/custom-hardware-specs-lookup.json \
     /etc/spectrocloud/custom-hardware-specs-lookup.json",
];
/// How its long ones begin: packages for storage, which a key of `.arg` chooses, and a word for the kernel that images
/// have anyway.
const STOCK_BEGINNINGS: [&str; 2] =
    ["RUN if [ \"${STORAGE_PROVIDER}\" = \"portworx\" ]; then", "RUN if [ -f /etc/cos/bootargs.cfg ]"];
/// Instructions that put nothing into an image.
const WITHOUT_CONTENT: [&str; 6] = ["ARG", "LABEL", "MAINTAINER", "SHELL", "EXPOSE", "STOPSIGNAL"];
const MOST_SHOWN: usize = 100;

impl Dockerfile {
    pub(crate) fn read(text: &str) -> Self {
        let mut read = Self::default();
        for (line, instruction) in instructions(text) {
            read.take(line, &instruction);
        }
        for list in [&mut read.added, &mut read.removed] {
            list.sort();
            list.dedup();
        }
        read
    }

    fn take(&mut self, line: u32, instruction: &str) {
        let (verb, rest) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
        let verb = verb.to_ascii_uppercase();
        let from_base = verb == "FROM" && matches!(rest.trim(), "$BASE" | "${BASE}");
        if from_base || WITHOUT_CONTENT.contains(&verb.as_str()) || is_stock(instruction) {
            return;
        }
        if verb == "RUN"
            && let Some((added, removed)) = packages(rest)
        {
            self.added.extend(added);
            self.removed.extend(removed);
            return;
        }
        let mut shown: String = instruction.chars().take(MOST_SHOWN).collect();
        if shown.len() < instruction.len() {
            shown.push('…');
        }
        self.other.push((line, shown));
    }
}

fn is_stock(instruction: &str) -> bool {
    let words = instruction.split_whitespace().collect::<Vec<_>>().join(" ");
    STOCK.contains(&words.as_str())
        || STOCK_BEGINNINGS.iter().any(|beginning| words.starts_with(beginning))
        || trusts_certificates(&words).is_some()
}

/// `RUN if [ "${OS_DISTRIBUTION}" = "NAME" ]; then cp -a /certs/. FOLDER && UPDATE; fi`, and nothing else.
fn trusts_certificates(instruction: &str) -> Option<()> {
    let rest = instruction.strip_prefix("RUN if [ \"${OS_DISTRIBUTION}\" = \"")?;
    let commands = rest.split_once("\" ]; then cp -a /certs/. ")?.1.strip_suffix("; fi")?;
    let (folder, update) = commands.split_once(" && ")?;
    let plain = !folder.contains([' ', ';', '&', '|', '$']);
    (plain && ["update-ca-certificates", "update-ca-trust"].contains(&update)).then_some(())
}

/// Instructions with the number of their first line: continued lines joined, comments and documents left out.
fn instructions(text: &str) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut open: Option<(u32, String)> = None;
    let mut lines = (1u32..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (start, mut instruction) = open.take().unwrap_or((number, String::new()));
        if !instruction.is_empty() {
            instruction.push(' ');
        }
        instruction.push_str(line.strip_suffix('\\').unwrap_or(line).trim_end());
        if line.ends_with('\\') {
            open = Some((start, instruction));
            continue;
        }
        if let Some(end) = document_end(&instruction) {
            lines.by_ref().find(|(_, line)| line.trim() == end);
        }
        found.push((start, instruction));
    }
    found.extend(open);
    found
}

/// The word that ends a document written within the instruction: `RUN <<EOF`.
fn document_end(instruction: &str) -> Option<String> {
    let (_, rest) = instruction.split_once("<<")?;
    let rest = rest.trim_start_matches('-').trim_start_matches(['"', '\'']);
    let word: String =
        rest.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Packages to add and to remove, when the command does nothing else.
fn packages(command: &str) -> Option<(Vec<String>, Vec<String>)> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for part in command.split("&&") {
        let mut words = part.split_whitespace().filter(|word| !word.starts_with("DEBIAN_FRONTEND="));
        match words.next()? {
            "apt-get" | "apt" => {}
            "rm" if words.clone().eq(["-rf", "/var/lib/apt/lists/*"]) => continue,
            _ => return None,
        }
        let words: Vec<&str> = words.filter(|word| !is_harmless_option(word)).collect();
        let (verb, names) = words.split_first()?;
        if !names.iter().all(|name| is_package(name)) {
            return None;
        }
        let names = names.iter().map(|name| (*name).to_owned());
        match *verb {
            "install" => added.extend(names),
            "remove" | "purge" => removed.extend(names),
            "update" | "upgrade" | "clean" | "autoclean" | "autoremove" => {}
            _ => return None,
        }
    }
    Some((added, removed))
}

fn is_harmless_option(word: &str) -> bool {
    ["-y", "--yes", "--assume-yes", "-q", "-qq", "-yq", "-qy", "-yqq", "--no-install-recommends", "--purge"]
        .contains(&word)
}

fn is_package(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && word.chars().all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || "+-.:".contains(character)
        })
        // With this ending apt does the opposite.
        && !word.ends_with(['+', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_every_checkout_does_is_nothing_to_tell() {
        let text = "ARG BASE\nFROM $BASE\nARG OS_DISTRIBUTION\nRUN mkdir -p /certs\nCOPY certs/ /certs/\n\
            RUN if [ \"${OS_DISTRIBUTION}\" = \"ubuntu\" ]; then \\\n    cp -a /certs/. /usr/local/share/ca-certificates/ && \\\n\
            \x20   update-ca-certificates; \\\n    fi\nRUN rm -rf /certs\n\
            COPY overlay/files/etc/spectrocloud/custom-hardware-specs-lookup.json /etc/spectrocloud/custom-hardware-specs-lookup.json\n\
            RUN if [ -f /etc/cos/bootargs.cfg ] && ! grep -Fq x /etc/cos/bootargs.cfg; then \\\n  sed; \\\n fi\n\
            # RUN apt-get install nginx -y\nRUN if [ \"${STORAGE_PROVIDER}\" = \"portworx\" ]; then \\\n    # why\n    echo; \\\n    fi\n";
        assert_eq!(Dockerfile::read(text), Dockerfile::default());
    }

    #[test]
    fn what_only_looks_like_it_is_named() {
        let text = "RUN apt-get install -y nginx && cp x /etc/nginx/certs/\nCOPY ca.pem /etc/ssl/certs/\n\
            RUN if [ \"${OS_DISTRIBUTION}\" = \"ubuntu\" ]; then cp -a /certs/. /x && update-ca-certificates && reboot; fi\n\
            COPY certs/ /certs/more/\n";
        let lines: Vec<u32> = Dockerfile::read(text).other.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
    }

    #[test]
    fn plain_installations_become_packages_and_the_rest_is_named() {
        let text = "FROM ${BASE}\nRUN apt-get update && \\\n  DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -y \\\n\
            # why\n    nginx libc++1 && apt-get remove -y snapd && rm -rf /var/lib/apt/lists/*\n\
            RUN apt-get install -y nginx && systemctl enable nginx\nRUN apt-get install -y nginx=1.2\nrun apt install -y vim-\n\
            RUN <<EOF\napt-get install -y hidden\nEOF\nCOPY site.conf /etc/nginx/\nENV A=b\n";
        let read = Dockerfile::read(text);
        assert_eq!(read.added, ["libc++1", "nginx"]);
        assert_eq!(read.removed, ["snapd"]);
        let lines: Vec<u32> = read.other.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [6, 7, 8, 9, 12, 13]);
        let other = Dockerfile::read("FROM debian:13\n");
        assert_eq!(other.other, [(1, "FROM debian:13".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Za-z \\\\\n&#<'\"-]{0,300}") {
            Dockerfile::read(&text);
        }
    }
}
