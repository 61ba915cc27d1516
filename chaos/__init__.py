"""The chaos programme: load, workers, faults, logs and the checker that judges them."""
