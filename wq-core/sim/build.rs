//! Compiles the engine's files with the virtual machine in them.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cfg=wq_sim");
    // Features of `wq-core` that the files name and this package does not have.
    println!("cargo:rustc-check-cfg=cfg(feature, values(any()))");
}
