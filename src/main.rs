//! The binary: runs a command and turns its end into an exit code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Whatever this process makes is its owner's only, also where a library makes it.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    // The allocator asks for huge pages, which round each part of the heap that is in use up to 2 MiB: 20 to 30 MB of the
    // service's memory. It runs as well without; where that cannot be had it only takes more.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    twotick::cli::main()
}
