"""Search over keys of a config with Optuna (Akiba et al., 2019)."""
