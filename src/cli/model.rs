//! The command `model`.

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::{
    access::Diagnostic,
    compile::{JsonForm, ModelFormat},
    config::load_model,
};

use super::{
    arguments::{Convert, Model, Notation},
    print::print_problems,
};

/// Does what the subcommand says.
pub(super) fn model(command: &Model) -> anyhow::Result<ExitCode> {
    match command {
        Model::Convert(options) => convert(options),
    }
}

fn convert(options: &Convert) -> anyhow::Result<ExitCode> {
    let text = match converted(options) {
        Ok(text) => text,
        Err(problems) => {
            print_problems(&problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    match &options.output {
        Some(file) => fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn converted(options: &Convert) -> Result<String, Vec<Diagnostic>> {
    let document = load_model(&options.file)?;
    let format = ModelFormat::of_file_name(&options.file.to_string_lossy());
    let to = options.to.unwrap_or(match format {
        ModelFormat::Json => Notation::Dsl,
        ModelFormat::Dsl | ModelFormat::Modules => Notation::Json,
    });
    match to {
        Notation::Dsl => document.to_dsl(),
        Notation::Json => Ok(format!("{:#}\n", document.to_json(JsonForm::Short))),
    }
}
