//! Composing package trees into root file systems, UKIs and disk images
