"""A registry of the OCI distribution specification (1.1), and of Docker's version 2: manifests, blobs, referrers."""
