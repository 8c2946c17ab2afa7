//! What pages are made of. A control has a label, or it cannot be written; nothing of a page is made elsewhere.

mod controls;
mod frame;

pub use controls::{Choice, Field, area, button, check, choice, facts, field, form, link, notice, table};
pub use frame::{Frame, bare, page};
pub(crate) use frame::{news, seeking, strip, waiting};
