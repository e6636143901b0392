//! `cargo xtask docs`: writes infra/docs/configuration.md from the parameters of infra/template.yaml.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::progress::say;

const TEMPLATE: &str = "infra/template.yaml";
const DOCUMENT: &str = "infra/docs/configuration.md";
const INTRODUCTION: &str = "\
<!-- Generated from infra/template.yaml by `cargo xtask docs`. Do not edit. -->

# Configuration

Every setting is a parameter of [`infra/template.yaml`](../template.yaml), and every parameter has a safe default. Set one with
`cargo xtask deploy --parameter Name=value`; `--guided` asks for each of them. Parameters of an existing stack keep their values unless you
set them again.

CloudFormation checks a value before it changes anything. The functions check their configuration again at startup and log all invalid
values in one line.

Two settings have a decision record: [reserved concurrency](decisions/concurrency.md), and why the history's retention of seven days
[is not a parameter](decisions/history.md).
";

/// Writes the document if it differs from the template.
pub(crate) fn docs(root: &Path) -> Result<()> {
    let file = root.join(DOCUMENT);
    let new = configuration(&read_template(root)?)?;
    if fs::read_to_string(&file).is_ok_and(|old| old == new) {
        say(format!("{} is up to date", file.display()));
        return Ok(());
    }
    fs::write(&file, new).with_context(|| format!("cannot write {}", file.display()))?;
    say(format!("{} was updated", file.display()));
    Ok(())
}

fn read_template(root: &Path) -> Result<String> {
    let file = root.join(TEMPLATE);
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Returns the document for a template: one table for each group of parameters, in the order of the groups.
///
/// Fails on a parameter that is in no group or in two, and on a group's parameter that does not exist.
fn configuration(template: &str) -> Result<String> {
    let mut parameters = parameters(template)?;
    let mut text = INTRODUCTION.to_owned();
    for (label, names) in groups(template)? {
        write!(
            text,
            "\n## {label}\n\n| parameter | default | allowed values | description |\n|---|---|---|---|\n"
        )?;
        for name in names {
            let properties = parameters.remove(&name).with_context(|| {
                format!("the group {label:?} names {name}, which is no parameter or is in two groups")
            })?;
            writeln!(text, "{}", row(&name, &properties)?)?;
        }
    }
    ensure!(parameters.is_empty(), "in no group: {:?}", parameters.keys());
    Ok(text)
}

type Properties = BTreeMap<String, String>;

fn row(name: &str, properties: &Properties) -> Result<String> {
    let get = |property: &str| properties.get(property).map(String::as_str);
    let required = |property: &str| get(property).with_context(|| format!("{name} has no {property}"));
    let default = match required("Default")? {
        "" => "empty".to_owned(),
        value => format!("`{value}`"),
    };
    let allowed = match (get("AllowedValues"), get("MinValue"), get("MaxValue"), get("ConstraintDescription"))
    {
        (Some(values), ..) => {
            list(values)?.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        }
        (_, Some(least), Some(most), _) => format!("{least} to {most}"),
        (_, Some(least), None, _) => format!("at least {least}"),
        (.., Some(rule)) => rule.strip_prefix("must be ").unwrap_or(rule).to_owned(),
        _ if required("Type")? == "CommaDelimitedList" => "texts separated by commas".to_owned(),
        _ => "any text".to_owned(),
    };
    let cell = |text: &str| text.replace('|', "\\|");
    Ok(format!("| `{name}` | {default} | {} | {} |", cell(&allowed), cell(required("Description")?)))
}

/// Returns the lines of a section of the template, without comments and empty lines.
fn section<'a>(template: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("{name}:");
    template
        .lines()
        .skip_while(move |line| *line != start)
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
}

/// Returns the labels of the parameter groups with the names of their parameters, in order.
///
/// Reads the subset of YAML that the template uses there, and fails on anything else.
fn groups(template: &str) -> Result<Vec<(String, Vec<String>)>> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for line in section(template, "Metadata").map(str::trim) {
        if let Some(label) = line.strip_prefix("- Label: { default: ") {
            let label = label.strip_suffix(" }").with_context(|| format!("cannot read {line:?}"))?;
            groups.push((label.to_owned(), Vec::new()));
        } else if let Some((_, names)) = groups.last_mut() {
            match (line.strip_prefix("Parameters:"), line.strip_prefix("- ")) {
                (Some(""), _) => {}
                (Some(flow), _) => names.extend(list(flow.trim())?),
                (None, Some(name)) => names.push(name.to_owned()),
                (None, None) => bail!("cannot read {line:?} in the section Metadata"),
            }
        }
    }
    ensure!(!groups.is_empty(), "the template has no parameter groups");
    Ok(groups)
}

/// Returns the parameters with their properties, as text.
///
/// Reads the subset of YAML that the template uses there, and fails on anything else.
fn parameters(template: &str) -> Result<BTreeMap<String, Properties>> {
    let mut parameters: BTreeMap<String, Properties> = BTreeMap::new();
    let (mut parameter, mut property) = (String::new(), String::new());
    for line in section(template, "Parameters") {
        let unreadable = || format!("cannot read {line:?} in the section Parameters");
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        match indent {
            2 => {
                line.strip_suffix(':').with_context(unreadable)?.clone_into(&mut parameter);
                let twice = parameters.insert(parameter.clone(), Properties::new()).is_some();
                ensure!(!twice, "{parameter} is defined twice");
            }
            4 => {
                let (name, value) = line.split_once(':').with_context(unreadable)?;
                name.clone_into(&mut property);
                let value = match value.trim() {
                    ">-" => "",
                    value => {
                        value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
                    }
                };
                let properties = parameters.get_mut(&parameter).with_context(unreadable)?;
                ensure!(properties.insert(property.clone(), value.to_owned()).is_none(), unreadable());
            }
            6 => {
                let properties = parameters.get_mut(&parameter).with_context(unreadable)?;
                let text = properties.get_mut(&property).with_context(unreadable)?;
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(line);
            }
            _ => bail!(unreadable()),
        }
    }
    Ok(parameters)
}

/// Returns the items of `[a, b]`.
fn list(flow: &str) -> Result<Vec<String>> {
    let items = flow.strip_prefix('[').and_then(|flow| flow.strip_suffix(']'));
    let items = items.with_context(|| format!("{flow:?} is not a list in brackets"))?;
    Ok(items.split(',').map(|item| item.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_document_matches_the_template() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let expected = configuration(&read_template(root).unwrap()).unwrap();
        let written = fs::read_to_string(root.join(DOCUMENT)).unwrap();
        assert!(written == expected, "{DOCUMENT} is stale: run `cargo xtask docs`");
        assert!(expected.matches("\n| `").count() > 25, "{expected}");
    }

    const SMALL: &str = "\
Metadata:
  AWS::CloudFormation::Interface:
    ParameterGroups:
      - Label: { default: First }
        Parameters: [Size, Name]
      - Label: { default: Second }
        Parameters:
          - Days

Parameters:
  # A comment.
  Size:
    Description: >-
      How large,
      or how small | both.
    Type: String
    Default: small
    AllowedValues: [small, large]
  Name:
    Description: A name.
    Type: String
    Default: \"\"
    AllowedPattern: \"^$|^a+$\"
    ConstraintDescription: must be empty or a
  Days:
    Description: How long.
    Type: Number
    Default: 1
    MinValue: 1

Resources: {}
";

    #[test]
    fn configuration_has_a_row_for_each_parameter() {
        let text = configuration(SMALL).unwrap();
        let tables = text.strip_prefix(INTRODUCTION).unwrap();
        let head = "| parameter | default | allowed values | description |\n|---|---|---|---|\n";
        assert_eq!(
            tables,
            format!(
                "\n## First\n\n{head}| `Size` | `small` | `small`, `large` | How large, or how small \\| both. |\n\
                 | `Name` | empty | empty or a | A name. |\n\
                 \n## Second\n\n{head}| `Days` | `1` | at least 1 | How long. |\n"
            )
        );
    }

    #[test]
    fn configuration_refuses_unreadable_templates() {
        for (text, replacement) in [
            ("[Size, Name]", "[Size]"),
            ("[Size, Name]", "[Size, Name, Days]"),
            ("[Size, Name]", "[Size, Name, Other]"),
            ("[Size, Name]", "Size"),
            ("    Default: small\n", ""),
            ("    Default: small\n", "    Default: small\n    Default: large\n"),
            ("    Default: small\n", "    Default: {\n        small: yes\n"),
            ("  Days:\n", "  Size:\n"),
            ("{ default: First }", "First"),
        ] {
            let changed = SMALL.replacen(text, replacement, 1);
            assert_ne!(changed, SMALL);
            assert!(configuration(&changed).is_err(), "{text:?} as {replacement:?}");
        }
    }
}
