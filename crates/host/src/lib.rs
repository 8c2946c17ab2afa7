//! All effects on a machine. The only crate (with `agent/init`) that may use `unsafe`, open devices, start
//! processes or know a path under `/dev`, `/sys` and `/proc`.

pub mod accounts;
pub mod block;
pub mod buffer;
pub mod child;
pub mod clock;
pub mod console;
pub mod device_mapper;
pub mod disk;
pub mod efivars;
pub mod esp;
pub mod faults;
pub mod files;
pub mod firmware;
pub mod gpt;
pub mod install_record;
pub mod kernel;
pub mod keyboard;
pub mod modules;
pub mod mount;
pub mod network;
pub mod patience;
pub mod pipe;
pub mod power;
pub mod pstore;
pub mod resources;
pub mod sandbox;
pub mod sensors;
pub mod settle;
pub mod slot;
pub mod sticks;
pub mod system_info;
pub mod tpm;
pub mod volumes;
pub mod watchdog;
