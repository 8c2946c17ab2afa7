use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use proptest::prelude::*;

use super::*;

const BLOCK: usize = 4096;

fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Three blocks: head and inodes, the root folder, a file. `folder` are the entries of the root.
fn by_hand(folder: &[(&str, u64)]) -> Vec<u8> {
    let mut image = vec![0; 3 * BLOCK];
    put(&mut image, 1024, &0xe0f5_e1e2_u32.to_le_bytes());
    put(&mut image, 1024 + 12, &[12]);
    put(&mut image, 1024 + 14, &40_u16.to_le_bytes());
    put(&mut image, 1024 + 36, &3_u32.to_le_bytes());
    let mut compact = |number: usize, format: u16, mode: u16, size: u32, block: u32| {
        let at = number * 32;
        put(&mut image, at, &format.to_le_bytes());
        put(&mut image, at + 4, &mode.to_le_bytes());
        put(&mut image, at + 6, &2_u16.to_le_bytes());
        put(&mut image, at + 8, &size.to_le_bytes());
        put(&mut image, at + 16, &block.to_le_bytes());
    };
    compact(40, 0, 0o040_755, BLOCK as u32, 1);
    compact(41, 0, 0o100_644, 5, 2);
    compact(42, 4 << 1, 0o100_644, 5, 2);
    compact(43, 2 << 1, 0o120_777, 3, 0);
    put(&mut image, 44 * 32, b"hop");
    let mut name = folder.len() * 12;
    for (index, (text, inode)) in folder.iter().enumerate() {
        put(&mut image, BLOCK + index * 12, &inode.to_le_bytes());
        put(&mut image, BLOCK + index * 12 + 8, &(name as u16).to_le_bytes());
        put(&mut image, BLOCK + name, text.as_bytes());
        name += text.len();
    }
    put(&mut image, 2 * BLOCK, b"hello");
    image
}

#[test]
fn an_image_made_by_hand_is_read() {
    let image = by_hand(&[(".", 40), ("..", 40), ("a", 41), ("b", 41), ("link", 43)]);
    let behind = [vec![1; 512], image].concat();
    let found = read(&file(&behind), 512).unwrap().tree;
    assert_eq!(found.read_file("a").unwrap(), b"hello");
    assert!(matches!(&found.get("b").unwrap().content, Content::HardLink(target) if target == "a"));
    assert!(
        matches!(&found.get("link").unwrap().content, Content::Symlink(target) if target == Path::new("hop"))
    );
    assert!(matches!(found.get("a").unwrap().content, Content::Span { .. }), "nothing is copied");
}

#[test]
fn circles_chunks_and_short_images_are_refused() {
    let error = |image: &[u8]| edge_model::error::render(&read(&file(image), 0).unwrap_err());
    assert!(error(&by_hand(&[("loop", 40)])).contains("inside itself"));
    assert!(error(&by_hand(&[("big", 42)])).contains("chunks"));
    assert!(error(&by_hand(&[])[..2 * BLOCK]).contains("ends before"));
    assert!(error(&[0; 8192]).contains("no EROFS"));
    let mut compressed = by_hand(&[]);
    compressed[1024 + 80] = 0x2;
    assert!(error(&compressed).contains("compressed"));
}

/// The tools tree of a build on this machine.
pub(crate) fn tools(test: &str) -> Option<Sandbox> {
    let cache = crate::cache::Cache::open(true).unwrap();
    let found = std::fs::read_dir(cache.root()).unwrap().flatten().map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tools-"))
            && path.join("usr/bin/mkfs.erofs").exists()
    });
    if found.is_none() {
        println!("SKIPPED {test}: there is no tools tree; `edgeforge tools` makes one");
    }
    found.map(|root| Sandbox::new(&root).share(&std::env::temp_dir()))
}

/// Files of many kinds, as a build would hand them to mkfs.erofs.
fn sample() -> Tree {
    let mut tree = Tree::default();
    for index in 0..300 {
        tree.put_file(&format!("many/file-{index:03}"), 0o644, format!("{index}\n"));
    }
    tree.put_file("big", 0o640, vec![7; 3 * BLOCK + 5]);
    tree.put_file("empty", 0o4755, "");
    tree.put_symlink("link", "many/file-001");
    tree.put("usr/alias", 0o640, Content::HardLink("big".into()));
    let owned = Node::new(0o755, (70_000, 80_000), 0, Content::Bytes(b"x".to_vec()));
    let capability = vec![("SCHILY.xattr.security.capability".to_owned(), vec![1, 0, 0, 2, 4, 0, 0, 0])];
    tree.insert("owned".into(), owned.with_attributes(capability));
    tree
}

fn make(tools: &Sandbox, folder: &Path, options: &[&str]) -> std::path::PathBuf {
    let (archive, image) = (folder.join("tree.tar"), folder.join("root.img"));
    sample().write(&archive, 1_700_000_000).unwrap();
    let mkfs = Child::new("mkfs.erofs").args(["--quiet", "--tar=f", "-T", "1700000000"]).args(options);
    mkfs.arg(&image).arg(&archive).inside(tools).unwrap().run().unwrap();
    image
}

fn assert_is_sample(found: &Tree) {
    let expected = sample();
    let paths = |tree: &Tree| tree.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(paths(found), paths(&expected));
    for (path, node) in expected.iter() {
        let other = found.get(path).unwrap();
        assert_eq!((node.uid, node.gid), (other.uid, other.gid), "{path}");
        assert_eq!(node.attributes(), other.attributes(), "{path}");
        assert_eq!(other.modified, 1_700_000_000, "{path}");
        if node.is_file() {
            assert_eq!(node.mode, other.mode, "{path}");
            assert_eq!(found.read_file(path).unwrap(), expected.read_file(path).unwrap(), "{path}");
        }
    }
}

#[test]
fn what_mkfs_erofs_writes_is_read_as_fsck_erofs_reads_it() {
    let Some(tools) = tools("what_mkfs_erofs_writes_is_read_as_fsck_erofs_reads_it") else { return };
    let folder = tempfile::tempdir().unwrap();
    for options in
        [&["--sort=none", "-Enoinline_data"][..], &["-Enoinline_data"], &[], &["-Eforce-inode-extended"]]
    {
        let image = make(&tools, folder.path(), options);
        let found = read(&Arc::new(File::open(&image).unwrap()), 0).unwrap().tree;
        assert_is_sample(&found);
        let unpacked = folder.path().join("unpacked");
        let fsck = Child::new("fsck.erofs").arg(format!("--extract={}", unpacked.display()));
        fsck.args(["--overwrite", "--no-preserve-owner"]).arg(&image).inside(&tools).unwrap().run().unwrap();
        for (path, node) in found.iter().filter(|(_, node)| node.is_file()) {
            assert_eq!(found.read_file(path).unwrap(), std::fs::read(unpacked.join(path)).unwrap(), "{path}");
            assert!(!node.is_directory());
        }
        std::fs::remove_dir_all(unpacked).unwrap();
    }
}

fn real_image() -> Option<&'static Vec<u8>> {
    static IMAGE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        Some(std::fs::read(make(&tools("damage_never_panics")?, folder.path(), &[])).unwrap())
    });
    image.as_ref()
}

fn read_all(found: &FileSystem) {
    for (path, _) in found.tree.iter() {
        let _ = found.tree.digest(path);
        let _ = found.tree.followed(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damage_never_panics(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let by_hand = by_hand(&[(".", 40), ("a", 41), ("link", 43)]);
        for image in [Some(&by_hand), real_image()].into_iter().flatten() {
            let mut image = image.clone();
            for (at, byte) in &damage {
                // Most of an image is content, where damage does not show: aim at the head and the inodes, too.
                let place = at.index(image.len());
                image[place] = *byte;
                let head = 1024 + at.index(3072);
                image[head] = if *byte % 3 == 0 { *byte } else { image[head] };
            }
            if let Ok(found) = read(&file(&image), 0) {
                read_all(&found);
            }
        }
    }

    #[test]
    fn bytes_behind_a_good_head_never_panic(rest in proptest::collection::vec(any::<u8>(), 3 * BLOCK)) {
        let mut image = by_hand(&[]);
        let head = image[1024..1152].to_vec();
        image.copy_from_slice(&rest);
        put(&mut image, 1024, &head);
        if let Ok(found) = read(&file(&image), 0) {
            read_all(&found);
        }
    }
}
