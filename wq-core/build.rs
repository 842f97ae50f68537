//! Gives the `links` key of the manifest its script: there is nothing to build.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
