//! Minifies infra/openapi.json, which the API serves: without line breaks and indentation the package is 5 KB smaller.

#![expect(clippy::disallowed_methods, reason = "cargo passes the output directory in a variable")]

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let source = "../../infra/openapi.json";
    println!("cargo::rerun-if-changed={source}");
    let document: serde_json::Value = serde_json::from_str(&fs::read_to_string(source)?)?;
    let target = Path::new(&env::var("OUT_DIR")?).join("openapi.json");
    fs::write(target, document.to_string())?;
    Ok(())
}
