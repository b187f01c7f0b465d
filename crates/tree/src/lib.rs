//! File-system trees as values: merge, diff, tar in and out
