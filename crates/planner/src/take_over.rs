//! What may interrupt what: one operation changes the host at a time.

use edge_model::api::OperationKind;

/// What becomes of a request while an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// The request is refused until the operation has ended.
    Refuse,
    /// The operation is stopped at its next safe point, then the request is served.
    Interrupt,
}

/// Operations that change nothing give way to everything. An upgrade keeps its place: it goes on where it stopped, but
/// a restart in the middle of it is nearly always a mistake. A network on trial returns by itself, so the machine may
/// be restarted or switched off meanwhile: the trial goes on in the next boot.
pub fn decide(running: OperationKind, requested: OperationKind) -> TakeOver {
    use OperationKind::{Configure, ImportContent, PowerOff, Reboot, SupportBundle, Verify, VerifyContent};
    match (running, requested) {
        (Verify | VerifyContent | SupportBundle, _) if running != requested => TakeOver::Interrupt,
        // An import goes on from where it was, whenever it is asked for again.
        (Configure | ImportContent, Reboot | PowerOff) => TakeOver::Interrupt,
        _ => TakeOver::Refuse,
    }
}

/// The table as a page shows it: rows run, columns are asked for.
pub fn table() -> String {
    let mut page = String::from("| runs \\ asked for |");
    OperationKind::ALL.iter().for_each(|kind| page.push_str(&format!(" {kind} |")));
    page.push_str("\n|---|");
    OperationKind::ALL.iter().for_each(|_| page.push_str("---|"));
    for running in OperationKind::ALL {
        page.push_str(&format!("\n| {running} |"));
        for requested in OperationKind::ALL {
            let word = match decide(running, requested) {
                TakeOver::Refuse => "busy",
                TakeOver::Interrupt => "takes over",
            };
            page.push_str(&format!(" {word} |"));
        }
    }
    page.push('\n');
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_images_is_never_interrupted() {
        use OperationKind::{Fsck, Install, RefreshRecovery, Reset, Rollback, Upgrade};
        for running in [Install, Upgrade, Rollback, RefreshRecovery, Fsck, Reset] {
            for requested in OperationKind::ALL {
                assert_eq!(decide(running, requested), TakeOver::Refuse, "{running} {requested}");
            }
        }
        assert_eq!(decide(OperationKind::Verify, Upgrade), TakeOver::Interrupt);
        assert_eq!(decide(OperationKind::Verify, OperationKind::Verify), TakeOver::Refuse);
    }
}
