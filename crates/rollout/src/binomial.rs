//! How likely so many failures are by chance: tails of the binomial distribution.
//!
//! If each of `n` machines fails with probability `p`, independently, the number of failures is binomial. A tail says
//! how surprising an observation is; [`crate::policy`] asks for a surprise before it believes that a release fails
//! more often than tolerated (upper tail), or less often (lower tail). These are the one-sided exact bounds of
//! Clopper and Pearson, asked the other way round.

/// P(X >= k) of `n` machines with probability `p` each; `p` is limited to [0, 1].
pub fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k as f64 <= n as f64 * p {
        return (1.0 - at_most(k - 1, n, p)).max(0.0);
    }
    // Above the mean terms fall from k on.
    sum(k, n, p, |i| (i < n).then_some(i + 1))
}

/// P(X <= k) of `n` machines with probability `p` each; `p` is limited to [0, 1].
pub fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if k as f64 >= n as f64 * p {
        return (1.0 - sum(k + 1, n, p, |i| (i < n).then_some(i + 1))).max(0.0);
    }
    // Below the mean terms fall from k down.
    sum(k, n, p, |i| i.checked_sub(1))
}

/// The sum of terms from `start` on, in the direction in which they fall, until they add nothing any more.
fn sum(start: u64, n: u64, p: f64, next: impl Fn(u64) -> Option<u64>) -> f64 {
    if start > n {
        return 0.0;
    }
    let p = p.clamp(0.0, 1.0);
    if p <= 0.0 || p >= 1.0 {
        // All mass lies at 0 or at n, and the tail beyond the mean does not contain it, unless it starts there.
        let mass = if p <= 0.0 { 0 } else { n };
        return f64::from(u8::from(start == mass));
    }
    let odds = p / (1.0 - p);
    let (mut i, mut term) = (start, logarithm(start, n, p).exp());
    let mut total = term;
    while let Some(j) = next(i) {
        // C(n, i+1) / C(n, i) = (n - i) / (i + 1)
        term *= if j > i { (n - i) as f64 / j as f64 * odds } else { i as f64 / (n - j) as f64 / odds };
        total += term;
        i = j;
        if term < total * 1e-17 {
            break;
        }
    }
    total.min(1.0)
}

/// The logarithm of one term, C(n, k) p^k (1-p)^(n-k).
fn logarithm(k: u64, n: u64, p: f64) -> f64 {
    let k_or_rest = k.min(n - k);
    let choose: f64 = (1..=k_or_rest).map(|i| ((n - k_or_rest + i) as f64 / i as f64).ln()).sum();
    choose + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All 2^n ways in which n machines can fail or not, one by one: another way to the same number.
    fn counted(k: u64, n: u64, p: f64) -> f64 {
        (0..1_u32 << n)
            .filter(|ways| u64::from(ways.count_ones()) >= k)
            .map(|ways| {
                let failed = ways.count_ones() as i32;
                p.powi(failed) * (1.0 - p).powi(n as i32 - failed)
            })
            .sum()
    }

    #[test]
    fn numbers_that_people_know() {
        // The rule of three: no failure of 59 says "below 5%" with a confidence of 95%; of 58 it does not.
        assert!(at_most(0, 59, 0.05) < 0.05 && at_most(0, 58, 0.05) > 0.05);
        // A fair coin.
        assert!((at_least(60, 100, 0.5) - 0.028_444).abs() < 1e-6);
        assert!((at_most(40, 100, 0.5) - 0.028_444).abs() < 1e-6);
        assert!((at_least(1, 3, 0.02) - 0.058_808).abs() < 1e-9);
    }

    #[test]
    fn large_fleets_are_no_trouble() {
        // 1,000,000 machines: far from the mean nothing, at the mean half.
        assert!(at_least(11_000, 1_000_000, 0.01) < 1e-20);
        assert!((at_least(10_000, 1_000_000, 0.01) - 0.5).abs() < 0.01);
        assert!(at_least(0, 1_000_000, 0.01) >= 1.0);
        assert!(at_most(1_000_000, 1_000_000, 0.01) >= 1.0);
    }

    #[test]
    fn certain_and_impossible() {
        assert_eq!((at_least(1, 5, 0.0), at_most(0, 5, 0.0)), (0.0, 1.0));
        assert_eq!((at_least(5, 5, 1.0), at_most(4, 5, 1.0)), (1.0, 0.0));
        assert_eq!((at_least(1, 0, 0.5), at_most(0, 0, 0.5)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn as_counted_one_by_one(n in 0..12_u64, k in 0..13_u64, p in 0.001..0.999_f64) {
            prop_assert!((at_least(k, n, p) - counted(k, n, p)).abs() < 1e-12);
        }

        #[test]
        fn tails_meet_and_grow(n in 1..5000_u64, k in 0..5000_u64, p in 0.0..=1.0_f64) {
            let k = k.min(n);
            prop_assert!((at_least(k + 1, n, p) + at_most(k, n, p) - 1.0).abs() < 1e-9);
            prop_assert!(at_least(k, n, p) + 1e-9 >= at_least(k + 1, n, p));
            prop_assert!(at_least(k, n + 1, p) + 1e-9 >= at_least(k, n, p));
        }
    }
}
