//! What a host remembers when it has just been installed, by an installer or as a raw disk: both hold the same.

use edge_model::ids::Slot;
use edge_model::ledger::{HistoryEntry, HistoryEvent, ImageRecord, Ledger};
use edge_model::manifest::ImageManifest;
use edge_slot_image::sealed;

/// Name of the ledger's document.
pub const LEDGER: &str = "ledger";

/// An image as the ledger has it.
pub fn image_record(manifest: &ImageManifest, signed: bool) -> ImageRecord {
    ImageRecord {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        root_hash: manifest.root.root_hash,
        created: manifest.created,
        data_blocks: manifest.root.data_blocks,
        signed,
    }
}

/// The first ledger: the image is in slot a and in recovery. `at` is in seconds since 1970.
pub fn ledger(manifest: &ImageManifest, signed: bool, at: u64) -> Ledger {
    let image = image_record(manifest, signed);
    let mut ledger = Ledger {
        generation: 1,
        slot_a: Some(image.clone()),
        recovery: Some(image.clone()),
        ..Ledger::default()
    };
    ledger.record(HistoryEntry {
        at,
        event: HistoryEvent::Installed,
        version: image.version,
        root_hash: image.root_hash,
        slot: Some(Slot::A),
        reason: None,
    });
    ledger
}

/// Name and bytes of the file in `/oem/edge` that a raw disk begins with.
///
/// # Errors
/// When the ledger cannot be written as JSON.
pub fn ledger_file(ledger: &Ledger) -> serde_json::Result<(String, Vec<u8>)> {
    let json = serde_json::to_vec(ledger)?;
    Ok((sealed::file_name(LEDGER, ledger.generation), sealed::seal(&json)))
}
