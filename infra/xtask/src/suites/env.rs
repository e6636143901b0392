//! The environment that suites share: one development build, and one stack at a time.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::FIRST_PORT;
use crate::cloud::endpoint;
use crate::cloud::stack::{Description, Home, Ports, Stack};
use crate::commands::up;
use crate::tools::cargo::{Binaries, build};
use crate::tools::ports::choose_port;
use crate::tools::python::Python;

/// Builds and starts on demand. A stack runs until a suite needs another one, or until this is dropped.
pub(super) struct TestEnv<'a> {
    root: &'a Path,
    built: Option<(Python, Binaries)>,
    running: Option<Running>,
}

struct Running {
    parameters: &'static [&'static str],
    target: StackTarget,
    description: Description,
    /// Stopped when dropped.
    _stack: Stack,
}

/// The cloud that a stack runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StackTarget {
    /// A dedicated local cloud.
    Own,
    /// A dedicated local cloud that the functions reach through this port. The suite must listen there before any function is called.
    Proxied(u16),
    /// An endpoint that already runs, with the functions on this machine.
    External(String),
}

impl<'a> TestEnv<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, built: None, running: None }
    }

    /// Returns a running stack with these template parameters (`Name=value`), whose description is at [`Home::description`].
    pub(super) fn stack(&mut self, parameters: &'static [&'static str]) -> Result<&Description> {
        self.stack_at(StackTarget::Own, parameters)
    }

    /// Returns such a stack at the endpoint that `AWS_ENDPOINT_URL` names, or on a local cloud if the variable is not set.
    pub(super) fn stack_or_endpoint(&mut self, parameters: &'static [&'static str]) -> Result<&Description> {
        self.stack_at(endpoint::named().map_or(StackTarget::Own, StackTarget::External), parameters)
    }

    pub(super) fn stack_at(
        &mut self,
        target: StackTarget,
        parameters: &'static [&'static str],
    ) -> Result<&Description> {
        let fits = |running: &Running| running.parameters == parameters && running.target == target;
        let running = match self.running.take().filter(fits) {
            Some(running) => running,
            None => self.start(parameters, target)?,
        };
        Ok(&self.running.insert(running).description)
    }

    /// Stops the stack, if one is running.
    pub(super) fn stop(&mut self) {
        drop(self.running.take());
    }

    /// Returns the local cloud's Python and the development build of the functions.
    pub(super) fn build(&mut self) -> Result<&(Python, Binaries)> {
        if self.built.is_none() {
            self.built = Some((up::prepare_python(self.root)?, build(self.root, &[endpoint::RUNNER])?));
        }
        self.built.as_ref().context("nothing was built")
    }

    fn start(&mut self, parameters: &'static [&'static str], target: StackTarget) -> Result<Running> {
        let home = Home::test(self.root);
        home.refuse_if_in_use()?;
        self.build()?;
        let (python, binaries) = self.built.as_ref().context("nothing was built")?;
        let port = choose_port(None, FIRST_PORT)?;
        let (stack, description) = match &target {
            StackTarget::External(endpoint) => {
                Stack::start_at(self.root, &home, endpoint, port, python, binaries, parameters)?
            }
            StackTarget::Own => Stack::start(self.root, &home, port, python, binaries, parameters)?,
            StackTarget::Proxied(proxy) => {
                let ports = Ports { cloud: port, proxy: Some(*proxy) };
                Stack::start(self.root, &home, ports, python, binaries, parameters)?
            }
        };
        stack.publish(&description)?;
        Ok(Running { parameters, target, description, _stack: stack })
    }
}
