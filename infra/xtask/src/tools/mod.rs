//! Programs that xtask starts, how it starts and stops them, and its own output.

pub(crate) mod apt;
pub(crate) mod browser;
pub(crate) mod cargo;
pub(crate) mod deny;
pub(crate) mod interrupt;
pub(crate) mod node;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod progress;
pub(crate) mod python;

use clap::ValueEnum;

/// The Rust release that CI uses, and the oldest one whose baselines of instruction counts are maintained. The counts depend on the
/// compiler. The workspace also builds with an older one (`rust-version`), for which nothing is compared.
///
/// rust-toolchain.toml names the channel `stable` instead: rustup treats `stable` and `1.95.0` as two toolchains and would download the
/// second on a machine that has the same release under the first name, or fail without a network.
pub(crate) const RUST: &str = "1.95.0";

/// Returns the name that a value has on the command line.
pub(crate) fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
