//! `broker man`: writes man pages.

use std::path::Path;

use broker_core::SystemClock;
use clap::{Command, CommandFactory};
use earthbroker::Clock;

use super::user_file::cannot_write;
use super::{CommandContext, CommandResult};
use crate::args::Args;

pub(super) fn run(context: &CommandContext<'_>, folder: &Path) -> CommandResult {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    std::fs::create_dir_all(folder).and_then(|()| write_pages(command, folder)).map_err(|error| {
        cannot_write(folder, error)
            .with_hint("choose a folder that you can write to: broker man ~/.local/share/man/man1")
    })?;
    context.say(&format!("{}: wrote broker(1), broker-token(1) and the other man pages", folder.display()));
    Ok(())
}

/// Writes the man pages of a command and its subcommands.
fn write_pages(command: Command, folder: &Path) -> std::io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_pages(subcommand.clone(), folder)?;
    }
    let name = command.get_display_name().unwrap_or("broker").to_uppercase();
    let page = clap_mangen::Man::new(command)
        .title(name)
        .date(SystemClock.now().format("%F").to_string())
        .source(concat!("broker ", env!("CARGO_PKG_VERSION")))
        .manual("broker");
    page.generate_to(folder).map(drop)
}
