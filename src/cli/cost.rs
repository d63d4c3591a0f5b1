//! Costs in dollars, as people read them.

/// Renders a cost as `$0.0124`. One that is above 0 is never rounded to nothing, since it would look
/// as if it were free.
pub(super) fn describe_cost(dollars: f64) -> String {
    if dollars > 0.0 && dollars < 0.0001 {
        "below $0.0001".to_owned()
    } else {
        format!("${dollars:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_costs_are_not_shown_as_nothing() {
        for (dollars, words) in [
            (0.0, "$0.0000"),
            (0.000_02, "below $0.0001"),
            (0.012_39, "$0.0124"),
            (12.5, "$12.5000"),
        ] {
            assert_eq!(describe_cost(dollars), words);
        }
    }
}
