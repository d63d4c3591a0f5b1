//! Charges whose cost becomes known late.

use super::*;

/// The real cost of a run may be reported after it was charged by the price table.
#[tokio::test]
async fn corrected_charge_has_its_new_cost_in_all_sums() {
    for test_ledger in TestLedger::all().await {
        let mut corrections = Vec::new();
        for (id, money) in [("1", Some(7)), ("2", None)] {
            let hold = test_ledger
                .ledger
                .hold(&daily(100), amount(50, 30), id)
                .await;
            let hold = hold.unwrap().start();
            corrections.push(hold.correction());
            let money = money.map(Money::from_nanos);
            let charge = Charge {
                money,
                ..charge(20, 0)
            };
            hold.settle(charge).await.unwrap();
        }
        let released = test_ledger
            .ledger
            .hold(&daily(100), amount(50, 30), "3")
            .await;
        let released = released.unwrap();
        corrections.push(released.correction());
        released.release().await.unwrap();
        for correction in corrections {
            // Idempotent.
            for _ in 0..2 {
                let corrected = correction.clone().apply(Money::from_nanos(11)).await;
                corrected.unwrap();
            }
        }
        let charges = charges::list_charges(&test_ledger.store).await.unwrap();
        let listed: Vec<_> = charges
            .iter()
            .map(|charge| (charge.amount, charge.is_estimated))
            .collect();
        assert_eq!(listed, [(amount(20, 11), false), (amount(20, 11), false)]);
        assert_eq!(test_ledger.tokens().await, (40, 0));
        test_ledger.assert_sound().await;
    }
}
