"""Settings derived from the data, as nnU-Net derives them (Isensee et al., 2021): a fingerprint, then rules."""
