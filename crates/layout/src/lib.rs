//! Disk layout shared by the image builder and the host agents: partition types, slots, names
