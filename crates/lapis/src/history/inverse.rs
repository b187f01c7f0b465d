//! What undoes transactions, and what does them again.

use super::{Action, Reason, Transaction};
use lazuli_rpm::Nevra;

/// One step towards an earlier state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This package has to be there.
    Present(Nevra, Reason),
    /// This package has to be gone.
    Absent(Nevra),
}

/// What undoes `transactions`, which are given newest first: what is left over when each of them is undone
/// and steps that cancel each other are left out.
pub fn inverse(transactions: &[Transaction]) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for transaction in transactions {
        // What came goes before what went comes back: an update is undone by one exchange.
        for e in transaction.elements.iter().filter(|e| e.action.is_in() && e.action != Action::Reinstall) {
            add(&mut wishes, Wish::Absent(e.nevra.clone()));
        }
        for e in transaction.elements.iter().filter(|e| e.action.is_out()) {
            let same = |i: &super::Element| i.action == Action::Reinstall && identical(&i.nevra, &e.nevra);
            if !transaction.elements.iter().any(same) {
                add(&mut wishes, Wish::Present(e.nevra.clone(), e.reason));
            }
        }
    }
    wishes
}

/// What does a transaction again.
pub fn repeat(transaction: &Transaction) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for e in &transaction.elements {
        if e.action.is_in() {
            add(&mut wishes, Wish::Present(e.nevra.clone(), e.reason));
        } else if matches!(e.action, Action::Remove | Action::Obsoleted) {
            add(&mut wishes, Wish::Absent(e.nevra.clone()));
        }
    }
    wishes
}

fn add(wishes: &mut Vec<Wish>, wish: Wish) {
    let (Wish::Present(nevra, _) | Wish::Absent(nevra)) = &wish;
    let contrary = |other: &Wish| match (other, &wish) {
        (Wish::Present(n, _), Wish::Absent(_)) | (Wish::Absent(n), Wish::Present(..)) => identical(n, nevra),
        _ => false,
    };
    match wishes.iter().position(contrary) {
        Some(at) => drop(wishes.remove(at)),
        None => wishes.push(wish),
    }
}

/// Versions may compare equal and be written differently.
fn identical(a: &Nevra, b: &Nevra) -> bool {
    a == b && a.to_string() == b.to_string()
}
