//! `tenure-meta FILE [ADDRESS]`: serves an embedded metadata store by itself, and prints where.
//!
//! For tests and for machines that run no server yet. The secret, if any, is in `TENURE_META_SECRET`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{path::PathBuf, process::ExitCode};

use meta::embedded::{Keeper, Server, Settings};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("tenure-meta: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let file = PathBuf::from(words.next().ok_or("usage: tenure-meta FILE [ADDRESS]")?);
    let listen = words
        .next()
        .unwrap_or_else(|| "127.0.0.1:0".into())
        .parse()?;
    let secret = std::env::var("TENURE_META_SECRET")
        .unwrap_or_default()
        .into_bytes();
    let (keeper, thread) = Keeper::open(&file)?;
    // A keeper whose disk failed answers nothing any more: end, so that whoever watches over this process starts it again.
    std::thread::spawn(move || {
        let _ = thread.join();
        eprintln!("tenure-meta: the disk has failed");
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(Settings { listen, secret }, keeper).await?;
        println!("{}", server.address()?);
        server.run(|now| eprintln!("tenure-meta: {now}")).await?;
        Ok(())
    })
}
