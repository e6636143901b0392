//! Writes the API's OpenAPI document to standard output. `cargo xtask openapi` stores it in `infra/openapi.json`.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let document = serde_json::to_string_pretty(&anzol_api::document::document())?;
    writeln!(io::stdout(), "{document}")
}
