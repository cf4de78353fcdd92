//! Measurements of Portcullis: `cargo run -p portcullis-bench --release -- engine`.

mod engine;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("engine") => engine::run(),
        other => {
            eprintln!("`{}` is not a measurement, there is: engine", other.unwrap_or_default());
            std::process::exit(2);
        }
    }
}
