//! The sqlite package database that the real rpm reads
