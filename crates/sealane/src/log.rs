//! What the cell's own processes say on standard error. Never data of tenants.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Starts logging under the name of this process. `RUST_LOG` chooses what is said; by default that
/// is what an operator has to know.
pub fn init(process: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let name = Name(process.to_owned());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .with_timer(name)
        .try_init();
}

/// Puts the process's name where a time would stand: a terminal or a journal adds the time.
struct Name(String);

impl FormatTime for Name {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "sealane {}:", self.0)
    }
}
