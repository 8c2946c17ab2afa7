//! A machine in the hand, for tests: folders and files ([`edge_host::machine::Machine::in_folder`]) whose every effect can fail or be
//! the last one ([`every_fault`]), and images that are small and real ([`image`]). It panics where a test has to end.

pub mod every_fault;
pub mod image;
