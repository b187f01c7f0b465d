//! Running an image in QEMU
