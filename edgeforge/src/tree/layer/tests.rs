//! Layers that are wrong or unusual.

use super::*;
use proptest::prelude::*;
use tar::{Builder, Header};

/// Kind, name, and content or target.
fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        // Written as it is: the library would refuse the names that are tested here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        let is_file = *kind == EntryType::Regular;
        if !is_file {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        header.set_cksum();
        builder.append(&header, if is_file { text.as_bytes() } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn apply(tree: &mut Tree, bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.tar");
    std::fs::write(&path, bytes).unwrap();
    tree.apply_layer(&path, Some(folder.path()))
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path).collect()
}

use EntryType::{Directory, Link, Regular, Symlink};

#[test]
fn whiteouts_remove_what_is_below_and_nothing_else() {
    let mut tree = Tree::default();
    let below =
        [(Directory, "a/", ""), (Regular, "a/x", "1"), (Regular, "a/y", "2"), (Regular, "b/z/q", "3")];
    apply(&mut tree, &archive(&below)).unwrap();
    let above = [(Regular, "a/new", "4"), (Regular, "a/.wh..wh..opq", ""), (Regular, "b/.wh.z", "")];
    apply(&mut tree, &archive(&above)).unwrap();
    assert_eq!(names(&tree), ["a", "a/new", "b"]);
}

#[test]
fn a_folder_in_the_place_of_a_link_does_not_empty_what_the_link_led_to() {
    let mut tree = Tree::default();
    let below = [
        (Regular, "usr/share/foo/x", "1"),
        (Regular, "usr/share/foo/bar/z", "1"),
        (Symlink, "etc/foo", "/usr/share/foo"),
    ];
    apply(&mut tree, &archive(&below)).unwrap();
    let above = [
        (Directory, "etc/foo/", ""),
        (Regular, "etc/foo/.wh..wh..opq", ""),
        (Regular, "etc/foo/.wh.x", ""),
        (Directory, "etc/foo/bar/", ""),
        (Regular, "etc/foo/bar/.wh..wh..opq", ""),
        (Regular, "etc/foo/y", "2"),
    ];
    apply(&mut tree, &archive(&above)).unwrap();
    assert!(tree.contains("usr/share/foo/x") && tree.contains("usr/share/foo/bar/z"));
    assert!(tree.contains("etc/foo/y") && !tree.contains("usr/share/foo/y"));
}

#[test]
fn a_removed_file_leaves_its_content_to_its_links() {
    let mut tree = Tree::default();
    let below = [(Regular, "first", "content"), (Link, "second", "first"), (Link, "third", "second")];
    apply(&mut tree, &archive(&below)).unwrap();
    apply(&mut tree, &archive(&[(Regular, ".wh.first", "")])).unwrap();
    assert_eq!(tree.read_file("third").unwrap(), b"content");
    apply(&mut tree, &archive(&[(Regular, "second", "other")])).unwrap();
    assert_eq!(tree.read_file("third").unwrap(), b"content");
    assert_eq!(tree.read_file("second").unwrap(), b"other");
}

#[test]
fn names_lead_through_links_of_the_root_but_not_out_of_it() {
    let mut tree = Tree::default();
    let below = [(Directory, "usr/lib/", ""), (Symlink, "lib", "usr/lib"), (Symlink, "up", "../../etc")];
    apply(&mut tree, &archive(&below)).unwrap();
    apply(&mut tree, &archive(&[(Regular, "lib/so", "1")])).unwrap();
    assert!(tree.contains("usr/lib/so") && !tree.contains("lib/so"));
    let circle = [(Symlink, "one", "two"), (Symlink, "two", "one"), (Regular, "one/x", "")];
    // Absolute names begin at the root of the image: buildpacks write them.
    apply(&mut tree, &archive(&[(Regular, "/etc/made", "x"), (Link, "/etc/same", "/etc/made")])).unwrap();
    assert!(tree.contains("etc/made") && tree.contains("etc/same"));
    let tricks: [&[(EntryType, &str, &str)]; 7] = [
        &[(Regular, "up/passwd", "x")],
        &[(Regular, "../passwd", "x")],
        &[(Regular, "/../passwd", "x")],
        &[(Link, "shadow", "../etc/shadow")],
        &[(Link, "shadow", "not-there")],
        &[(Link, "shadow", "usr")],
        &circle,
    ];
    for trick in tricks {
        let error = apply(&mut tree.clone(), &archive(trick)).unwrap_err();
        let (_, name, _) = trick[trick.len() - 1];
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

#[test]
fn a_folder_keeps_what_is_in_it_and_a_file_replaces_it() {
    let mut tree = Tree::default();
    apply(&mut tree, &archive(&[(Regular, "a/x", "1")])).unwrap();
    apply(&mut tree, &archive(&[(Directory, "a", "")])).unwrap();
    assert!(tree.contains("a/x"));
    apply(&mut tree, &archive(&[(Regular, "a", "file")])).unwrap();
    assert_eq!(names(&tree), ["a"]);
}

/// As GNU tar writes them: in lines, with names, and with a value that holds a line feed before the path.
#[test]
fn access_lists_become_attributes() {
    let mut tree = Tree::default();
    apply(&mut tree, &archive(&[(Regular, "etc/passwd", "app:x:1000:1000::/:/bin/sh\n")])).unwrap();
    let mut builder = Builder::new(Vec::new());
    let list: &[u8] = b"user::rw-\nuser:app:r--\ngroup::r--\nmask::r--\nother::---\n";
    let capability: &[u8] = &[1, 0, 0, 2, 10, 0, 0, 0];
    let records = [("SCHILY.acl.access", list), ("SCHILY.xattr.security.capability", capability)];
    builder.append_pax_extensions(records).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder.append_data(&mut header, "etc/app.conf", std::io::empty()).unwrap();
    apply(&mut tree, &builder.into_inner().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again.tar");
    tree.write(&again, 0).unwrap();
    for tree in [tree, Tree::read(&again).unwrap()] {
        let node = tree.get("etc/app.conf").unwrap();
        assert_eq!(node.attribute("system.posix_acl_access").unwrap().len(), 4 + 5 * 8);
        assert_eq!(node.attribute("security.capability").unwrap(), capability);
    }
}

#[test]
fn sparse_files_and_long_names_and_attributes_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let long = format!("{0}/{0}", "n".repeat(200));
    std::fs::create_dir_all(root.join(&long)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    use std::os::unix::fs::FileExt;
    sparse.write_all_at(b"middle", 5 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let path = folder.path().join("layer.tar");
        edge_host::child::Child::new("tar")
            .args(["--create", "--sparse", &format!("--format={format}"), "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(&root)
            .arg(".")
            .run()
            .unwrap();
        let mut tree = Tree::default();
        tree.apply_layer(&path, Some(folder.path())).unwrap();
        assert!(tree.contains(&long), "{format}");
        let bytes = tree.read_file("sparse").unwrap();
        assert_eq!((bytes.len(), &bytes[5 << 20..(5 << 20) + 6]), (9 << 20, &b"middle"[..]), "{format}");
        assert!(bytes[..5 << 20].iter().all(|byte| *byte == 0), "{format}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_archives_do_not_panic(at in 0_usize..4096, byte: u8, cut in 0_usize..6000) {
        let entries = [(Regular, "a/x", "content"), (Link, "b", "a/x"), (Symlink, "c", "a"), (Regular, "c/y", "1")];
        let mut bytes = archive(&entries);
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        bytes.truncate(cut);
        let mut tree = Tree::default();
        if apply(&mut tree, &bytes).is_ok() {
            prop_assert!(names(&tree).iter().all(|name| !name.starts_with('/') && !name.contains("..")));
        }
    }
}
