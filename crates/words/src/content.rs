//! Words about container images and the bundles that bring them.

pub const TITLE: &str = "Container images";
pub const OF_IMAGE: &str = "Of the system itself";
pub const NONE: &str = "No bundle was brought to this host.";
pub const SIZE: &str = "Size";
pub const BROUGHT: &str = "Brought";
pub const FROM: &str = "From";
pub const SIGNED: &str = "Signed";
pub const SIGNED_YES: &str = "by a key that this host trusts";
pub const NOT_SIGNED: &str = "no";
pub const FROM_STICK: &str = "Bring all bundles of a USB stick";
pub const REPLACE: &str = "Remove older bundles of the same name";
pub const REPLACE_HINT: &str = "Afterwards: what runs has its images in the meantime.";
pub const CHECK: &str = "Check all of it";
pub const REMOVE: &str = "Remove";
pub const REMOVE_TITLE: &str = "Remove this bundle?";
pub const FORCE: &str = "Also when the cluster needs it";
pub const NO_UPSTREAM: &str = "Images that are not here are asked for nowhere else.";
pub fn damaged(images: &str) -> String {
    format!("Something is missing of {images}.")
}
pub const DAMAGED_HELP: &str = "Bring the bundle again: only what is missing is written.";
pub fn free(size: &str) -> String {
    format!("{size} are free for more.")
}
pub fn remove(name: &str, images: usize) -> String {
    format!(
        "The bundle {name} goes from this host, with those of its {images} images that no other bundle has."
    )
}
