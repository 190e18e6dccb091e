//! `broker man`.

use std::path::Path;

use broker::{Clock, Error, SystemClock};
use clap::{Command, CommandFactory};

use super::{CommandContext, CommandResult};
use crate::args;

pub(super) fn run(context: &CommandContext<'_>, args: &args::Man) -> CommandResult {
    let folder = &args.folder;
    // There is room here for what --help leaves out.
    let command = args::Args::command().disable_help_subcommand(true);
    let mut command = command.mut_subcommands(|below| below.mut_args(|arg| arg.hide_possible_values(false)));
    command.build();
    std::fs::create_dir_all(folder).and_then(|()| write(command, folder)).map_err(|error| {
        Error::failed(format!("cannot write man pages into {}: {error}", folder.display()))
            .with_hint("name a folder that you can write to: broker man ~/.local/share/man/man1")
            .with_source(error)
    })?;
    context.say(&format!("{}: the man pages broker(1), broker-token(1) and so on", folder.display()));
    Ok(())
}

/// Writes the page of a command, and those of the commands below it.
fn write(command: Command, folder: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands() {
        write(below.clone(), folder)?;
    }
    let name = command.get_display_name().unwrap_or("broker").to_uppercase();
    let page = clap_mangen::Man::new(command)
        .title(name)
        .date(SystemClock.now().format("%F").to_string())
        .source(concat!("broker ", env!("CARGO_PKG_VERSION")))
        .manual("broker");
    page.generate_to(folder).map(drop)
}
