//! RPM package files: headers, versions, dependencies, payloads and signatures
