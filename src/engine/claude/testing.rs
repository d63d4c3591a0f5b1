//! Shared values of this module's tests.

use std::time::Duration;

use crate::domain::ModelName;
use crate::domain::Part;
use crate::domain::PlanUsage;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;

use super::{CliSetup, Config, SignIn, SignInMethod};

pub(super) fn setup() -> CliSetup {
    CliSetup {
        config: Config {
            binary: "claude".into(),
            sign_in: SignInMethod::Auto,
            pass_environment: Vec::new(),
            max_retries: 1,
            betas: Vec::new(),
            event_timeout: Duration::from_secs(120),
            control_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            max_line_bytes: 1024 * 1024,
        },
        sign_in: SignIn::ApiKey,
        environment: [].into(),
        data_dir: "/data".into(),
        plan: PlanUsage::default(),
        name: None,
    }
}

pub(super) fn turn(prompt: &str) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("claude-haiku-5-5"),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(prompt)],
        sampling: Sampling::default(),
    }
}
