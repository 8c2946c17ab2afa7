//! Words of the test of the network.

pub const CABLE: &str = "Cable";
pub const ADDRESS: &str = "Address";
pub const GATEWAY: &str = "Gateway";
pub const NAME_SERVER: &str = "Name server";
pub const TIME: &str = "Time";
pub const PROXY: &str = "Proxy";
pub const GOOD: &str = "ok";
pub const BAD: &str = "!!";
pub const NO_CABLE: &str = "no cable is plugged in, or nothing answers at its other end";
pub const NO_ADDRESS: &str = "none: nobody has given one (DHCP), and none is set";
pub const NO_GATEWAY: &str = "none is known";
pub const TIME_SET: &str = "set by a time server";
pub const TIME_NOT_SET: &str = "no time server has answered yet";
pub const ALL_GOOD: &str = "All links of the network work.";
pub fn answers(endpoint: &str) -> String {
    format!("{endpoint} answers")
}
pub fn silent(endpoint: &str) -> String {
    format!("{endpoint} does not answer")
}
pub fn known(name: &str, addresses: &str) -> String {
    format!("{name} is {addresses}")
}
