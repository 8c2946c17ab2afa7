//! Everything that a site writes, as the host reads it: it may be wrong, and never takes the reader down.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_planner::configuration::{self, Form};

fuzz_target!(|text: &str| {
    for form in [Form::UserData, Form::Unattended, Form::MetaData, Form::NetworkConfig] {
        drop(configuration::examine(form, "input", text, None));
    }
    drop(configuration::for_the_host(Form::UserData, "input", text, &mut |_| Ok("$6$a$b".to_owned())));
});
