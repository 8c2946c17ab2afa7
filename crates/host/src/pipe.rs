//! Standard output whose reader has gone.

use std::panic;

/// What a shell makes of a program that a closed pipe has ended: 128 and the number of SIGPIPE.
const CLOSED_PIPE: i32 = 141;

/// Ends the program quietly when a line cannot be printed because nobody reads any more, as in `edgeforge inspect … | head`.
///
/// Not by letting the signal end it: that would also end a program whose child has closed its input, before it can say why.
pub fn end_quietly_when_nobody_reads() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        // The words of the standard library's `print!`, which has no other way to tell.
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(CLOSED_PIPE);
        }
        usual(info);
    }));
}
