//! What the builder writes, read by tools that share nothing with it. No machine is started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::manifest::{BLOCK_SIZE, ImageManifest};
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::images::{self, Built, Recipe};
use serde_json::Value as Json;

use super::ensure;

const DEADLINE: Duration = Duration::from_secs(600);
const SECTOR: u64 = 512;
/// <https://github.com/spdx/tools-python>
const SPDX: &str = "import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
messages = validate_full_spdx_document(parse_file(sys.argv[1]))
sys.exit('\\n'.join(message.validation_message for message in messages[:20]) or None)";
/// <https://github.com/CycloneDX/cyclonedx-python-lib>
const CYCLONEDX: &str = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error)[:2000] if error else None)";

/// One build, and a folder for what tools make of it.
struct Outputs<'a> {
    ground: &'a Ground,
    built: Built,
    folder: PathBuf,
}

pub(super) fn hold_against_other_tools(ground: &Ground) -> Result<()> {
    let folder = new_folder(ground, "outputs-hold-against-other-tools")?;
    let outputs = Outputs { ground, built: ground.every_envelope()?, folder };
    ensure(outputs.built.root_hash == ground.first.root_hash, || {
        "another choice of envelopes has changed the image".into()
    })?;
    outputs.checksums()?;
    outputs.documents()?;
    let root = outputs.root_image()?;
    outputs.raw_disk()?;
    outputs.medium()?;
    outputs.copies_of_the_disk()?;
    outputs.layouts()?;
    outputs.container_tree(&root)?;
    outputs.looked_into()
}

fn new_folder(ground: &Ground, name: &str) -> Result<PathBuf> {
    let folder = ground.lab.work().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

impl Outputs<'_> {
    fn tool(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.ground.lab.tool(program)?.args(arguments).deadline(DEADLINE).run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn output(&self, suffix: &str) -> String {
        self.built.output(suffix).display().to_string()
    }

    fn checksums(&self) -> Result<()> {
        let build = self.built.folder.join("build");
        let check = format!("cd {} && sha256sum --check --quiet SHA256SUMS *.sha256", build.display());
        self.tool("sh", &["-c", &check]).map(drop)
    }

    /// The bills of materials, by the validators of those who wrote the standards.
    fn documents(&self) -> Result<()> {
        let python = self.at("validators/bin/python");
        let script = format!(
            "python3 -m venv {0} && {0}/bin/pip install --quiet spdx-tools 'cyclonedx-python-lib[json-validation]'",
            self.at("validators")
        );
        if let Err(error) = Child::new("sh").args(["-ec", &script]).deadline(DEADLINE).run() {
            self.ground
                .skip("validators of SPDX and CycloneDX", error.context("they cannot be installed here"));
            return Ok(());
        }
        let build = self.built.folder.join("build");
        for (validator, name) in [(SPDX, "sbom.spdx.json"), (CYCLONEDX, "sbom.cyclonedx.json")] {
            let good = build.join(name);
            let spoiled = self.folder.join(name);
            let text = fs::read_to_string(&good).with_context(|| format!("cannot read {name}"))?;
            let text = text.replace("\"SPDX-2.3\"", "\"SPDX-9\"").replace("\"bomFormat\"", "\"form\"");
            fs::write(&spoiled, text).context("cannot write a spoiled document")?;
            let says =
                |path: &Path| Child::new(&python).args(["-c", validator]).arg(path).deadline(DEADLINE).run();
            says(&good).with_context(|| format!("{name} is not what its standard says"))?;
            ensure(says(&spoiled).is_err(), || format!("the validator accepts any {name}"))?;
        }
        Ok(())
    }

    /// Returns the image, as it is on the medium.
    fn root_image(&self) -> Result<String> {
        let text =
            fs::read(self.built.folder.join("build/manifest.json")).context("cannot read manifest.json")?;
        let manifest: ImageManifest = serde_json::from_slice(&text).context("cannot read manifest.json")?;
        let image = self.cut(&self.output(".iso"), 3)?;
        self.tool("fsck.erofs", &[&image])?;
        let offset = format!("--hash-offset={}", manifest.root.data_blocks * BLOCK_SIZE);
        let hash = &self.built.root_hash;
        self.tool("veritysetup", &["verify", &image, &image, hash, &offset])?;
        let other = if hash.starts_with('0') { "1" } else { "0" }.to_owned() + &hash[1..];
        let refused = self.tool("veritysetup", &["verify", &image, &image, &other, &offset]).is_err();
        ensure(refused, || "veritysetup accepts any root hash".into())?;
        Ok(image)
    }

    fn raw_disk(&self) -> Result<()> {
        let raw = self.output(".raw");
        self.tool("sfdisk", &["--verify", &raw])?;
        self.table_is_sound(&raw)?;
        for esp in [1, 2] {
            self.tool("fsck.fat", &["-n", &self.cut(&raw, esp)?])?;
        }
        for (number, label) in [(3, "COS_OEM"), (7, "COS_PERSISTENT")] {
            let image = self.cut(&raw, number)?;
            self.tool("e2fsck", &["-f", "-n", &image])?;
            let found = self.tool("e2label", &[&image])?;
            ensure(found.trim() == label, || format!("partition {number} is labelled {found:?}"))?;
        }
        Ok(())
    }

    /// sgdisk says what is wrong, and ends well all the same.
    fn table_is_sound(&self, disk: &str) -> Result<()> {
        let said = self.tool("sgdisk", &["--verify", disk])?;
        ensure(said.contains("No problems found"), || format!("sgdisk about {disk}: {said}"))
    }

    fn medium(&self) -> Result<()> {
        let iso = self.output(".iso");
        self.tool("sfdisk", &["--verify", &iso])?;
        self.table_is_sound(&iso)?;
        self.tool("fsck.fat", &["-n", &self.cut(&iso, 2)?])?;
        let report = self.ground.lab.tool("xorriso")?.args(["-indev", &iso, "-find", "/"]).run()?;
        let report = String::from_utf8_lossy(&report).into_owned();
        for path in ["/user-data", "/unattended.yaml", "/edge/manifest.json", images::CONTENT_ON_THE_MEDIUM] {
            ensure(report.contains(&format!("'{path}'\n")), || {
                format!("{path} is not on the medium: {report}")
            })?;
        }
        let copied = self.at("user-data");
        self.tool("xorriso", &["-osirrox", "on", "-indev", &iso, "-extract", "/user-data", &copied])?;
        self.tool("cmp", &[&copied, &self.built.folder.join("user-data").display().to_string()]).map(drop)
    }

    fn copies_of_the_disk(&self) -> Result<()> {
        let (raw, unpacked) = (self.output(".raw"), self.at("unpacked.raw"));
        self.tool("zstd", &["-d", "-q", "--sparse", &self.output(".raw.zst"), "-o", &unpacked])?;
        self.tool("cmp", &[&raw, &unpacked])?;
        let (qcow2, vmdk) = (self.output(".qcow2"), self.output(".vmdk"));
        self.tool("qemu-img", &["check", "-q", "-f", "qcow2", &qcow2])?;
        for (format, copy) in [("qcow2", qcow2), ("vmdk", vmdk)] {
            self.tool("qemu-img", &["compare", "-q", "-f", "raw", "-F", format, &raw, &copy])
                .with_context(|| format!("the {format} disk differs from the raw disk"))?;
        }
        Ok(())
    }

    /// skopeo reads both layouts and both archives, and finds the digests that we gave.
    fn layouts(&self) -> Result<()> {
        let build = self.built.folder.join("build").display().to_string();
        let (version, archive) = (&self.built.version, self.output(".container.tar"));
        let copies = [
            (format!("oci:{build}/oci"), "provider"),
            (format!("oci-archive:{}", self.output(".oci.tar")), "provider-archive"),
            (format!("oci:{build}/container:{version}"), "container"),
            (format!("oci-archive:{archive}"), "container-archive"),
        ];
        for (source, name) in copies {
            let target = format!("oci:{}:copy", self.at(name));
            self.tool(
                "skopeo",
                &["--insecure-policy", "copy", "-q", "--preserve-digests", &source, &target],
            )?;
            let original = if name.starts_with("provider") { "oci" } else { "container" };
            let digest = |folder: &Path| only_digest(&folder.join("index.json"));
            let (one, other) =
                (digest(&self.built.folder.join("build").join(original))?, digest(&self.folder.join(name))?);
            ensure(one == other, || format!("skopeo copies {source} as {other} instead of {one}"))?;
        }
        let target = format!("dir:{}", self.at("docker"));
        self.tool(
            "skopeo",
            &["--insecure-policy", "copy", "-q", &format!("docker-archive:{archive}"), &target],
        )
        .map(drop)
    }

    /// umoci unpacks the container image, fsck.erofs the image of the slots: the same tree, attribute by attribute.
    fn container_tree(&self, root: &str) -> Result<()> {
        let layout = self.built.folder.join("build/container");
        let image = format!("{}:{}", layout.display(), self.built.version);
        let (bundle, extracted) = (self.at("bundle"), self.at("extracted"));
        self.tool("umoci", &["unpack", "--rootless", "--image", &image, &bundle])?;
        let container = self.listing(&format!("cd {bundle}/rootfs && {LIST}"), "container.list")?;
        // Without privileges files cannot be given to others; fakeroot remembers who they would belong to.
        let unpack =
            format!("fsck.erofs --extract={extracted} --xattrs {root} >&2 && cd {extracted} && {LIST}");
        let script = self.at("unpack.sh");
        fs::write(&script, unpack).context("cannot write a script")?;
        let erofs = self.listing(&format!("fakeroot sh {script}"), "erofs.list")?;
        ensure(erofs.len() > 1000, || format!("fsck.erofs extracted {} entries", erofs.len()))?;
        for (path, entry) in &erofs {
            let other = container.get(path).map_or("nothing", String::as_str);
            ensure(other == entry, || format!("/{path}: {entry} in the image, {other} in the container"))?;
        }
        // The container alone carries the kernel, for images that are made from it.
        let is_kernel = |path: &str| path.starts_with("usr/lib/modules/") && path.ends_with("/vmlinuz");
        let more = container.keys().find(|path| !erofs.contains_key(*path) && !is_kernel(path));
        ensure(more.is_none(), || format!("only the container has {more:?}"))
    }

    /// Every form shows the same image, and the forms do not differ.
    fn looked_into(&self) -> Result<()> {
        let ask = |arguments: &[&str]| -> Result<Json> {
            let answer = Child::new(self.ground.lab.edgeforge()).args(arguments).arg("--json").run()?;
            serde_json::from_slice(&answer).context("edgeforge's answer cannot be read")
        };
        let build = self.built.folder.join("build").display().to_string();
        let container = format!("oci-layout:{build}/container:{}", self.built.version);
        let forms = [self.output(".iso"), self.output(".raw"), self.output(".oci.tar"), container.clone()];
        let mut packages = None;
        for form in forms {
            let report = ask(&["inspect", &form])?;
            let hash = if form == container { Json::Null } else { self.built.root_hash.as_str().into() };
            ensure(report["root_hash"] == hash, || format!("{form} shows {}", report["root_hash"]))?;
            let seen = report["packages"]["packages"].clone();
            ensure(seen.as_array().is_some_and(|list| list.len() > 50), || format!("{form} shows {seen}"))?;
            ensure(packages.get_or_insert_with(|| seen.clone()) == &seen, || {
                format!("{form} shows other packages")
            })?;
        }
        let difference = ask(&["diff", &self.output(".iso"), &self.output(".raw")])?;
        for part in ["packages", "files"] {
            for change in ["added", "removed", "changed"] {
                let list = &difference[part][change];
                let empty = list.as_array().is_some_and(Vec::is_empty)
                    || list.as_object().is_some_and(|it| it.is_empty());
                ensure(empty, || format!("{change} {part} between ISO and raw disk: {list}"))?;
            }
        }
        let findings = ask(&["lint", &self.output(".iso")])?;
        ensure(findings == Json::Array(Vec::new()), || format!("lint finds {findings}"))
    }

    /// What `command` lists, by path.
    fn listing(&self, command: &str, name: &str) -> Result<BTreeMap<String, String>> {
        let list = self.at(name);
        self.tool("sh", &["-c", &format!("({command}) > {list}")])?;
        parse_listing(&fs::read_to_string(&list).context("cannot read a list of files")?)
    }

    /// Copies a partition into a file of its own.
    fn cut(&self, disk: &str, number: usize) -> Result<String> {
        let table: serde_json::Value = serde_json::from_str(&self.tool("sfdisk", &["--json", disk])?)
            .context("sfdisk's answer cannot be read")?;
        let partition = &table["partitiontable"]["partitions"][number - 1];
        let field = |name: &str| {
            partition[name]
                .as_u64()
                .ok_or_else(|| Error::integrity(format!("{disk} has no partition {number}")))
        };
        let (start, size) = (field("start")? * SECTOR, field("size")? * SECTOR);
        let name = disk.rsplit('.').next().unwrap_or_default();
        let target = self.at(&format!("{name}-{number}.img"));
        let range = [format!("skip={start}"), format!("count={size}")];
        let flags = ["bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"];
        let files = [format!("if={disk}"), format!("of={target}")];
        let words: Vec<&str> = files.iter().chain(&range).map(String::as_str).chain(flags).collect();
        self.tool("dd", &words)?;
        // Zeros at the end were passed over.
        File::options()
            .write(true)
            .open(&target)
            .and_then(|file| file.set_len(size))
            .context("cannot set the size of a partition's copy")?;
        Ok(target)
    }
}

/// Three parts, each line with a path at its end: what `stat` knows, digests, extended attributes.
const LIST: &str = "find . ! -type d -printf '%y %m %U:%G %s %n %T@ %l\\t%P\\n' \
    && find . -type d -printf '%y %m %U:%G %T@\\t%P\\n' \
    && find . -type f -exec sha256sum {} + | sed 's|^\\([0-9a-f]*\\)  ./|\\1\\t|' \
    && getfattr -R -h -d -m - -e hex . | awk '/^# file: /{path=substr($0,9)} /=/{print $0 \"\\t\" path}'";

/// All that is known about each path, in one line.
fn parse_listing(text: &str) -> Result<BTreeMap<String, String>> {
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let (what, path) = line
            .split_once('\t')
            .ok_or_else(|| Error::internal(format!("{line:?} is not a line of a list")))?;
        let entry = entries.entry(path.to_owned()).or_default();
        match what.strip_prefix("user.rootlesscontainers=0x") {
            Some(owner) => *entry = with_owner(entry, owner)?,
            None => *entry = format!("{entry}{what} "),
        }
    }
    Ok(entries)
}

/// umoci keeps the owner that it cannot give in an attribute: a protobuf message with uid and gid.
///
/// <https://github.com/rootless-containers/proto/blob/master/rootlesscontainers.proto>
fn with_owner(entry: &str, message: &str) -> Result<String> {
    const UNCHANGED: u64 = u32::MAX as u64;
    let wrong = || Error::integrity(format!("umoci wrote an owner that cannot be read: {message}"));
    let bytes: Vec<u8> = message
        .as_bytes()
        .chunks(2)
        .map(|digits| std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let mut owner = [0; 2];
    let mut rest = bytes.as_slice();
    while let Some((tag, values)) = rest.split_first() {
        let length = values.iter().position(|byte| byte & 0x80 == 0).ok_or_else(wrong)? + 1;
        let digits = values[..length].iter().enumerate();
        let value = digits.fold(0, |value, (at, byte)| value | u64::from(byte & 0x7f) << (7 * at));
        *owner.get_mut(usize::from(tag >> 3).wrapping_sub(1)).ok_or_else(wrong)? =
            if value == UNCHANGED { 0 } else { value };
        rest = &values[length..];
    }
    let mut words: Vec<&str> = entry.split(' ').collect();
    let named = format!("{}:{}", owner[0], owner[1]);
    *words.get_mut(2).ok_or_else(wrong)? = &named;
    Ok(words.join(" "))
}

fn only_digest(index: &Path) -> Result<String> {
    let text = fs::read(index).with_context(|| format!("cannot read {}", index.display()))?;
    let index: serde_json::Value = serde_json::from_slice(&text).context("index.json cannot be read")?;
    let digest = index["manifests"][0]["digest"].as_str();
    digest.map(str::to_owned).ok_or_else(|| Error::integrity("index.json names no image"))
}

/// A bundle beyond 3 GB travels in parts, and the parts are the whole.
pub(super) fn large_content(ground: &Ground) -> Result<()> {
    const SIZE: u64 = 3_100_000_000;
    let folder = new_folder(ground, "large-content-on-the-medium")?;
    let bundle = folder.join("large.tar.zst");
    write_bundle(&bundle, SIZE)?;
    let recipe = Recipe { content: vec![bundle.clone()], ..Recipe::version(&ground.first.version) };
    let built = images::build_in(&ground.lab, &folder.join("project"), &recipe, &ground.site(), None, false)?;
    let outputs = Outputs { ground, built, folder };
    let (iso, copied) = (outputs.output(".iso"), outputs.at("content"));
    let from = "/opt/spectrocloud/content";
    outputs.tool("xorriso", &["-osirrox", "on", "-indev", &iso, "-extract", from, &copied])?;
    let parts = format!("{copied}/large.tar.zst_part00 {copied}/large.tar.zst_part01");
    outputs.tool("sh", &["-c", &format!("cat {parts} | cmp - {}", bundle.display())]).map(drop)
}

/// Begins like a zstd archive; around the place where it is cut, each byte is another one than its neighbours.
fn write_bundle(path: &Path, size: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    const CUT: u64 = 3_000_000_000;
    let ramp: Vec<u8> = (0..=255).collect();
    File::create(path)
        .and_then(|file| {
            file.set_len(size)?;
            file.write_all_at(&0xFD2F_B528_u32.to_le_bytes(), 0)?;
            file.write_all_at(&ramp, CUT - 128)
        })
        .with_context(|| format!("cannot write {}", path.display()))
}
