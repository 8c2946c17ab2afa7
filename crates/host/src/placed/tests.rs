use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;

const SITE: Owner = Owner { uid: 1000, gid: 1000 };

/// A folder of root's with a file of root's, and a home of uid 1000. Only root can make one.
fn ground() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        println!("SKIPPED files in folders of others: only root can give files away");
        return None;
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.path().join("home")).unwrap();
    fs::write(folder.path().join("root-file"), "of root").unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    chown(folder.path().join("home"), Some(1000), Some(1000)).unwrap();
    Some(folder)
}

fn untouched(folder: &Path) {
    let about = fs::metadata(folder.join("root-file")).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o777 & 0o133), (0, 0), "root's file was given away");
    assert_eq!(fs::read_to_string(folder.join("root-file")).unwrap(), "of root");
    assert_eq!(fs::read_dir(folder.join("secrets")).unwrap().count(), 0, "something lies in root's folder");
}

#[test]
fn what_is_asked_for_is_there() {
    let Some(folder) = ground() else { return };
    let path = folder.path().join("home/a/b/app.conf");
    write(&path, b"one", 0o640, SITE).unwrap();
    write(&path, b"two", 0o604, SITE).unwrap();
    write(&path, b"two", 0o600, Owner { uid: 1000, gid: 7 }).unwrap();
    let about = fs::metadata(&path).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (1000, 7, 0o600));
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "something was left behind");
    make_folder(&folder.path().join("home/c"), 0o2770, SITE).unwrap();
    let about = fs::metadata(folder.path().join("home/c")).unwrap();
    assert_eq!((about.uid(), about.mode() & 0o7777), (1000, 0o2770));
    assert_eq!(read_if_there(&path, 1000, 3).unwrap().as_deref(), Some(&b"two"[..]));
    assert!(read_if_there(&path, 1000, 2).is_err());
    assert_eq!(read_if_there(&folder.path().join("home/none"), 1000, 9).unwrap(), None);
}

/// The case of the review: a link under every name that a write could use, in the folder and above it.
#[test]
fn links_of_others_lead_nowhere() {
    let Some(folder) = ground() else { return };
    let (home, target) = (folder.path().join("home"), folder.path().join("root-file"));
    for name in ["app.conf", "app.conf.part", ".app.conf.part", "app.conf~"] {
        symlink(&target, home.join(name)).unwrap();
    }
    write(&home.join("app.conf"), b"mine", 0o666, SITE).unwrap();
    assert!(fs::symlink_metadata(home.join("app.conf")).unwrap().is_file(), "the link is replaced");
    untouched(folder.path());
    symlink(folder.path().join("secrets"), home.join("sub")).unwrap();
    for owner in [SITE, Owner::ROOT] {
        assert!(write(&home.join("sub/file"), b"x", 0o644, owner).is_err());
        assert!(make_folder(&home.join("sub/folder"), 0o777, owner).is_err());
        assert!(read_if_there(&home.join("sub/file"), owner.uid, 9).is_err());
        untouched(folder.path());
    }
    assert!(make_folder(&home.join("sub"), 0o777, SITE).is_err());
    // Root's own link, somewhere that only root can write.
    symlink("home", folder.path().join("link")).unwrap();
    write(&folder.path().join("link/through"), b"x", 0o644, SITE).unwrap();
    make_folder(&folder.path().join("link"), 0o750, SITE).unwrap();
    assert_eq!(fs::metadata(&home).unwrap().mode() & 0o7777, 0o750);
    assert!(home.join("through").exists());
}

#[test]
fn another_name_of_a_file_is_not_given_away() {
    let Some(folder) = ground() else { return };
    fs::hard_link(folder.path().join("root-file"), folder.path().join("home/same")).unwrap();
    write(&folder.path().join("home/same"), b"of root", 0o666, SITE).unwrap();
    untouched(folder.path());
    assert_eq!(fs::metadata(folder.path().join("home/same")).unwrap().uid(), 1000);
}

/// In a folder that everybody may write, as `/tmp`: who made the file may hold it open, and write to it when it is root's.
#[test]
fn a_file_that_somebody_holds_open_is_replaced() {
    use std::os::unix::fs::FileExt;
    let Some(folder) = ground() else { return };
    let path = folder.path().join("script");
    let held = fs::OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    held.write_all_at(b"#!/bin/sh", 0).unwrap();
    chown(&path, Some(1000), Some(1000)).unwrap();
    write(&path, b"#!/bin/sh", 0o755, Owner::ROOT).unwrap();
    held.write_all_at(b"evil", 0).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"#!/bin/sh");
}

#[test]
fn reading_makes_no_folder() {
    let Some(folder) = ground() else { return };
    assert_eq!(read_if_there(&folder.path().join("none/of/these"), 0, 9).unwrap(), None);
    assert!(!folder.path().join("none").exists());
}

#[test]
fn a_circle_of_links_ends() {
    let Some(folder) = ground() else { return };
    symlink("other", folder.path().join("one")).unwrap();
    symlink("one", folder.path().join("other")).unwrap();
    let error = write(&folder.path().join("one/file"), b"x", 0o644, Owner::ROOT).unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
}

#[test]
fn folders_of_somebody_else_are_refused() {
    let Some(folder) = ground() else { return };
    let path = folder.path().join("home/file");
    let error = write(&path, b"x", 0o644, Owner { uid: 1001, gid: 1001 }).unwrap_err();
    assert_eq!(error.class, edge_model::Class::Rejected);
    assert!(error.to_string().contains("belongs to the user 1000"), "{error}");
    assert!(write(&path, b"x", 0o644, Owner::ROOT).is_err());
    assert!(check_folders_are_roots(&path).is_err());
    check_folders_are_roots(&folder.path().join("secrets/x")).unwrap();
    assert!(!path.exists());
}

#[test]
fn odd_paths_and_files_are_told() {
    for path in ["relative", "/", "/tmp/../etc/x"] {
        assert!(write(Path::new(path), b"x", 0o644, Owner::ROOT).is_err(), "{path}");
    }
    let Some(folder) = ground() else { return };
    let pipe = folder.path().join("home/pipe");
    let made = rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0);
    made.unwrap();
    assert!(read_if_there(&pipe, 0, 9).is_err(), "nobody waits for a FIFO");
    write(&pipe, b"x", 0o644, SITE).unwrap();
    assert_eq!(fs::read(&pipe).unwrap(), b"x");
}
