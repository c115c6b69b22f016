//! `KUBECTL_EXTERNAL_DIFF`: a program of the caller's choice compares two folders, one of objects before and one of
//! objects after, a file each. Secrets are masked there too, and the folders are gone afterwards.

use crate::{
    difference::{self, Look},
    environment::Environment,
    error::Error,
    output,
    scratch::Folder,
};
use serde_json::Value;
use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// A comparison that is being prepared.
pub(super) struct External {
    program: String,
    arguments: Vec<String>,
    before: Folder,
    after: Folder,
}

impl External {
    pub(super) fn new(program: &OsStr, environment: &Environment) -> Result<Self, Error> {
        let text = program.to_str().unwrap_or_default();
        let mut words = text.split_whitespace().map(str::to_owned);
        let program =
            words.next().ok_or_else(|| Error::Message("KUBECTL_EXTERNAL_DIFF names no program".into()))?;
        let parent = environment.temporary_dir();
        let (before, after) = (Folder::new(&parent, "LIVE")?, Folder::new(&parent, "MERGED")?);
        Ok(Self { program, arguments: words.collect(), before, after })
    }

    /// Adds an object. Where there is none before, there is no file.
    pub(super) fn add(
        &mut self,
        name: &str,
        before: Option<Value>,
        after: Value,
        look: Look,
    ) -> Result<(), Error> {
        let file = name.replace('/', ".");
        let objects = difference::presentable(before, Some(after), look.managed_fields);
        for (folder, object) in [&self.before, &self.after].into_iter().zip(objects) {
            if let Some(object) = object {
                folder.write(&file, &output::yaml::to_string(&object))?;
            }
        }
        Ok(())
    }

    /// Runs the program; its exit code.
    pub(super) fn run(self) -> Result<i32, Error> {
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .args([self.before.path(), self.after.path()])
            .stdin(Stdio::inherit())
            .status()
            .map_err(|error| {
                Error::Message(format!("KUBECTL_EXTERNAL_DIFF: cannot run {}: {error}", self.program))
            })?;
        Ok(status.code().unwrap_or(i32::MAX))
    }
}
